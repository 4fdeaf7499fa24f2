"""What the errors of delivery have in common, and what those without a place of their own say."""

from __future__ import annotations

import pickle
from typing import Any

import anyio
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    AskCycle,
    AskError,
    AskTimeout,
    DeathPactError,
    DeliveryError,
    ForeignRef,
    HandlerFailed,
    HandlerOverdue,
    InvalidArgument,
    LinkBroken,
    MailboxFull,
    MailboxOptions,
    MessageChanged,
    NotInTurn,
    Overflow,
    RestartLimitExceeded,
    SendTimeout,
    StashFull,
    StoreInUse,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


async def test_one_except_takes_every_way_in_which_an_ask_can_end_without_a_reply() -> None:
    class Narrow(Recorder):
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.FAIL)

    async with running() as system:
        gate = Gate()
        full = await system.spawn(Narrow, Log(), gate)
        full.tell(Pass())
        await gate.reached.wait()
        full.tell(Pass())
        ended = await system.spawn(Counter)
        await ended.stop()
        failing = await system.spawn(Counter)

        for ref, message, kind in (
            (full, Pass(), MailboxFull),
            (ended, Add(1), ActorStopped),
            (failing, Fail("no"), HandlerFailed),
        ):
            with pytest.raises(DeliveryError) as caught:
                await ref.ask(message, timeout=1)
            assert type(caught.value) is kind
            assert (caught.value.message, caught.value.ref) == (message, ref)
        gate.open.set()


async def test_one_except_takes_every_way_in_which_a_send_is_not_accepted() -> None:
    class Narrow(Recorder):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        gate = Gate()
        full = await system.spawn(Narrow, Log(), gate)
        full.tell(Pass())
        await gate.reached.wait()
        full.tell(Pass())
        ended = await system.spawn(Counter)
        await ended.stop()

        for ref, kind in ((full, SendTimeout), (ended, ActorStopped)):
            with pytest.raises(DeliveryError) as caught:
                await ref.send(Add(1), timeout=1)
            assert type(caught.value) is kind
            assert (caught.value.message, caught.value.ref) == (Add(1), ref)
            assert not isinstance(caught.value, AskError)
        gate.open.set()


async def test_an_ask_that_times_out_is_a_timeout_error_too() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)

        with pytest.raises(TimeoutError) as caught:
            await ref.ask(Pass(), timeout=1)

        assert isinstance(caught.value, AskTimeout)
        gate.open.set()
        await anyio.wait_all_tasks_blocked()


async def test_errors_about_refs_carry_them_and_name_them() -> None:
    class Other(Actor):
        @handles
        async def add(self, message: Add) -> None: ...

    async with running() as system:
        ref: ActorRef[Any] = await system.spawn(Other, name="other")
        why = ValueError("no")

        cycle = AskCycle(Add(1), ref, ["a", "other", "a"])
        assert "asking would wait for itself: a -> other -> a" in str(cycle)
        assert (cycle.cycle, cycle.ref, cycle.message) == (("a", "other", "a"), ref, Add(1))

        foreign = ForeignRef(ref, "here", "there")
        assert "'other' is an actor of the system 'there', and this is 'here'" in str(foreign)
        assert isinstance(foreign, InvalidArgument)

        pact = DeathPactError("a", ref, why)
        assert "'a' watches 'other', which ended (ValueError: no)" in str(pact)
        assert (pact.ref, pact.cause) == (ref, why)

        changed = MessageChanged(Add(1), ref, "a")
        assert "Add from 'a' to 'other' was changed after it was sent" in str(changed)
        assert isinstance(changed, DeliveryError)

        assert "linked to 'other', which ended (in order)" in str(LinkBroken("a", ref, None))


def test_errors_about_turns_say_whose_and_what() -> None:
    assert "the stash of 'a' can be used only while it handles" in str(NotInTurn("a", "the stash"))
    assert "the stash of 'a' is full (3 messages)" in str(StashFull("a", Add(1), 3))


def test_an_error_of_another_process_says_what_it_said_there() -> None:
    error = StoreInUse("a.db")
    error.add_note("a note")

    came: StoreInUse = pickle.loads(pickle.dumps(error))

    assert (type(came), str(came), came.path) == (StoreInUse, str(error), "a.db")
    assert came.__notes__ == ["a note"]


@pytest.mark.parametrize(
    ("limit", "advice"),
    [("timeout", "handler_timeout"), ("heartbeat", "self.heartbeat"), ("deadline", "with_options")],
)
def test_what_is_overdue_says_which_limit_it_was_and_where_it_is_set(limit: str, advice: str) -> None:
    text = str(HandlerOverdue("bank/bob", "hello", limit, 0.5, "Account.pay", ""))

    assert "Account.pay of 'bank/bob'" in text
    assert limit in text.replace("hand for", "")
    assert "0.5 s" in text
    assert advice in text
    assert "hello" not in text  # what is in a message is nobody's business in a log


def test_giving_up_counts_in_words_that_fit() -> None:
    assert "more than 1 restart within 5 s" in str(RestartLimitExceeded("bank", "bank/bob", 1, 5.0))
    assert "more than 0 restarts within 5 s" in str(RestartLimitExceeded("", "bob", 0, 5.0))
