"""A tree of actors as a text: box lines, aligned columns, and as many children as one cares to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentient_core.actors.administration import ChildStatus
from sentient_core.errors import InvalidArgument

if TYPE_CHECKING:
    from sentient_core.tree import TreeNode

__all__ = ["MOST_CHILDREN", "draw"]

MOST_CHILDREN = 20

_HEADS = ("", "kind", "status", "inc.", "restarts", "window", "queued", "oldest", "handled", "")
_RIGHT = frozenset((3, 4, 6, 7, 8))
"""Columns of numbers."""
_WIDEST = 60
"""A column is not made wider than this for one long entry."""
_LONGEST_CAUSE = 100
_QUIET = (ChildStatus.RUNNING, ChildStatus.PASSIVE, ChildStatus.ENDED)
"""An actor that is none of them is shown before others."""
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def draw(top: TreeNode, most_children: int, depth: int | None) -> str:
    """`TreeNode.text`."""
    if not _is_count(most_children) or not (depth is None or _is_count(depth)):
        raise InvalidArgument(f"most_children and depth count from 0 on, not {most_children!r} and {depth!r}")
    lines = _lines(top, most_children, depth)
    widths = [
        max((len(row[column]) for row in lines if len(row[column]) <= _WIDEST), default=0)
        for column in range(len(_HEADS))
    ]
    text = "\n".join(_aligned(row, widths) for row in lines)
    return f"{_summary(top)}\n{text}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _lines(top: TreeNode, most_children: int, depth: int | None) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = [_HEADS]
    # What is to be drawn yet: a node or a remark, the line before its name, the one before its children's.
    to_come: list[tuple[TreeNode | str, str, str, int]] = [(top, "", "", 0)]
    while to_come:
        node, before, below, level = to_come.pop()
        if isinstance(node, str):
            lines.append((before + node, *_HEADS[-1:] * (len(_HEADS) - 1)))
            continue
        lines.append(_row(before, node))
        items = _items(node, most_children, is_cut=depth is not None and level >= depth)
        for place, item in enumerate(reversed(items)):
            knot, line = ("└─ ", "   ") if place == 0 else ("├─ ", "│  ")
            to_come.append((item, below + knot, below + line, level + 1))
    return lines


def _items(node: TreeNode, most_children: int, *, is_cut: bool) -> list[TreeNode | str]:
    """What is drawn below a node: children, and in words those that are left out."""
    children = node.children
    if is_cut:
        return [_counted("below", [one for level, one in node.walk() if level])] if children else []
    if len(children) <= most_children:
        return list(children)
    noisy = [place for place, child in enumerate(children) if child.status not in _QUIET or child.abandoned]
    quiet = [place for place, child in enumerate(children) if child.status in _QUIET and not child.abandoned]
    shown = set([*noisy, *quiet][:most_children])
    left_out = [child for place, child in enumerate(children) if place not in shown]
    return [*(children[place] for place in sorted(shown)), f"and {_counted('more', left_out)}"]


def _row(before: str, node: TreeNode) -> tuple[str, ...]:
    window = node.window or node.own_window
    status: str = node.status
    if node.seconds_until_start is not None:
        status = f"{status} in {_time(node.seconds_until_start)}"
    if node.abandoned:
        status = f"{status}, {node.abandoned} abandoned"
    words = [] if node.strategy is None or not node.is_supervisor else [node.strategy]
    if window is not None:
        words.append(f"{window.restarts}/{window.max_restarts} in {window.within:g} s")
    return (
        before + node.name,
        node.kind,
        status,
        f"{node.incarnation:,}",
        f"{node.restarts:,}" if node.restarts else "-",
        " ".join(words),
        f"{node.queued:,}" if node.queued else "-",
        _time(node.oldest_age) if node.queued else "-",
        f"{node.handled:,}",
        "" if node.cause is None else _cut(node.cause),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _summary(top: TreeNode) -> str:
    nodes = [node for _, node in top.walk()]
    up = "" if top.uptime is None else f"up {_time(top.uptime)}, "
    queued, handled = sum(node.queued for node in nodes), sum(node.handled for node in nodes)
    actors = nodes[1:] if top.uptime is not None else nodes  # the root is no actor of the user's
    word = "actor" if len(actors) == 1 else "actors"
    return f"{top.name}: {up}{_counted(word, actors)}, {queued:,} queued, {handled:,} handled"


def _counted(word: str, nodes: Sequence[TreeNode]) -> str:
    """So many, and how they are: `12 actors (11 running, 1 paused)`."""
    statuses = Counter(node.status for node in nodes)
    words = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    return f"{len(nodes):,} {word} ({words})" if words else f"no {word}"


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} d"


def _cut(cause: str) -> str:
    line = " ".join(cause.split())
    return line if len(line) <= _LONGEST_CAUSE else f"{line[: _LONGEST_CAUSE - 1]}…"
