"""The reporter: passes on how far the site is to the person who watches."""

from __future__ import annotations

from examples.site.board import Board
from examples.site.messages import Progress, Rendered
from sentient_core import Actor, handles

__all__ = ["Reporter"]


class Reporter(Actor):
    """Writes on the board. It is the instrument, not part of the experiment: the plan spares it."""

    def __init__(self, board: Board) -> None:
        self._board = board

    @handles
    def progress(self, message: Progress) -> None:
        self._board.show(message)

    @handles
    def rendered(self, message: Rendered) -> None:
        self._board.count_rendered()
