"""The actors of a system as a tree, at one moment: as data, and as a text to read.

Read off what the runtime keeps anyway, without recursion: a tree may be thousands of actors deep, and a
supervisor may have a hundred thousand children. It takes some microseconds per actor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from sentient_core.actors.administration import ChildStatus
from sentient_core.actors.cell import CellStatus
from sentient_core.causes import in_a_line
from sentient_core.drawing import MOST_CHILDREN, draw
from sentient_core.supervisor.administration import status_of

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Family

__all__ = ["RestartsInWindow", "TreeNode", "tree_of"]


class RestartsInWindow(msgspec.Struct, frozen=True, gc=False):
    """How much of a window of restarts is used."""

    restarts: int
    """Those that count by now."""
    max_restarts: int
    within: float
    """Length of the window in seconds."""


class TreeNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An actor, and those below it, at one moment.

    Plain data, which `msgspec.json.encode` takes unless it is some hundred actors deep: `walk` is for trees
    of any depth. `str(node)` is `node.text()`.
    """

    name: str
    """The last part of its path; the system's name for the root."""
    path: str
    """Empty for the root."""
    kind: str
    """The name of its class."""
    is_supervisor: bool
    strategy: str | None
    """How it restarts its children: `one_for_one`, and so on; None for one that has none."""
    window: RestartsInWindow | None
    """Of its children's restarts; None for one that has none, or gives each child a window of its own."""
    own_window: RestartsInWindow | None
    """Of its own restarts, where its supervisor gives each child one and has restarted it."""
    status: ChildStatus
    seconds_until_start: float | None
    """For how long it waits before it is started again; None where it does not wait for a time."""
    incarnation: int
    restarts: int
    """How often it was started again; where the store knows it, in earlier starts of the process too."""
    queued: int
    """Messages in its mailbox."""
    oldest_age: float
    """Seconds that the oldest of them has waited; see `MailboxStatistics`."""
    handled: int
    """Messages whose handler has returned, over all its incarnations in this system."""
    cause: str | None
    """Why it is down or paused, in a line."""
    abandoned: int
    """Turns of it that did not end when they were cancelled, and still run beside it."""
    uptime: float | None = None
    """Seconds since the system was entered; of the root alone."""
    children: tuple[TreeNode, ...] = ()
    """In start order."""

    def walk(self) -> Iterator[tuple[int, TreeNode]]:
        """This actor and all below it, parents first, in start order, each with its depth from 0."""
        to_come: list[tuple[int, TreeNode]] = [(0, self)]
        while to_come:
            level, node = to_come.pop()
            yield level, node
            to_come.extend((level + 1, child) for child in reversed(node.children))

    def text(self, most_children: int = MOST_CHILDREN, depth: int | None = None) -> str:
        """A drawing of the tree, one line for each actor, below a line that counts them.

        Of more than `most_children` children as many are shown, first those that are not as they should be;
        the others are counted. `depth`: as many levels below this actor are shown; None: all.
        Raises InvalidArgument.
        """
        return draw(self, most_children, depth)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"TreeNode({self.path!r}, {self.status}, {len(self.children)} children)"


def tree_of(top: Cell, *, name: str | None = None, uptime: float | None = None) -> TreeNode:
    """The tree below a cell. `name` and `uptime` are for the root. For the loop's thread."""
    cells: list[Cell] = []
    families: dict[Cell, Sequence[Cell]] = {}
    to_come = [top]
    while to_come:
        cell = to_come.pop()
        cells.append(cell)
        if cell.family is not None and cell.is_alive:
            families[cell] = below = cell.family.listed()
            to_come.extend(below)
    now = top.runtime.backend.now()
    abandoned = Counter(turn.path for turn in top.runtime.abandoned)
    nodes: dict[Cell, TreeNode] = {}
    for cell in reversed(cells):  # children come behind their parents: they are in here before them
        children = tuple([nodes.pop(child) for child in families.get(cell, ())])
        nodes[cell] = _node(cell, children, now, abandoned[cell.path] if abandoned else 0)
    node = nodes[top]
    return node if name is None else msgspec.structs.replace(node, name=name, kind="", uptime=uptime)


def _node(cell: Cell, children: tuple[TreeNode, ...], now: float, abandoned: int) -> TreeNode:
    status, family, mailbox = cell.status, cell.family, cell.mailbox
    queued, restarts = mailbox.depth, cell.restarts
    strategy = None if family is None else family.strategy
    return TreeNode(
        name=cell.name,
        path=cell.path,
        kind=cell.blueprint.cls.__qualname__,
        is_supervisor=cell.blueprint.cls.__supervises__,
        strategy=None if strategy is None else strategy.word,
        window=None if family is None else _window(family, None),
        own_window=_window(cell.above, cell) if restarts else None,
        status=ChildStatus.RUNNING if status is _RUNNING else status_of(cell),  # its hash is slow
        seconds_until_start=cell.above.seconds_until_start(cell) if status is _DOWN else None,
        incarnation=cell.incarnation,
        restarts=restarts,
        queued=queued,
        oldest_age=mailbox.statistics(0, now, is_paused=cell.is_paused).oldest_age if queued else 0.0,
        handled=cell.handled,
        cause=None if status is _RUNNING else _cause(cell),
        abandoned=abandoned,
        children=children,
    )


def _window(family: Family, child: Cell | None) -> RestartsInWindow | None:
    strategy = family.strategy
    if strategy is None or strategy.is_per_child is (child is None):
        return None
    restarts = family.restarts_in_window(child)
    if child is not None and not restarts:
        return None
    return RestartsInWindow(restarts, strategy.max_restarts, strategy.within)


def _cause(cell: Cell) -> str | None:
    runtime = cell.runtime
    if cell.path in runtime.paused:
        return runtime.paused[cell.path]
    cause = runtime.failing.get(cell.path) or cell.cause
    return None if cause is None else in_a_line(cause)


_RUNNING = CellStatus.RUNNING
_DOWN = CellStatus.DOWN
