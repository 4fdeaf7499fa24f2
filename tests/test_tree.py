"""`system.tree()`: every actor with how it is, as data and as a text."""

from __future__ import annotations

from threading import Thread
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    Backoff,
    ChildSpec,
    ChildStatus,
    InvalidArgument,
    MemoryStore,
    RestartsInWindow,
    Supervisor,
    SystemClosed,
    TreeNode,
    UnknownActor,
    WrongThread,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, VolatileCounter, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Bank(Supervisor):
    """Keeps an account, and one that waits before it comes back."""

    strategy = Supervisor.one_for_one(max_restarts=5, within=60.0)
    children = (
        ChildSpec(VolatileCounter, name="alice"),
        ChildSpec(VolatileCounter, name="bob", backoff=Backoff(first=30.0, jitter=0.0)),
    )


class Pool(Supervisor):
    strategy = Supervisor.dynamic()
    children = (ChildSpec(VolatileCounter),)


def below(node: TreeNode) -> dict[str, TreeNode]:
    return {one.path: one for _, one in node.walk()}


async def test_a_tree_has_every_actor_with_how_it_is() -> None:
    async with running() as system:
        await system.spawn(Bank, name="bank")
        alice, bob = system.get("bank/alice"), system.get("bank/bob")
        await alice.ask(Total(), timeout=1)
        bob.tell(Fail("no money"))
        bob.tell(Add())
        await anyio.sleep(10)

        tree = system.tree()

    assert [(level, node.path) for level, node in tree.walk()] == [
        (0, ""),
        (1, "bank"),
        (2, "bank/alice"),
        (2, "bank/bob"),
    ]
    root, bank, a, b = (node for _, node in tree.walk())
    assert (root.name, root.is_supervisor, root.strategy, root.window) == ("test", True, "one_for_one", None)
    assert root.uptime == 10.0
    assert (bank.name, bank.kind, bank.is_supervisor, bank.strategy) == ("bank", "Bank", True, "one_for_one")
    assert (bank.window, bank.uptime) == (RestartsInWindow(1, 5, 60.0), None)
    assert (a.name, a.kind, a.is_supervisor, a.strategy, a.window) == (
        "alice",
        "VolatileCounter",
        False,
        None,
        None,
    )
    assert (a.status, a.incarnation, a.restarts, a.handled) == ("running", 1, 0, 1)
    assert (a.queued, a.oldest_age, a.cause, a.seconds_until_start) == (0, 0.0, None, None)
    assert (b.status, b.incarnation, b.restarts, b.queued) == (ChildStatus.RESTARTING, 1, 0, 1)
    assert (b.cause, b.seconds_until_start, b.oldest_age) == ("ValueError: no money", 20.0, 10.0)


async def test_a_child_of_the_root_has_a_window_of_its_own() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a")
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)

        (node,) = system.tree().children
        assert (node.own_window, node.restarts) == (RestartsInWindow(1, 3, 5.0), 1)
        await anyio.sleep(6)
        (node,) = system.tree().children
        assert (node.own_window, node.restarts) == (None, 1)


async def test_restarts_of_earlier_starts_of_the_process_count() -> None:
    store = MemoryStore()
    for times in (1, 2):
        async with running(store=store) as system:
            ref = await system.spawn(Counter, name="a")
            ref.tell(Fail())
            await ref.ask(Total(), timeout=1)

            assert system.tree("a").restarts == times


async def test_a_group_that_waits_waits_together() -> None:
    class Group(Supervisor):
        strategy = Supervisor.one_for_all(backoff=Backoff(first=30.0, jitter=0.0))
        children = tuple(ChildSpec(VolatileCounter, name=name) for name in "ab")

    async with running() as system:
        await system.spawn(Group, name="group")
        system.get("group/a").tell(Fail())
        await anyio.sleep(5)

        nodes = system.tree("group").children

    assert [(node.status, node.seconds_until_start) for node in nodes] == [("restarting", 25.0)] * 2


async def test_actors_that_are_paused_ended_passive_or_busy() -> None:
    gate = Gate()
    async with running() as system:
        paused = await system.spawn(VolatileCounter, name="paused")
        paused.pause()
        bank = await system.spawn(Bank, name="bank")
        await bank.terminate_child("alice")
        virtual = await system.get_or_spawn(Counter, "v")
        await virtual.ask(Total(), timeout=1)
        await virtual.stop()
        busy = await system.spawn(Recorder, Log(), gate, name="busy")
        busy.tell(Pass())
        busy.tell(Say("later"))
        await gate.reached.wait()
        await anyio.sleep(3)
        busy.stop()
        await anyio.wait_all_tasks_blocked()

        nodes = below(system.tree())
        gate.open.set()

    assert (nodes["paused"].status, nodes["paused"].cause) == ("paused", "somebody asked for it")
    assert nodes["bank/alice"].status == "ended"
    assert (nodes["Counter/v"].status, nodes["Counter/v"].restarts) == ("passive", 0)
    assert (nodes["Counter"].kind, nodes["Counter"].window) == ("VirtualSupervisor", None)
    assert (nodes["busy"].queued, nodes["busy"].oldest_age) == (1, 3.0)


async def test_an_actor_goes_on_beside_a_turn_that_does_not_end() -> None:
    gate = Gate()

    class Stubborn(VolatileCounter):
        @handles
        async def wait(self, message: Pass) -> str:
            with anyio.CancelScope(shield=True):
                await gate()
            return "late"

    async with running() as system:
        others = [await system.spawn(VolatileCounter, name=f"a{n}") for n in range(3)]
        ref = await system.spawn(Stubborn, name="b")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.kill()
        await anyio.sleep(60)

        tree = system.tree()
        gate.open.set()
        await anyio.wait_all_tasks_blocked()

        assert (below(tree)["b"].abandoned, below(tree)["b"].status, below(tree)["b"].incarnation) == (
            1,
            "running",
            2,
        )
        assert "running, 1 abandoned" in tree.text(most_children=1)
        assert all(other.name not in tree.text(most_children=1) for other in others)
        assert system.tree("b").abandoned == 0


async def test_a_virtual_actor_that_fails_too_often_waits_for_its_window() -> None:
    async with running() as system:
        ref = await system.get_or_spawn(Counter, "v")
        for _ in range(4):
            ref.tell(Fail())
        await anyio.sleep(1)

        node = system.tree("Counter/v")

    assert (node.status, node.own_window) == ("restarting", RestartsInWindow(3, 3, 5.0))
    assert node.seconds_until_start == pytest.approx(4.0, abs=0.01)


async def test_a_part_of_the_tree_and_what_is_not_there() -> None:
    async with running() as system:
        await system.spawn(Bank, name="bank")

        assert [node.path for _, node in system.tree("bank/alice").walk()] == ["bank/alice"]
        assert len(list(system.tree("bank").walk())) == 3
        with pytest.raises(UnknownActor, match="bank/alice"):
            system.tree("bank/alise")
    with pytest.raises(SystemClosed):
        ActorSystem("test", store=MemoryStore()).tree()
    assert [(node.path, node.status) for _, node in system.tree().walk()] == [("", "ended")]


async def test_another_thread_is_told_how_to_ask() -> None:
    raised: list[BaseException] = []

    async with running() as system:

        def look() -> None:
            try:
                system.tree()
            except WrongThread as error:
                raised.append(error)

        thread = Thread(target=look)
        thread.start()
        thread.join()

    assert "system.from_thread.call(system.tree)" in str(raised[0])


async def test_a_tree_is_plain_data() -> None:
    async with running() as system:
        await system.spawn(Bank, name="bank")

        data: Any = msgspec.json.decode(msgspec.json.encode(system.tree()))

    assert data["children"][0]["children"][1]["name"] == "bob"
    assert data["children"][0]["window"] == {"restarts": 0, "max_restarts": 5, "within": 60.0}


async def test_a_text_to_read() -> None:
    async with running("shop") as system:
        await system.spawn(Bank, name="bank")
        alice, bob = system.get("bank/alice"), system.get("bank/bob")
        for _ in range(3):
            alice.tell(Add())
        bob.tell(Fail("no\nmoney"))
        bob.tell(Add())
        await anyio.sleep(27.5)
        pool = await system.spawn(Pool, name="pool")
        for name in ("x", "y"):
            await pool.start_child(name)
        system.get("pool/y").pause()
        await anyio.wait_all_tasks_blocked()

        assert str(system.tree()) == TEXT.strip("\n")
        assert str(system.tree("pool/x")) == PART.strip("\n")


TEXT = """
shop: up 27.5 s, 6 actors (4 running, 1 restarting, 1 paused), 1 queued, 3 handled
             kind             status               inc.  restarts  window                   queued  oldest  handled
shop                          running                 1         -  one_for_one                   -       -        0
├─ bank      Bank             running                 1         -  one_for_one 1/5 in 60 s       -       -        0
│  ├─ alice  VolatileCounter  running                 1         -                                -       -        3
│  └─ bob    VolatileCounter  restarting in 2.5 s     1         -                                1  27.5 s        0  ValueError: no money
└─ pool      Pool             running                 1         -  dynamic 0/3 in 5 s            -       -        0
   ├─ x      VolatileCounter  running                 1         -                                -       -        0
   └─ y      VolatileCounter  paused                  1         -                                -       -        0  somebody asked for it
"""  # noqa: E501 - a text as it is

PART = """
x: 1 actor (1 running), 0 queued, 0 handled
   kind             status   inc.  restarts  window  queued  oldest  handled
x  VolatileCounter  running     1         -               -       -        0
"""


async def test_of_many_children_those_are_shown_that_are_not_as_they_should_be() -> None:
    class Town(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=9, backoff=Backoff(first=1.0, jitter=0.0))
        children = tuple(ChildSpec(VolatileCounter, name=f"a{n:04}") for n in range(3_000))

    async with running() as system:
        await system.spawn(Town, name="town")
        for n in (2_000, 2_500):
            system.get(f"town/a{n}").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        tree = system.tree("town")

    names = [line.split()[1] for line in str(tree).splitlines()[3:]]
    assert names == [*(f"a{n:04}" for n in range(18)), "a2000", "a2500", "and"]
    assert str(tree).splitlines()[-1] == "└─ and 2,980 more (2,980 running)"
    assert tree.text(most_children=1).splitlines()[-1] == "└─ and 2,999 more (2,998 running, 1 restarting)"
    assert tree.text(most_children=0).splitlines()[3:] == ["└─ and 3,000 more (2,998 running, 2 restarting)"]
    assert tree.text(depth=0).splitlines()[3:] == ["└─ 3,000 below (2,998 running, 2 restarting)"]
    assert len(tree.text(most_children=5_000).splitlines()) == 3_003


async def test_a_tree_thousands_deep_is_read_and_drawn_without_recursion() -> None:
    async with running() as system:
        ref: ActorRef[Any] = await system.spawn(Supervisor, name="s0")
        for n in range(1, 2_048):
            ref = await system.spawn_child(
                cell_of(ref), Supervisor, (), {}, name=f"s{n}", restart="transient", shutdown=None
            )

        tree = system.tree()
        text = tree.text()

    assert [level for level, _ in tree.walk()] == list(range(2_049))
    assert len(text.splitlines()) == 2_051
    assert "s2047" in text.splitlines()[-1]
    assert tree.text(depth=2).splitlines()[-1].strip() == "└─ 2,046 below (2,046 running)"


@pytest.mark.parametrize(
    "wrong", [{name: value} for name in ("most_children", "depth") for value in (-1, "-1")]
)
async def test_what_cannot_be_drawn_is_refused(wrong: dict[str, Any]) -> None:
    async with running() as system:
        tree = system.tree()

    with pytest.raises(InvalidArgument, match="-1"):
        tree.text(**wrong)


async def test_looking_changes_nothing() -> None:
    class Idle(Actor):
        durability = "volatile"

    async with running() as system:
        await system.spawn(Idle, name="a")

        first, second = system.tree(), system.tree()

        assert first == second
        assert cell_of(system.get("a")).mailbox.tally is None


def node(name: str, status: ChildStatus, children: list[TreeNode]) -> TreeNode:
    return TreeNode(
        name=name,
        path=name,
        kind="Kind",
        is_supervisor=bool(children),
        strategy=None,
        window=None,
        own_window=None,
        status=status,
        seconds_until_start=None,
        incarnation=1,
        restarts=0,
        queued=0,
        oldest_age=0.0,
        handled=0,
        cause=None,
        abandoned=0,
        children=tuple(children),
    )


names = st.text("xyz", min_size=1, max_size=70)
leaves = st.builds(node, names, st.sampled_from(ChildStatus), st.just([]))


def with_children(inner: st.SearchStrategy[TreeNode]) -> st.SearchStrategy[TreeNode]:
    return st.builds(node, names, st.sampled_from(ChildStatus), st.lists(inner, max_size=6))


nodes = st.recursive(leaves, with_children, max_leaves=40)


@given(nodes)
def test_a_whole_text_has_a_line_for_each_actor_in_order(tree: TreeNode) -> None:
    lines = tree.text(most_children=10).splitlines()[2:]

    drawn = [line.lstrip("│├└─ ").split()[0] for line in lines]
    assert drawn == [one.name for _, one in tree.walk()]
    indents = [len(line) - len(line.lstrip("│├└─ ")) for line in lines]
    assert indents == [3 * level for level, _ in tree.walk()]


@given(nodes, st.integers(0, 3), st.integers(0, 3))
def test_whatever_is_left_out_is_counted(tree: TreeNode, most: int, depth: int) -> None:
    lines = tree.text(most_children=most, depth=depth).splitlines()[2:]

    shown = [line for line in lines if " Kind " in line]
    remarks = [line for line in lines if " Kind " not in line]
    direct = sum(int(line.split("and ")[1].split()[0]) for line in remarks if " more " in line)
    assert all(" more (" in line or " below (" in line for line in remarks)
    assert len(shown) + direct <= len(list(tree.walk()))
    if most == 3 and depth == 3:
        assert all(len(line) - len(line.lstrip("│├└─ ")) <= 12 for line in lines)
    if not remarks:
        assert len(shown) == len(list(tree.walk()))
