"""One message to many actors: told to each, or asked of all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio
import msgspec

from sentient_core.actors.ref import ActorRef, cell_of, check_timeout
from sentient_core.errors import ForeignRef, InvalidArgument, SystemClosed, UnencodableMessage

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Runtime

__all__ = ["Answer", "ask_many", "broadcast", "check_ref"]

R = TypeVar("R")


class Answer(msgspec.Struct, Generic[R], frozen=True):
    """What one actor of many made of a question: its reply, or why there is none.

    ::

        for answer in await group.ask_many(Balance(), timeout=1.0):
            if answer.error is None:
                total += answer.reply
    """

    ref: ActorRef[Any]
    """Who was asked."""
    error: Exception | None = None
    """What `ask` would have raised; None if there is a reply."""
    _reply: R | None = None

    @property
    def reply(self) -> R:
        """The reply. Raises `error` where there is none."""
        if self.error is not None:
            raise self.error
        return cast("R", self._reply)


def broadcast(runtime: Runtime, refs: Iterable[ActorRef[Any]], message: object) -> int:
    """`tell` a message to each; returns how many it was told.

    Raises InvalidArgument, UnencodableMessage and SystemClosed before any of them has it.
    """
    targets = _checked(runtime, refs, message)
    for ref in targets:
        ref.tell(message)
    return len(targets)


async def ask_many(
    runtime: Runtime, refs: Iterable[ActorRef[Any]], message: Any, timeout: float
) -> list[Answer[Any]]:
    """`ask` all of them at the same time; returns their answers in the order of `refs`.

    Raises InvalidArgument, UnencodableMessage and SystemClosed before any of them has it. Cancelling it
    ends all the asks.
    """
    targets = _checked(runtime, refs, message)
    now = runtime.backend.now
    check_timeout(timeout)
    deadline = now() + timeout
    answers: dict[int, Answer[Any]] = {}

    async def ask(place: int, ref: ActorRef[Any]) -> None:
        try:
            # A task may begin late: the time that is left is as long for the last as for the first.
            reply = await ref.ask(message, timeout=max(deadline - now(), 1e-9))
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            answers[place] = Answer(ref, error)
        else:
            answers[place] = Answer(ref, None, reply)

    async with anyio.create_task_group() as tasks:
        for place, ref in enumerate(targets):
            tasks.start_soon(ask, place, ref)
    return [answers[place] for place in range(len(targets))]


def _checked(runtime: Runtime, refs: Iterable[ActorRef[Any]], message: object) -> list[ActorRef[Any]]:
    """The refs as a list, once nothing is left that is the caller's mistake."""
    if not runtime.is_open:
        raise SystemClosed(runtime.system.name, "send a message")
    targets = list(refs)
    cells = [check_ref(runtime, ref) for ref in targets]
    mirrored = next((cell for cell in cells if cell.blueprint.is_mirrored), None)
    if mirrored is not None:
        try:
            runtime.codec.encode(message)
        except Exception as error:  # as in Mirror.message
            raise UnencodableMessage(message, mirrored.path, str(error) or type(error).__name__) from error
    return targets


def check_ref(runtime: Runtime, ref: ActorRef[Any]) -> Cell:
    """The cell behind a ref of this system. Raises InvalidArgument, ForeignRef."""
    if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
        raise InvalidArgument(f"{ref!r} is no ref. Refs are made by spawning actors, or system.get(path).")
    cell = cell_of(ref).at_home()
    if cell.runtime is not runtime:
        raise ForeignRef(cell.ref, runtime.system.name, cell.runtime.system.name)
    return cell
