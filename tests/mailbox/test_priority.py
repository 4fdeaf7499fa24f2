"""Priorities: the queue by itself against a sorted list, then what tell, send and ask make of it."""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentient_core import ActorRef, InvalidArgument, MailboxOptions, Overflow, SendTimeout, handles
from sentient_core.actors.ref import cell_of
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.line import Line
from sentient_core.mailbox.priority import PriorityQueue, Ranked
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, letters, running


class _Ranked(Ranked):
    __slots__ = ("number", "priority")

    def __init__(self, number: int, priority: int) -> None:
        self.number = number
        self.priority = priority


def _entry(number: int, priority: int) -> Entry:
    return (_Ranked(number, priority), None, None, None)


def _number(entry: Entry) -> int:
    assert isinstance(entry[0], _Ranked)
    return entry[0].number


class PriorityModel(RuleBasedStateMachine):
    """Adds, takes and returns in any order, against a list that is sorted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = itertools.count()
        self.queue = PriorityQueue(lambda: float(next(self.clock)))
        self.first: list[int] = []
        self.rest: list[tuple[int, int]] = []
        self.numbers = itertools.count()

    @rule(priority=st.sampled_from([-5, 0, 0, 0, 1, 7]))
    def append(self, priority: int) -> None:
        number = next(self.numbers)
        self.queue.append(_entry(number, priority))
        self.rest.append((-priority, number))

    @rule(count=st.integers(0, 3))
    def return_stash(self, count: int) -> None:
        numbers = [next(self.numbers) for _ in range(count)]
        self.queue.extendleft(_entry(number, 3) for number in reversed(numbers))
        self.first[:0] = numbers

    @precondition(lambda self: self.queue)
    @rule()
    def popleft(self) -> None:
        if self.first:
            expected = self.first.pop(0)
        else:
            self.rest.sort()
            expected = self.rest.pop(0)[1]
        assert _number(self.queue.popleft()) == expected

    @precondition(lambda self: self.queue)
    @rule()
    def pop_lowest(self) -> None:
        lowest = max((rank for rank, _ in self.rest), default=None)
        if lowest is None:
            expected = self.first.pop(0)
        else:
            expected = min(number for rank, number in self.rest if rank == lowest)
            self.rest.remove((lowest, expected))
        assert _number(self.queue.pop_lowest()) == expected

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def take_out(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from([*self.queue]))
        assert self.queue.take_out(entry)
        assert not self.queue.take_out(entry)
        number = _number(entry)
        self.first = [one for one in self.first if one != number]
        self.rest = [one for one in self.rest if one[1] != number]

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.first.clear()
        self.rest.clear()

    @invariant()
    def holds_the_same_in_order(self) -> None:
        expected = self.first + [number for _, number in sorted(self.rest)]
        assert [_number(entry) for entry in self.queue] == expected
        assert len(self.queue) == len(expected)
        assert bool(self.queue) == bool(expected)
        assert (self.queue.oldest() is None) == (not expected)


TestPriorityModel = PriorityModel.TestCase
TestPriorityModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_taking_from_an_empty_queue_is_an_index_error() -> None:
    queue = PriorityQueue(lambda: 0.0)
    for take in (queue.popleft, queue.pop_lowest):
        with pytest.raises(IndexError):
            take()
    assert len(queue) == 0


def test_those_who_wait_go_by_priority_then_in_the_order_they_came() -> None:
    line = Line()
    slots: list[Any] = [object() for _ in range(5)]
    for number, priority in enumerate([0, 1, 0, 1, -1]):
        line.join(_entry(number, priority), slots[number])
    line.leave(slots[3])
    line.leave(slots[3])

    assert len(line) == 4
    assert [_number(line.pop()[0]) for _ in range(4)] == [1, 0, 2, 4]
    assert not line


class _Small(Recorder):
    mailbox = MailboxOptions(capacity=2)


async def _busy(ref: ActorRef[Any], gate: Gate) -> None:
    """The actor waits at its gate."""
    ref.tell(Pass())
    await gate.reached.wait()


def _said(log: Log) -> list[str]:
    return [line for line in log if len(line) == 1]


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
async def test_larger_priorities_come_first_and_equal_ones_as_they_were_sent(durability: str) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        kind = type("It", (Recorder,), {"durability": durability})
        ref: ActorRef[Any] = await system.spawn(kind, log, gate)
        await _busy(ref, gate)
        high, low = ref.with_options(priority=10), ref.with_options(priority=-1)

        low.tell(Say("h"))
        ref.tell(Say("d"))
        high.tell(Say("a"))
        ref.tell(Say("e"))
        await high.send(Say("b"))
        ref.with_options(priority=5).tell(Say("c"))
        await ref.send(Say("f"))
        ref.with_options(expires=60).tell(Say("g"))
        gate.open.set()
        await ref.drain()

        assert _said(log) == list("abcdefgh")
        assert cell_of(ref).handled == 9
        assert letters(system) == []


async def test_an_ask_with_a_priority_overtakes_what_is_queued() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        await _busy(ref, gate)
        ref.tell(Say("2"))

        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert await ref.with_options(priority=1).ask(Say("1"), timeout=1) == "1"
                log("answered")

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        await ref.drain()

        assert _said(log) == ["1", "2"]


async def test_stop_and_kill_pass_every_priority() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        await _busy(ref, gate)

        ref.with_options(priority=1_000_000).tell(Say("1"))
        ref.stop()
        gate.open.set()
        await ref.stop()

        assert _said(log) == []
        assert letters(system) == [(Say("1"), "stopped")]


async def test_a_drain_while_a_handler_waits_handles_what_a_priority_has_reordered() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        await _busy(ref, gate)
        ref.tell(Say("2"))
        ref.with_options(priority=1).tell(Say("1"))

        ending = ref.drain()
        gate.open.set()
        await ending

        assert _said(log) == ["1", "2"]
        assert letters(system) == []


async def test_a_restart_keeps_the_order() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        await _busy(ref, gate)
        ref.tell(Say("2"))
        ref.with_options(priority=2).tell(Fail())
        ref.with_options(priority=1).tell(Say("1"))

        gate.open.set()
        await ref.drain()

        assert _said(log) == ["1", "2"]
        assert ref.incarnation == 2


async def test_once_it_is_empty_the_mailbox_has_a_plain_queue_again() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)

        def has_priorities() -> bool:
            return isinstance(cell_of(ref).mailbox.queue, PriorityQueue)

        await _busy(ref, gate)
        ref.with_options(priority=1).tell(Say("1"))
        assert has_priorities()
        gate.open.set()
        await ref.ask(Say("2"), timeout=1)

        assert not has_priorities()
        ref.tell(Say("3"))
        assert not has_priorities()


async def test_a_full_mailbox_drops_the_oldest_of_the_lowest_priority() -> None:
    class Dropping(Recorder):
        mailbox = MailboxOptions(capacity=3, overflow=Overflow.DROP_OLD)

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Dropping, log, gate)
        await _busy(ref, gate)

        ref.with_options(priority=1).tell(Say("1"))
        ref.tell(Say("2"))
        ref.tell(Say("3"))
        ref.with_options(priority=1).tell(Say("4"))
        ref.with_options(priority=-1).tell(Say("5"))
        gate.open.set()
        await ref.drain()

        assert letters(system) == [(Say("2"), "dropped"), (Say("5"), "dropped")]
        assert _said(log) == ["1", "4", "3"]


async def test_senders_get_room_by_priority_and_a_cancelled_one_leaves_nothing() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(_Small, log, gate)
        await _busy(ref, gate)
        ref.tell(Say("1"))
        ref.tell(Say("2"))
        scopes: dict[str, anyio.CancelScope] = {}

        async def send(text: str, priority: int) -> None:
            with anyio.CancelScope() as scopes[text]:
                await ref.with_options(priority=priority).send(Say(text))

        async with anyio.create_task_group() as tasks:
            for text, priority in (("6", 0), ("3", 9), ("x", 9), ("4", 9), ("y", 0)):
                tasks.start_soon(send, text, priority)
                await anyio.wait_all_tasks_blocked()
            with pytest.raises(SendTimeout):
                await ref.with_options(priority=20).send(Say("z"), timeout=1)
            assert ref.statistics().waiting == 5
            scopes["x"].cancel()
            scopes["y"].cancel()
            await anyio.wait_all_tasks_blocked()
            assert ref.statistics().waiting == 3
            gate.open.set()
        await ref.drain()

        assert cell_of(ref).mailbox.line is None
        assert _said(log) == ["1", "2", "3", "4", "6"]
        assert letters(system) == []


class _Holding(Recorder):
    """Puts the first message away, and takes it back with the second."""

    durability = "volatile"
    held = False

    @handles
    def say(self, message: Say) -> None:
        if message.text == "held" and not self.held:
            self.held = True
            self.context.stash()
        else:
            self.log(message.text)
            self.context.unstash_all()


async def test_a_returned_stash_comes_before_every_priority() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(_Holding, log, gate)
        await _busy(ref, gate)
        urgent = ref.with_options(priority=9)
        urgent.tell(Say("held"))
        urgent.tell(Say("1"))
        urgent.tell(Say("2"))
        ref.tell(Say("3"))

        gate.open.set()
        await ref.drain()

        assert [line for line in log if line in ("held", "1", "2", "3")] == ["1", "held", "2", "3"]
        assert ref.statistics().handled == 5


async def test_a_message_is_forwarded_with_the_options_of_the_ref() -> None:
    class Forwarding(Recorder):
        def __init__(self, log: Log, to: ActorRef[Any]) -> None:
            super().__init__(log)
            self.to = to

        @handles
        def say(self, message: Say) -> None:
            self.context.forward(self.to.with_options(priority=1, expires=5))

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        forwarding = await system.spawn(Forwarding, Log(), ref)
        await _busy(ref, gate)
        ref.tell(Say("2"))
        await forwarding.send(Say("1"))
        await forwarding.drain()

        gate.open.set()
        await ref.drain()

        assert _said(log) == ["1", "2"]


@pytest.mark.parametrize("priority", ["1", 1.0, True, None])
async def test_a_priority_that_is_no_whole_number(priority: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())

        with pytest.raises(InvalidArgument, match="priority"):
            ref.with_options(priority=priority)


async def test_a_ref_with_options_is_a_ref_of_the_same_actor() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log(), name="a")
        urgent = ref.with_options(priority=1)

        assert urgent.path == "a"
        assert repr(urgent) == repr(ref)
        assert urgent.with_options().is_alive
        await urgent.stop()
        assert not ref.is_alive
