"""Pools: many children of one kind, started on demand under keys of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    Backoff,
    ChildCounts,
    ChildRestarting,
    ChildSpec,
    HandlerFailed,
    NameTaken,
    PoolFull,
    Request,
    Restart,
    StartFailed,
    Strategy,
    Supervisor,
    UnknownChild,
    handles,
)
from tests.probes import Fail, Log, Recorder, Say, letters, running


class What(Request[Any], frozen=True):
    """What an actor was made with."""


class Session(Recorder):
    """Says what it was made with."""

    def __init__(self, log: Log, *args: Any, **kwargs: Any) -> None:
        super().__init__(log)
        self.made_with = args, kwargs

    @handles
    def what(self, message: What) -> Any:
        return self.made_with


class Slow(Session):
    async def on_stop(self) -> None:
        await anyio.sleep(3)
        super().on_stop()


def pool(
    log: Log, cls: type[Session] = Session, *, strategy: Strategy | None = None, **options: Any
) -> type[Supervisor]:
    given: dict[str, Any] = {"args": (log,), **options}
    spec = ChildSpec(cls, **given)
    body = {"children": (spec,), "strategy": strategy or Supervisor.dynamic(), "durability": "volatile"}
    return type("Pool", (Supervisor,), body)


def names(top: ActorRef[Any]) -> list[str]:
    return [child.name for child in top.which_children()]


async def test_it_starts_empty_and_its_children_under_their_keys() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log), name="pool")
        assert (top.which_children(), top.count_children()) == (
            [],
            ChildCounts(specs=0, active=0, supervisors=0, workers=0),
        )

        refs = [await top.start_child(key) for key in ("alice", "bob")]

        assert refs == [system.get("pool/alice"), system.get("pool/bob")]
        assert names(top) == ["alice", "bob"]
        assert not top.which_children()[0].is_static
        assert top.count_children().active == 2


async def test_arguments_of_a_start_come_behind_those_of_the_template() -> None:
    log = Log()
    async with running() as system:
        cls = pool(log, args=(log, "one"), kwargs={"color": "red", "size": 1})
        top = await system.spawn(cls, name="pool")

        plain = await top.start_child("plain")
        more = await top.start_child("more", "two", size=2, child="c")

        assert await plain.ask(What(), timeout=1) == (("one",), {"color": "red", "size": 1})
        assert await more.ask(What(), timeout=1) == (
            ("one", "two"),
            {"color": "red", "size": 2, "child": "c"},
        )
        more.tell(Fail())
        assert (await more.ask(What(), timeout=1))[0] == ("one", "two")  # at every start


async def test_a_key_that_is_taken_gives_the_living_ref_also_when_the_pool_is_full() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log, strategy=Supervisor.dynamic(max_children=2)), name="pool")
        alice = await top.start_child("alice")
        await top.start_child("bob")

        with pytest.raises(NameTaken) as taken:
            await top.start_child("alice")
        with pytest.raises(PoolFull) as full:
            await top.start_child("carol")

        assert taken.value.ref is alice
        assert (full.value.supervisor, full.value.name, full.value.most) == ("pool", "carol", 2)
        await top.terminate_child("alice")
        assert await top.start_child("carol") is system.get("pool/carol")
        assert names(top) == ["bob", "carol"]


async def test_one_that_waits_for_its_restart_has_its_place() -> None:
    log = Log()
    async with running() as system:
        strategy = Supervisor.dynamic(max_children=1, backoff=Backoff(first=5.0, jitter=0.0))
        top = await system.spawn(pool(log, strategy=strategy), name="pool")
        ref = await top.start_child("a")
        ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()

        with pytest.raises(PoolFull):
            await top.start_child("b")
        with pytest.raises(NameTaken):
            await top.start_child("a")
        with pytest.raises(ChildRestarting):
            await top.restart_child("a")

        assert await ref.ask(Say("up"), timeout=10) == "up"


@pytest.mark.parametrize(
    ("restart", "how", "stays"),
    [
        ("permanent", "fail", True),
        ("permanent", "stop", True),
        ("transient", "fail", True),
        ("transient", "stop", False),
        ("temporary", "fail", False),
        ("permanent", "terminate", False),
        ("transient", "terminate", False),
    ],
)
async def test_one_is_restarted_alone_or_gone_after_its_end(restart: str, how: str, stays: bool) -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log, restart=Restart(restart)), name="pool")
        ref, other = [await top.start_child(key) for key in ("a", "b")]

        if how == "terminate":
            await top.terminate_child("a")
        elif how == "stop":
            await ref.stop()
        else:
            with pytest.raises(HandlerFailed):
                await ref.ask(Fail(), timeout=1)
        await anyio.wait_all_tasks_blocked()

        assert names(top) == (["a", "b"] if stays else ["b"])
        assert (ref.is_alive, other.incarnation) == (stays, 1)
        if not stays:
            for call in (top.terminate_child, top.restart_child):
                with pytest.raises(UnknownChild):
                    await call("a")
            await top.start_child("a")  # its key is free


async def test_a_start_that_fails_leaves_nothing() -> None:
    class Unable(Session):
        def on_start(self) -> None:
            raise OSError("no database")

    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log, Unable), name="pool")

        for _ in range(10):  # a start that its starter is told of costs nothing of the window
            with pytest.raises(OSError, match="no database"):
                await top.start_child("a")

        assert (names(top), top.incarnation, len(system.actors(Actor))) == ([], 1, 1)


async def test_all_are_stopped_at_the_same_time_each_within_its_grace() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log, Slow), name="pool")
        for n in range(100):
            await top.start_child(f"c{n}")
        begin = anyio.current_time()

        await top.terminate_child("c0")
        assert anyio.current_time() - begin == 3
        await top.kill()
        await anyio.wait_all_tasks_blocked()
        assert (top.incarnation, names(top)) == (2, [])
        for n in range(100):
            await top.start_child(f"c{n}")
        begin = anyio.current_time()
    assert anyio.current_time() - begin == 3
    assert log.lines.count("c99 stop") == 1


async def test_none_comes_back_with_the_pool_and_what_it_had_is_given_up() -> None:
    log = Log()
    async with running() as system:
        strategy = Supervisor.dynamic(max_restarts=0)
        top = await system.spawn(pool(log, strategy=strategy), name="pool")
        a, b = [await top.start_child(key) for key in "ab"]
        a.tell(Fail())
        a.tell(Say("queued"))
        await anyio.wait_all_tasks_blocked()

        assert (top.incarnation, names(top), b.is_alive) == (2, [], False)
        assert letters(system)[-1] == (Say("queued"), "stopped")
        assert await (await top.start_child("a")).ask(Say("new"), timeout=1) == "new"


async def test_a_pool_that_ends_starts_nobody() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(pool(log, Slow), name="pool")
        await top.start_child("a")
        ending = top.stop()
        await anyio.sleep(1)

        with pytest.raises(StartFailed, match="ending"):
            await top.start_child("b")
        await ending


async def test_ten_thousand_children_start_are_found_fail_and_stop() -> None:
    class Many(Actor):
        durability = "volatile"
        live: ClassVar[int] = 0

        def on_start(self) -> None:
            Many.live += 1

        def on_stop(self) -> None:
            Many.live -= 1

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    class Pool(Supervisor):
        durability = "volatile"
        strategy = Supervisor.dynamic(max_restarts=10_000, max_children=10_000)
        children = (ChildSpec(Many),)

    async with running() as system:
        top = await system.spawn(Pool, name="pool")
        refs = [await top.start_child(str(n)) for n in range(10_000)]
        with pytest.raises(PoolFull):
            await top.start_child("one more")
        assert Many.live == len(top.which_children()) == 10_000

        for ref in refs[::10]:
            ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()
        assert {ref.incarnation for ref in refs[::10]} == {2}
        assert refs[1].incarnation == 1

        await top.terminate_child("777")
        assert top.count_children().active == 9_999
    assert Many.live == 0
