"""The runtime's log lines: the keys they all have, and the limit of their rate."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorSystem,
    Alert,
    BudgetExceeded,
    ChildSpec,
    LogLevel,
    MemoryStore,
    Settings,
    Supervisor,
    handles,
)
from sentient_core.logs import LimitedLog, runtime_log
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Save, Say, Total, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_exception_is_logged_in_words_so_that_no_console_looks_into_its_frames() -> None:
    log = runtime_log("shop")

    def fails() -> None:
        raise ValueError("bad \ud800")

    with structlog.testing.capture_logs() as lines:
        try:
            fails()
        except ValueError as error:
            log.exception("in hand", record="Event")
            log.failure("of a task", error)

    assert [(line["event"], line.get("error")) for line in lines] == [
        ("in hand", "ValueError: bad \\ud800"),
        ("of a task", "ValueError: bad \\ud800"),
    ]
    assert all(line["log_level"] == "error" and "exc_info" not in line for line in lines)
    assert all("in fails" in line["exception"] for line in lines)


def test_so_many_lines_a_second_and_then_one_that_counts() -> None:
    clock = _Clock()
    log = LimitedLog(structlog.get_logger(), clock, "flood", lines_per_second=3)

    with structlog.testing.capture_logs() as lines:
        for n in range(10):
            log.warning(lambda n=n: {"n": n})  # type: ignore[misc]
        clock.now += 1.0
        log.warning(lambda: {"n": "next"})
        clock.now += 100.0
        log.warning(lambda: {"n": "much later"})
        log.close()
        log.close()

    assert [(line["event"], line.get("n"), line.get("suppressed")) for line in lines] == [
        ("flood", 0, None),
        ("flood", 1, None),
        ("flood", 2, None),
        ("flood: not logged one by one", None, 7),
        ("flood", "next", None),
        ("flood", "much later", None),
    ]


@pytest.mark.parametrize(
    ("least", "written"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
        (LogLevel.CRITICAL, []),
    ],
)
def test_lines_below_the_least_level_are_not_written(least: LogLevel, written: list[str]) -> None:
    log = runtime_log("bank", least).bind(path="a")

    with structlog.testing.capture_logs() as lines:
        log.debug("x")
        log.info("x")
        log.warning("x")
        log.error("x")
        log.to_structlog.debug("a user's own")

    assert [line["log_level"] for line in lines] == [*written, "debug"]


@pytest.mark.parametrize(("level", "lines_written"), [("INFO", 1), ("WARNING", 1), ("ERROR", 0)])
async def test_a_system_logs_from_the_level_of_its_settings_on_and_its_actors_as_they_like(
    level: str, lines_written: int
) -> None:
    class Talkative(Counter):
        @handles
        def say(self, message: Say) -> None:
            self.context.log.debug("mine")

    with structlog.testing.capture_logs() as lines:
        for name, least in (("mine", LogLevel(level)), ("another", LogLevel.WARNING)):
            settings = Settings(log_level=least)
            async with ActorSystem(name, store=MemoryStore(), settings=settings) as system:
                ref = await system.spawn(Talkative)
                ref.tell(Say("x"))
                ref.tell(Fail())
                await ref.ask(Total(), timeout=1)

    assert len([line for line in lines if line["event"] == "mine"]) == 2
    failed = [line["system"] for line in lines if line["event"] == "actor failed"]
    assert failed == ["mine"] * lines_written + ["another"]
    assert {line["log_level"] for line in lines if line["system"] == "another"} == {"debug", "warning"}


def test_what_is_suppressed_at_the_end_is_told() -> None:
    log = LimitedLog(structlog.get_logger(), lambda: 0.0, "flood", lines_per_second=1)

    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            log.warning(dict)
        log.close()

    assert lines[-1]["suppressed"] == 2


def test_fields_of_a_suppressed_line_are_not_made() -> None:
    log = LimitedLog(structlog.get_logger(), lambda: 0.0, "flood", lines_per_second=1)
    made: list[int] = []

    def fields() -> dict[str, int]:
        made.append(1)
        return {}

    with structlog.testing.capture_logs():
        for _ in range(5):
            log.warning(fields)

    assert len(made) == 1


async def test_every_line_of_the_runtime_says_who_and_in_which_conversation() -> None:
    class Talkative(Counter):
        @handles
        def say(self, message: Say) -> None:
            self.context.log.info("hello")

    store = MemoryStore()
    await store.open_journal("bank")  # a start that never ends
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("bank", store=store, drain_patience=1) as system:
            ref = await system.spawn(Talkative, name="alice")
            ref.tell(Say("x"))
            await ref.ask(Save(), timeout=1)
            for _ in range(3):
                ref.tell(Fail())
            ref.tell("unhandled")
            await ref.ask(Total(), timeout=1)
            ref.tell(Fail())  # one too many
            gate = Gate()
            other = await system.spawn(Recorder, Log(), gate, name="other")
            other.tell(Pass())
            await gate.reached.wait()
            await other.kill()
            for _ in range(50):
                ref.tell(Add())
            store.pause()
            await system.spawn(Counter, name="bob")

    for line in lines:
        assert line["system"] == "bank"
        of_actors = {"path", "incarnation", "correlation_id"} & line.keys()
        assert not of_actors or line["path"] is not None, line
        assert of_actors in (set(), {"path", "incarnation", "correlation_id"}), line
    events = {line["event"] for line in lines}
    assert {"hello", "actor failed", "dead letter", "actor given up"} <= events
    hello = next(line for line in lines if line["event"] == "hello")
    assert (hello["path"], hello["incarnation"]) == ("alice", 1)
    assert hello["correlation_id"] is not None
    failed = [line for line in lines if line["event"] == "actor failed"]
    assert {line["message_type"] for line in failed} == {"Fail"}
    assert all("test_logs" in line["exception"] or "probes" in line["exception"] for line in failed)
    assert len({line["correlation_id"] for line in failed}) == len(failed)


async def test_a_log_that_cannot_be_written_takes_nothing_down() -> None:
    def broken(*_: Any) -> Any:
        raise BrokenPipeError("program | head -1")

    before = structlog.get_config()
    structlog.configure(processors=[broken])
    try:
        with anyio.fail_after(100):
            async with running() as system:
                ref = await system.spawn(Counter, name="a")
                other = await system.spawn(Counter, name="b")
                ref.tell(Fail())  # one line
                ref.tell(Say("unhandled"))  # another

                assert await other.ask(Total(), timeout=1) == 0
                assert await ref.ask(Total(), timeout=1) == 0
                assert ref.incarnation == 2
    finally:
        structlog.configure(**before)


async def test_alerts_of_very_many_actors_are_all_heard_and_few_of_them_logged() -> None:
    class Broke(Recorder):
        @handles
        def say(self, message: Say) -> None:
            raise BudgetExceeded("no credit left")

    heard: list[Alert] = []
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("test", store=MemoryStore()) as system:
            system.alerts.subscribe(heard.append)
            for ref in [await system.spawn(Broke, Log()) for _ in range(100)]:
                ref.tell(Say("hello"))
            await anyio.wait_all_tasks_blocked()

    assert [alert.alert for alert in heard] == ["actor paused"] * 100
    assert _logged("actor paused", lines) == (10, 90)


async def test_killed_actors_are_logged_at_a_limited_rate() -> None:
    class Endless(Recorder):
        async def on_stop(self) -> None:
            await anyio.sleep_forever()

    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("test", store=MemoryStore()) as system:
            pool = await system.spawn(_pool_of(Endless))
            for number in range(100):
                await pool.start_child(str(number), Log())

    assert _logged("killed, since it did not end within its shutdown", lines) == (10, 90)


def _pool_of(cls: type[Actor]) -> type[Supervisor]:
    class Pool(Supervisor):
        strategy = Supervisor.dynamic()
        children = (ChildSpec(cls),)

    return Pool


def _logged(what: str, lines: list[MutableMapping[str, Any]]) -> tuple[int, int]:
    """How many lines of a kind there are, and how many were left out as the last one says."""
    written = [line for line in lines if line["event"] == what]
    [last] = [line for line in lines if line["event"] == f"{what}: not logged one by one"]
    return len(written), last["suppressed"]
