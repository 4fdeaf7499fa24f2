"""What the rows judge by: each of these oracles finds what it is there to find."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.actors.abandoning import abandon
from sentient_core.actors.cell import Cell
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.watchdog import BlockedHandler, Watchdog
from sentient_core.actors.watching import Watch
from sentient_core.backend import current_backend
from sentient_core.bench import Choice, Findings, Row, StoreKind, run_rows
from sentient_core.bench.deposits import Deposit, Deposits, Verdict
from sentient_core.bench.held import Held, settled
from sentient_core.bench.rows import (
    blocked_loop,
    deaf_handler,
    flood,
    handler_raises,
    kill_cycles,
    siblings,
    slow_followers,
    storm,
    wall_clock,
)
from sentient_core.errors import AskTimeout, CommitTimeout
from sentient_core.events.mirror import Mirror
from sentient_core.events.subscription import EventSubscription
from sentient_core.feed import Following
from sentient_core.store.records import Event
from sentient_core.supervisor import strategy
from sentient_core.supervisor.strategy import Plan

NOTHING = Held(tasks=3, threads=2, descriptors=9, actors=4, watched=1)


def broken_claims(row: Row, folder: Path) -> str:
    """What a row says was not kept, in the runtime as it is now."""
    choice = Choice(rows=[row], stores=[StoreKind.MEMORY], backends=["asyncio"], is_quick=True, folder=folder)
    (result,) = run_rows(choice).results
    assert result.error is None
    return "; ".join(check.claim for check in result.findings.broken)


@pytest.mark.parametrize("what", ["lost", "doubled"])
def test_what_is_lost_or_doubled_in_one_of_several_runs_is_a_broken_promise(what: str) -> None:
    in_all = Verdict()
    in_all.add(Verdict(acknowledged=10, lost=0, done=10, doubled=0))
    in_all.add(msgspec.structs.replace(Verdict(acknowledged=5, done=5), **{what: 1}))
    findings = Findings()

    in_all.tell(findings, label="in all")

    assert (in_all.acknowledged, in_all.done, in_all.lost + in_all.doubled) == (15, 15, 1)
    (broken,) = findings.broken
    assert what in broken.claim


async def test_a_client_that_hears_of_no_commit_sends_again_under_the_same_id_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send, ids = ActorRef.send, list[object]()
    deposits = Deposits(tills=1)

    async def deaf(self: ActorRef[Any], message: Any, **options: Any) -> None:
        await send(self, message, **options)
        ids.append(options.get("message_id"))
        assert isinstance(message, Deposit)
        assert message.number not in deposits.acknowledged
        if len(ids) < 3:
            raise CommitTimeout(message, self, 2.0)

    monkeypatch.setattr(ActorRef, "send", deaf)
    async with ActorSystem("bench", store=MemoryStore()) as system:
        await deposits.open(system)
        await deposits.deposit(7)

        assert deposits.acknowledged == {7}
        assert await deposits.judge() == Verdict(acknowledged=1, lost=0, done=1, doubled=0)
    assert ids == ["deposit-7"] * 3


@pytest.mark.parametrize("name", Held.__struct_fields__)
def test_whatever_there_is_more_of_is_a_broken_promise(name: str) -> None:
    more = msgspec.structs.replace(NOTHING, **{name: getattr(NOTHING, name) + 1})
    findings, fewer = Findings(), Findings()

    more.beyond(NOTHING, findings, 100, "kills", StoreKind.EMBEDDED)
    NOTHING.beyond(more, fewer, 100, "kills", StoreKind.EMBEDDED)

    assert [name in check.claim for check in findings.broken] == [True]
    assert fewer.broken == []


def test_the_pool_of_a_server_may_have_grown_to_its_size_and_no_further() -> None:
    def claims(descriptors: int) -> list[str]:
        findings = Findings()
        grown = msgspec.structs.replace(NOTHING, descriptors=NOTHING.descriptors + descriptors)
        grown.beyond(NOTHING, findings, 100, "kills", StoreKind.SERVER)
        return [check.claim for check in findings.broken]

    assert claims(10) == []
    assert len(claims(11)) == 1


async def test_what_is_left_behind_is_counted() -> None:
    async with ActorSystem("test", store=MemoryStore(), watchdog=None) as system:
        before = await settled(system)
        assert await settled(system) == before
        go_on, release = anyio.Event(), threading.Event()
        task = current_backend().start_task(go_on.wait, "forgotten")
        thread = threading.Thread(target=release.wait, name="lost")
        thread.start()
        ends = os.pipe()
        await system.spawn(storm._Volatile, storm._Book())  # pyright: ignore[reportPrivateUsage]

        after = await settled(system)

        release.set()
        thread.join()
        go_on.set()
        for end in ends:
            os.close(end)
        more = {name: getattr(after, name) - getattr(before, name) for name in Held.__struct_fields__}
        assert more == {"tasks": 1, "threads": 1, "descriptors": 2, "actors": 1, "watched": 0}
        assert task is not None


def test_the_book_of_a_storm_sees_what_is_out_of_order_and_what_is_at_once() -> None:
    book = storm._Book()  # pyright: ignore[reportPrivateUsage]

    def begin(path: str, number: int, driver: int = 0) -> None:
        book.begin(path, storm._Add(number, driver))  # pyright: ignore[reportPrivateUsage]

    book.started("a", 1)
    begin("a", 5)
    book.end("a")
    begin("a", 4, driver=1)
    book.end("a")
    book.started("a", 2)
    assert not book.violations

    begin("a", 3)
    begin("a", 6)
    book.started("a", 2)

    assert sorted(book.violations) == [
        "incarnation not greater than the one before",
        "messages of one sender out of order",
        "two messages of an actor at a time",
    ]


def test_books_that_are_wrong_by_one_and_an_ask_that_ends_by_its_timeout_are_caught_in_a_storm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, ask = ActorSystem.audit, ActorRef.ask
    asked = iter(range(10**9))

    async def wrong(self: ActorSystem) -> Any:
        found = await audit(self)
        first = next(a for a in found.actors if a.durability == "durable")
        others = [a for a in found.actors if a is not first]
        more = msgspec.structs.replace(first, handled=first.handled + 1)
        return msgspec.structs.replace(found, actors=[more, *others])

    async def late(self: ActorRef[Any], message: Any, **options: Any) -> Any:
        answer = await ask(self, message, **options)
        if next(asked) == 100:
            raise AskTimeout(message, self, "within 60 s")
        return answer

    monkeypatch.setattr(ActorSystem, "audit", wrong)
    monkeypatch.setattr(ActorRef, "ask", late)

    claims = broken_claims(storm.ROW, tmp_path)

    assert "actors whose audit does not add up" in claims
    assert "effects of handled messages on durable states" in claims
    assert "violations of an invariant" in claims


def test_a_strategy_that_restarts_one_too_many_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = strategy.plan

    def generous(kind: Any, of: Any, failed: str) -> Plan:
        made = plan(kind, of, failed)
        other = of[-2].name  # when the last one fails, it should be that one alone
        return made if len(made.starts) > 1 else Plan((other,), (other, failed))

    monkeypatch.setattr("sentient_core.supervisor.children.plan", generous)

    assert "incarnations changed, rest_for_one" in broken_claims(siblings.ROW, tmp_path)


@pytest.mark.parametrize(("row", "claim"), [(handler_raises.ROW, "lost beside"), (flood.ROW, "lost")])
def test_a_runtime_that_forgets_a_queued_message_is_caught_by_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row, claim: str
) -> None:
    told, tell = iter(range(10**9)), ActorRef.tell

    def losing(self: ActorRef[Any], message: Any) -> None:
        if next(told) != 42:
            tell(self, message)

    monkeypatch.setattr(ActorRef, "tell", losing)
    monkeypatch.setattr(handler_raises, "_PAUSE", 0.0)

    assert claim in broken_claims(row, tmp_path)


def test_a_runtime_that_makes_no_dead_letter_of_the_message_in_hand_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_raises, "_PAUSE", 0.0)

    def none(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr("sentient_core.actors.attempts.dead", none)

    assert "messages in hand that became dead letters" in broken_claims(handler_raises.ROW, tmp_path)


def test_a_runtime_that_forgets_a_watcher_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, tell = iter(range(10**9)), Watch.tell

    def forgetful(self: Watch, *arguments: Any) -> Any:
        return None if next(told) == 20 else tell(self, *arguments)

    monkeypatch.setattr(Watch, "tell", forgetful)
    monkeypatch.setattr(kill_cycles, "_TIMEOUT", 1.0)

    assert "ends told to who watched" in broken_claims(kill_cycles.ROW, tmp_path)


def test_decisions_that_go_by_the_wall_clock_are_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = wall_clock._Decisions  # pyright: ignore[reportPrivateUsage]

    async def decide(system: ActorSystem, shift: int) -> Any:
        return decisions(restarts=3 + (shift > 0), timeouts=6, expired=6, ticks=True)

    monkeypatch.setattr(wall_clock, "_decide", decide)

    claims = broken_claims(wall_clock.ROW, tmp_path)

    assert "an hour forward" in claims
    assert "an hour back" not in claims


def test_a_watchdog_that_names_nobody_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Watchdog._report  # pyright: ignore[reportPrivateUsage]

    def nobody(self: Watchdog, *arguments: Any) -> BlockedHandler:
        return msgspec.structs.replace(report(self, *arguments), path=None)

    monkeypatch.setattr(Watchdog, "_report", nobody)
    monkeypatch.setattr(blocked_loop, "_PAUSE", 0.02)

    assert broken_claims(blocked_loop.ROW, tmp_path) == "handlers named while they blocked"


def test_a_runtime_that_waits_for_a_deaf_handler_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: Any) -> None:
        return None

    monkeypatch.setattr("sentient_core.actors.cell.abandon", wait)
    monkeypatch.setattr(deaf_handler, "_SHUTDOWNS", (0.05,))
    monkeypatch.setattr(deaf_handler, "_PATIENCE", 0.2)

    assert broken_claims(deaf_handler.ROW, tmp_path) == "handlers named as abandoned, shutdown 0.05 s"


def test_a_runtime_that_gives_a_deaf_handler_no_grace_takes_others_along_and_does_not_see_it_end_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def greedy(of: Cell, *arguments: Any) -> None:
        abandon(of, *arguments)
        for other in list(of.runtime.registry):
            if other.path.startswith("volatile-other-"):
                other.stop()

    def unseen(*_: Any) -> None:
        return None

    monkeypatch.setattr("sentient_core.actors.cell.abandon", greedy)
    monkeypatch.setattr("sentient_core.actors.abandoning.report_ended", unseen)
    blueprint = deaf_handler._Deaf.__blueprint__  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(blueprint, "kill_grace", 0.0)
    monkeypatch.setattr(deaf_handler, "_KILL_GRACE", 5.0)  # it was promised
    monkeypatch.setattr(deaf_handler, "_PATIENCE", 0.3)
    monkeypatch.setattr(deaf_handler, "_SHUTDOWNS", (0.05,))

    claims = broken_claims(deaf_handler.ROW, tmp_path)

    assert "not before its grace, shutdown 0.05 s" in claims
    assert "requests unanswered, others" in claims
    assert "still abandoned once they heard" in claims


def test_what_followers_miss_without_its_being_counted_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = EventSubscription._deliver  # pyright: ignore[reportPrivateUsage]
    record, add = Mirror.record, Following[Any].add
    delivered, added = iter(range(10**9)), iter(range(10**9))
    is_hidden = False

    async def losing(self: EventSubscription, event: Any) -> bool:
        return True if next(delivered) == 20 else await deliver(self, event)

    def uncounted(self: Following[Any], item: Any) -> None:
        if next(added) != 30:
            add(self, item)

    def without_a_gap(self: Mirror, event: Event) -> None:
        nonlocal is_hidden
        before = self.unmirrored
        record(self, event)
        if self.unmirrored > before and not is_hidden:
            is_hidden = True
            self._gaps[event.target or ""] -= 1  # pyright: ignore[reportPrivateUsage]

    monkeypatch.setattr(EventSubscription, "_deliver", losing)
    monkeypatch.setattr(Following, "add", uncounted)
    monkeypatch.setattr(Mirror, "record", without_a_gap)
    monkeypatch.setattr(slow_followers, "_SLOWNESS", 0.0)
    monkeypatch.setattr(slow_followers, "_TIMEOUT", 0.2)
    monkeypatch.setattr(slow_followers, "_TAIL_BYTES", 50_000)  # less than one burst, on any machine

    claims = broken_claims(slow_followers.ROW, tmp_path)

    assert "events lost, " in claims
    assert "dead letters behind a buffer of 20: taken, and counted as missed" in claims
    assert "slow store: not mirrored, and all of it counted in gap records" in claims
