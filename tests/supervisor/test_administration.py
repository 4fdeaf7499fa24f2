"""Children administered at run time: each answer of OTP's supervisor, from everywhere it can be asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    Backoff,
    ChildCounts,
    ChildError,
    ChildPresent,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    HandlerFailed,
    InvalidArgument,
    InvalidChildSpec,
    MemoryStore,
    NameTaken,
    Request,
    SentientError,
    StartFailed,
    Strategy,
    Supervisor,
    UnknownChild,
    handles,
)
from tests.probes import Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


class Do(Request[Any], frozen=True):
    """Let the actor itself call something."""

    call: Callable[[], Any]


async def outcome_of(call: Callable[[], Any]) -> Any:
    found: Any = call()
    return await found if hasattr(found, "__await__") else found


class Doing(Recorder):
    @handles
    async def do(self, message: Do) -> Any:
        return await outcome_of(message.call)


class Unable(Recorder):
    """Cannot start while `works` is False."""

    works = False

    def on_start(self) -> None:
        if not type(self).works:
            raise OSError("no database")
        super().on_start()


def team(*specs: ChildSpec, strategy: Strategy | None = None) -> type[Supervisor]:
    class Team(Supervisor):
        durability = "volatile"

        @handles
        async def do(self, message: Do) -> Any:
            return await outcome_of(message.call)

    return type("Team", (Team,), {"children": specs, "strategy": strategy or Supervisor.one_for_one()})


def member(log: Log, name: str, cls: type[Recorder] = Doing, **options: Any) -> ChildSpec:
    return ChildSpec(cls, name=name, args=(log,), **options)


def statuses(top: ActorRef[Any]) -> dict[str, str]:
    return {child.name: child.status.value for child in top.which_children()}


async def refused(kind: type[ChildError], call: Callable[[], Any]) -> None:
    """It is an error of this kind, which names the supervisor."""
    with pytest.raises(ChildError) as caught:
        await outcome_of(call)
    assert type(caught.value) is kind
    assert caught.value.supervisor == "top"


async def test_a_child_can_be_added_the_last_in_order_and_is_kept_as_others_are() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a")), name="top")

        ref = await top.start_child(member(log, "b"))

        assert (ref, ref.path) == (system.get("top/b"), "top/b")
        assert [child.name for child in top.which_children()] == ["a", "b"]
        ref.tell(Fail())
        await ref.ask(Say("x"), timeout=1)
        assert ref.incarnation == 2
        await top.stop()
        assert [line for line in log if line.endswith(" stop")][-2:] == ["b stop", "a stop"]


async def test_what_starts_nothing_leaves_nothing() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a")), name="top")

        with pytest.raises(OSError, match="no database"):
            await top.start_child(member(log, "b", Unable))

        assert statuses(top) == {"a": "running"}
        await top.start_child(member(log, "b"))


async def test_the_answers_about_a_child_that_runs_as_in_supervisor_erl() -> None:
    """`already_started` of start_child/2; `running` of restart_child/2 and delete_child/2."""
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a")), name="top")

        with pytest.raises(NameTaken) as caught:
            await top.start_child(member(log, "a"))

        assert caught.value.ref is system.get("top/a")
        await refused(ChildRunning, lambda: top.restart_child("a"))
        await refused(ChildRunning, lambda: top.delete_child("a"))
        assert log.lines == ["a start"]


async def test_the_answers_about_a_child_that_has_ended_as_in_supervisor_erl() -> None:
    """`already_present` of start_child/2; `ok` of terminate_child/2, however often; its spec is kept."""
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a"), member(log, "b"), member(log, "c")), name="top")
        before = system.get("top/b")

        await top.terminate_child("b")
        await top.terminate_child("b")

        assert statuses(top) == {"a": "running", "b": "ended", "c": "running"}
        assert (top.which_children()[1].ref, before.is_alive) == (None, False)
        await refused(ChildPresent, lambda: top.start_child(member(log, "b")))

        again = await top.restart_child("b")

        assert [child.name for child in top.which_children()] == ["a", "b", "c"]  # in its old place
        assert (again.incarnation, again.is_alive, before == again) == (2, True, True)
        await top.stop()
        assert log.lines[-3:] == ["c stop", "b stop", "a stop"]


async def test_the_answers_about_a_child_that_waits_for_its_restart_as_in_supervisor_erl() -> None:
    """`restarting` of restart_child/2 and delete_child/2; terminate_child/2 ends the waiting."""
    log = Log()
    async with running() as system:
        backoff = Backoff(first=10.0, jitter=0.0)
        top = await system.spawn(team(member(log, "a", backoff=backoff)), name="top")
        system.get("top/a").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        await refused(ChildRestarting, lambda: top.restart_child("a"))
        await refused(ChildRestarting, lambda: top.delete_child("a"))
        with pytest.raises(NameTaken):
            await top.start_child(member(log, "a"))
        await top.terminate_child("a")

        assert statuses(top) == {"a": "ended"}
        top.delete_child("a")
        await anyio.sleep(100)
        assert (log.lines.count("a start"), statuses(top)) == (1, {})


async def test_the_answers_about_a_child_that_there_is_not_as_in_supervisor_erl() -> None:
    """`not_found` of terminate_child/2, restart_child/2 and delete_child/2."""
    log = Log()
    async with running() as system:
        cls = team(member(log, "alice"), ChildSpec(team(member(log, "x")), name="bob"))
        top = await system.spawn(cls, name="top")

        for name in ("alicia", "zzz", "bob/x", ""):
            for call in (top.terminate_child, top.restart_child, top.delete_child):
                await refused(UnknownChild, partial(call, name))
        with pytest.raises(UnknownChild, match="Did you mean 'alice'"):
            top.delete_child("alicia")
        wrong: Any
        for wrong in (5, None, system.get("top/alice")):
            with pytest.raises(InvalidArgument, match="named by a text"):
                top.delete_child(wrong)


async def test_a_deleted_child_is_gone_until_its_supervisor_starts_anew_as_its_init() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a"), member(log, "b")), name="top")
        added = await top.start_child(member(log, "c"))
        for name in "ac":
            await top.terminate_child(name)
            top.delete_child(name)
        await refused(UnknownChild, lambda: top.restart_child("a"))
        assert statuses(top) == {"b": "running"}

        await top.kill()
        await log.until("b start", 2)
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "running", "b": "running"}
        assert not added.is_alive


async def test_what_was_added_or_terminated_is_as_declared_when_its_supervisor_starts_anew() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a"), member(log, "b")), name="top")
        await top.start_child(member(log, "c"))
        await top.terminate_child("a")

        await top.kill()
        await log.until("b start", 2)
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "running", "b": "running"}


async def test_children_that_are_not_kept_leave_the_list() -> None:
    """Temporary ones leave it with any end; transient ones stay in it after an orderly one, as in OTP."""
    log = Log()
    async with running() as system:
        specs = [
            member(log, f"{kind}{n}", restart=kind) for kind in ("temporary", "transient") for n in (1, 2)
        ]
        top = await system.spawn(team(*specs), name="top")

        await system.get("top/temporary1").stop()
        await top.terminate_child("temporary2")
        await system.get("top/transient1").stop()
        await top.terminate_child("transient2")

        assert statuses(top) == {"transient1": "ended", "transient2": "ended"}
        assert await (await top.restart_child("transient1")).ask(Say("up"), timeout=1) == "up"


async def test_what_a_terminated_child_had_queued_is_given_up() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        spec = ChildSpec(Doing, name="a", args=(log, gate), shutdown=2.0)
        top = await system.spawn(team(spec), name="top")
        ref = system.get("top/a")
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await gate.reached.wait()
        begin = anyio.current_time()

        await top.terminate_child("a")

        assert anyio.current_time() - begin == 2.0  # its grace
        assert letters(system) == [(Pass(), "stopped"), (Say("queued"), "stopped")]
        assert statuses(top) == {"a": "ended"}


async def test_a_restart_that_fails_leaves_it_ended_as_before() -> None:
    class Sometimes(Unable): ...

    Sometimes.works = True
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a", Sometimes), member(log, "b")), name="top")
        await top.start_child(member(log, "c", Sometimes))
        for name in "ac":
            await top.terminate_child(name)
        Sometimes.works = False

        for name in "ac":
            with pytest.raises(OSError, match="no database"):
                await top.restart_child(name)

        assert statuses(top) == {"a": "ended", "b": "running", "c": "ended"}
        Sometimes.works = True
        assert (await top.restart_child("c")).is_alive
        assert [child.name for child in top.which_children()] == ["a", "b", "c"]


async def test_cancelling_a_start_leaves_nothing_and_cancelling_a_restart_the_spec() -> None:
    class Slow(Recorder):
        async def on_start(self) -> None:
            if self.gate is not None:
                await self.gate()
            super().on_start()

    async with running() as system:
        log, gate = Log(), Gate()
        top = await system.spawn(team(), name="top")
        spec = ChildSpec(Slow, name="a", args=(log, gate))
        with anyio.move_on_after(1):
            await top.start_child(spec)
        await anyio.wait_all_tasks_blocked()
        assert statuses(top) == {}

        gate.open.set()
        await top.start_child(spec)
        await top.terminate_child("a")
        gate.open = anyio.Event()
        with anyio.move_on_after(1):
            await top.restart_child("a")
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "ended"}
        assert log.lines == ["a start", "a stop"]


async def test_cancelling_a_start_at_its_last_moment_leaves_nothing_either() -> None:
    scope = anyio.CancelScope()

    class Late(Recorder):
        def on_start(self) -> None:
            scope.cancel()

    async with running() as system:
        top = await system.spawn(team(), name="top")

        with scope:
            await top.start_child(member(Log(), "a", Late))
        await anyio.wait_all_tasks_blocked()

        assert (statuses(top), system.actors(Late)) == ({}, [])


async def test_which_children_tells_of_each_and_count_children_how_many() -> None:
    log = Log()
    async with running() as system:
        inner = team(member(log, "x"))
        strategy = Supervisor.one_for_one(auto_shutdown="all", backoff=Backoff(first=9.0))
        top = await system.spawn(
            team(
                ChildSpec(inner, name="inner"),
                member(log, "a", restart="transient", significant=True),
                ChildSpec(Counter, name="b"),
                strategy=strategy,
            ),
            name="top",
        )
        added = await top.start_child(member(log, "c"))
        await top.terminate_child("a")
        system.get("top/b").tell(Fail())
        added.pause()
        await anyio.wait_all_tasks_blocked()

        one, a, b, c = top.which_children()

        assert (one.name, one.is_supervisor, one.status, one.kind) == ("inner", True, "running", "Team")
        assert (a.ref, a.status, a.restart, a.is_significant) == (None, "ended", "transient", True)
        assert (b.ref, b.status, b.is_static) == (system.get("top/b"), "restarting", True)
        assert (c.ref, c.status, c.is_static, c.kind) == (added, "paused", False, "Doing")
        assert top.count_children() == ChildCounts(specs=4, active=2, supervisors=1, workers=3)
        assert system.get("top/inner").count_children() == ChildCounts(
            specs=1, active=1, supervisors=0, workers=1
        )


async def test_a_supervisor_administers_its_children_in_its_own_handler() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(member(log, "a")), name="top")

        async def everything() -> list[str]:
            await top.start_child(member(log, "b"))
            await top.terminate_child("a")
            await top.restart_child("a")
            await top.terminate_child("b")
            top.delete_child("b")
            return [child.name for child in top.which_children()]

        assert await top.ask(Do(everything), timeout=1) == ["a"]
        assert log.lines == ["a start", "b start", "a stop", "a start", "b stop"]


async def test_it_does_so_in_its_on_start_too_before_the_declared_ones_start() -> None:
    log = Log()

    class Eager(Supervisor):
        durability = "volatile"
        children = (member(log, "b"),)

        async def on_start(self) -> None:
            me: Any = self.context.ref
            await me.start_child(member(log, "a"))

    async with running() as system:
        top = await system.spawn(Eager, name="top")

        assert statuses(top) == {"a": "running", "b": "running"}


async def test_a_name_that_on_start_has_used_up_is_an_error_of_the_start() -> None:
    log = Log()

    class Eager(Supervisor):
        durability = "volatile"
        children = (member(log, "a"),)

        async def on_start(self) -> None:
            me: Any = self.context.ref
            await me.start_child(member(log, "a"))
            await me.terminate_child("a")

    async with running() as system:
        with pytest.raises((ChildPresent, StartFailed)):
            await system.spawn(Eager, name="top")
        await system.spawn(Counter, name="top")


async def test_a_child_cannot_wait_for_its_own_end_and_nothing_is_done() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(ChildSpec(team(member(log, "x")), name="inner")), name="top")
        inner, child = system.get("top/inner"), system.get("top/inner/x")

        for call in (lambda: inner.terminate_child("x"), lambda: top.terminate_child("inner")):
            with pytest.raises(HandlerFailed) as caught:
                await child.ask(Do(call), timeout=1)
            assert isinstance(caught.value.__cause__, SentientError)
            assert "would wait for ever" in str(caught.value.__cause__)
        await anyio.wait_all_tasks_blocked()

        assert (statuses(top), statuses(inner)) == ({"inner": "running"}, {"x": "running"})
        assert log.lines.count("x start") == 3  # what its handler raised were failures, twice


async def test_a_supervisor_that_ends_starts_nothing_and_leaves_the_order_of_its_children() -> None:
    log, gate = Log(), Gate()

    class Slow(Doing):
        async def on_stop(self) -> None:
            self.log(f"{self.context.ref.name} stops")
            if self.gate is not None:
                await self.gate()
            super().on_stop()

    async with running() as system:
        specs = [ChildSpec(Slow, name=n, args=(log, gate if n == "c" else None)) for n in "abc"]
        top = await system.spawn(team(*specs), name="top", restart="temporary")
        await top.terminate_child("b")
        ending = top.stop()
        await gate.reached.wait()

        with pytest.raises(StartFailed, match="ending"):
            await top.start_child(member(log, "d"))
        with pytest.raises(StartFailed, match="ending"):
            await top.restart_child("b")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(top.terminate_child, "a")
            await anyio.wait_all_tasks_blocked()
            assert "a stops" not in log.lines  # after c, as ever
            gate.open.set()
        await ending

        assert log.lines[-4:] == ["c stops", "c stop", "a stops", "a stop"]


async def test_who_is_no_supervisor_or_gone_has_nothing_to_administer() -> None:
    log = Log()
    async with running() as system:
        plain: Any = await system.spawn(Counter, name="plain")
        top = await system.spawn(team(member(log, "a"), member(log, "b")), name="top")
        await top.terminate_child("b")
        with pytest.raises(InvalidArgument, match="it is no supervisor"):
            plain.which_children()

        gone = await system.spawn(team(member(log, "a")), name="gone", restart="temporary")
        await gone.stop()

        for call in (gone.which_children, gone.count_children):
            with pytest.raises(InvalidArgument, match="'gone' cannot be administered: nobody lives there"):
                call()
        with pytest.raises(InvalidArgument, match="nobody"):
            gone.delete_child("a")
        for later in (gone.terminate_child, gone.restart_child, gone.start_child):
            with pytest.raises(InvalidArgument, match="nobody"):
                await later("a")


async def test_mirrored_children_go_on_with_state_and_number() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        top = await system.spawn(team(ChildSpec(Counter, name="a")), name="top")
        await top.terminate_child("a")

        ref = await top.restart_child("a")

        assert await ref.ask(Total(), timeout=1) == 0
        assert (ref.incarnation, top.which_children()[0].restarts) == (2, 0)  # it was ended, not restarted
        with pytest.raises(InvalidChildSpec):
            await top.start_child("b")
