"""Links: two incarnations that fail together.

As in Erlang, where a process is what an incarnation is here. When one goes down with a cause, the other
fails with LinkBroken; when one ends in order, the link is gone and nothing else happens. So a link is not
a watch: a watch tells one side, of the end for good, by a message; a link ends the other side's
incarnation, at every failure, whether it is restarted or not, and is not there in the incarnation that
follows.

A link is dissolved on both sides before the other side is told. So nothing is told twice, and nothing
goes round in a circle of links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.errors import LinkBroken

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation

__all__ = ["dissolve", "link", "unlink"]


def link(life: Incarnation, target: Cell) -> None:
    """`Context.link`, to another cell. One that is down, even if it will be restarted, fails this one.

    With a virtual actor that is passive, its next instance is linked: else whether one may link to it would
    depend on how long it has been idle.
    """
    if target.is_down and not target.is_passive:
        _break(life, target, target.cause)
    else:
        other = target.belongings()
        life.links[other] = None
        other.links[life] = None


def unlink(life: Incarnation, target: Cell) -> None:
    """`Context.unlink`; also takes back a failure of the other that is under way to this one."""
    for other in [other for other in life.links if other.cell is target]:
        del life.links[other], other.links[life]
    signals = life.cell.signals
    for signal in tuple(signals or ()):
        if signals and isinstance(signal.cause, LinkBroken) and signal.cause.ref is target.ref:
            signals.remove(signal)


def dissolve(life: Incarnation, cause: BaseException | None) -> None:
    """An incarnation is over: end its links, and let those who were linked fail if it has failed."""
    links, life.links = life.links, {}
    for other in links:
        del other.links[life]
    if cause is not None:
        for other in links:
            _break(other, life.cell, cause)


def _break(life: Incarnation, broken: Cell, cause: BaseException | None) -> None:
    error = LinkBroken(life.cell.path, broken.ref, cause)
    error.__cause__ = cause
    life.fail(error, "link")
