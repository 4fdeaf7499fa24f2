"""One message to many actors: told to each, or asked of all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio
import msgspec

from sentient_core.actors import delivery
from sentient_core.actors.asking import ask_as_one, check_cycle
from sentient_core.actors.current import current_cell
from sentient_core.actors.recoverable import check_recoverable
from sentient_core.actors.ref import ActorRef, cell_of, check_timeout, posting_of
from sentient_core.errors import AskCycle, ForeignRef, InvalidArgument, SystemClosed

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Runtime
    from sentient_core.backend import Slot

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

    def __repr__(self) -> str:
        outcome = f"reply={self._reply!r}" if self.error is None else f"error={self.error!r}"
        return f"Answer(ref={self.ref!r}, {outcome})"


def broadcast(runtime: Runtime, refs: Iterable[ActorRef[Any]], message: object) -> int:
    """`tell` a message to each; returns how many it was told.

    Raises what `tell` raises (InvalidArgument, ForeignRef, UnencodableMessage, UncopyableMessage,
    SystemClosed) before any of them has it.
    """
    targets = _checked(runtime, refs, message)
    for ref in targets:
        ref.tell(message)
    return len(targets)


async def ask_many(
    runtime: Runtime, refs: Iterable[ActorRef[Any]], message: Any, timeout: float
) -> list[Answer[Any]]:
    """`ask` all of them at the same time; returns their answers in the order of `refs`.

    Raises as `broadcast`. Cancelling it ends all the asks.
    """
    check_timeout(timeout)
    targets = _checked(runtime, refs, message)
    now = runtime.backend.now
    deadline = now() + timeout
    asker = current_cell.get()
    if asker is None or not asker.is_in_turn or asker.runtime is not runtime:
        asker = None
    answers = {} if asker is None else _circles(asker, targets, message)

    crowd: list[tuple[Cell, Slot[Any]]] = []

    async def ask(place: int, ref: ActorRef[Any]) -> None:
        # A task may begin late: the time that is left is as long for the last as for the first.
        left = max(deadline - now(), 1e-9)
        try:
            if asker is None:
                reply = await ref.ask(message, timeout=left)
            else:
                reply = await ask_as_one(cell_of(ref), message, left, posting_of(ref), crowd)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            answers[place] = Answer(ref, error)
        else:
            answers[place] = Answer(ref, None, reply)

    if asker is not None:
        runtime.crowds[asker] = crowd
    try:
        async with anyio.create_task_group() as tasks:
            for place, ref in enumerate(targets):
                if place not in answers:
                    tasks.start_soon(ask, place, ref)
    finally:
        if asker is not None and runtime.crowds.get(asker) is crowd:  # else the turn was abandoned in it
            del runtime.crowds[asker]
    return [answers[place] for place in range(len(targets))]


def _circles(asker: Cell, targets: list[ActorRef[Any]], message: object) -> dict[int, Answer[Any]]:
    """The answers of those who wait for `asker` themselves, by their place: they are not asked."""
    answers: dict[int, Answer[Any]] = {}
    for place, ref in enumerate(targets):
        try:
            check_cycle(asker.runtime, asker, cell_of(ref).at_home(), message)
        except AskCycle as error:
            answers[place] = Answer(ref, error)
    return answers


def _checked(runtime: Runtime, refs: Iterable[ActorRef[Any]], message: object) -> list[ActorRef[Any]]:
    """The refs as a list, once nothing is left that is the caller's mistake."""
    if not runtime.is_open:
        raise SystemClosed(runtime.system.name, "send a message")
    if isinstance(refs, ActorRef):
        raise InvalidArgument(f"{refs!r} is one ref, and several are taken: [ref], or a list of them")
    if not hasattr(refs, "__iter__"):
        raise InvalidArgument(f"{refs!r} is no list of refs")
    targets = list(refs)
    cells = [check_ref(runtime, ref) for ref in targets]
    delivery.check_message(message)
    for cell in cells:
        if cell.inbox is not None:
            check_recoverable(cell.blueprint, message, cell.path)
    mirrored = next((cell for cell in cells if cell.mailbox.is_mirrored), None)
    if mirrored is not None:
        sender = current_cell.get()
        if sender is not None:
            delivery.check_system(mirrored, sender)
        runtime.mirror.encoded(message, mirrored.path)
    isolated = {cell.mailbox.isolation: cell for cell in cells}  # one of each kind shows it
    for cell in isolated.values():
        delivery.content_for(cell, message)
    return targets


def check_ref(runtime: Runtime, ref: ActorRef[Any]) -> Cell:
    """The cell behind a ref of this system. Raises InvalidArgument, ForeignRef."""
    if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
        raise InvalidArgument(f"{ref!r} is no ref. Refs are made by spawning actors, or system.get(path).")
    cell = cell_of(ref).at_home()
    if cell.runtime is not runtime:
        raise ForeignRef(cell.ref, runtime.system.name, cell.runtime.system.name)
    return cell
