"""Where workflows tell that something has changed, for those in this process who wait for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime

__all__ = ["Board", "Watched", "board_of"]


class Watched:
    """One workflow, for those who wait."""

    __slots__ = ("_changed", "is_over", "users")

    def __init__(self) -> None:
        self._changed = anyio.Event()
        self.is_over: bool = False
        """It has ended: what it came to stands in its row."""
        self.users: int = 0

    @property
    def news(self) -> anyio.Event:
        """Set with the next change that is committed. Take it before you look."""
        return self._changed

    def tell(self, *, is_over: bool) -> None:
        """A change is committed."""
        self.is_over = self.is_over or is_over
        self._changed.set()
        self._changed = anyio.Event()


class Board:
    """See the module. The rows are the truth; this only says when to look."""

    def __init__(self) -> None:
        self._watched: dict[str, Watched] = {}
        self.is_recovered: bool = False
        """What earlier starts have left unfinished was looked for."""

    @contextmanager
    def watching(self, workflow_id: str) -> Generator[Watched, None, None]:
        """Watch a workflow for a while."""
        watched = self._watched.setdefault(workflow_id, Watched())
        watched.users += 1
        try:
            yield watched
        finally:
            watched.users -= 1
            if not watched.users:
                del self._watched[workflow_id]

    def tell(self, workflow_id: str, *, is_over: bool) -> None:
        """A change of a workflow is committed."""
        watched = self._watched.get(workflow_id)
        if watched is not None:
            watched.tell(is_over=is_over)


def board_of(runtime: Runtime) -> Board:
    """That of a system, made on first use."""
    board = runtime.extensions.get(Board)
    if not isinstance(board, Board):
        board = runtime.extensions[Board] = Board()
    return board
