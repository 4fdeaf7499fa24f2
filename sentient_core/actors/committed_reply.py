"""Where the answer of a durable actor goes: to whoever is outside of durable turns once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from sentient_core.actors.current import current_cell
from sentient_core.actors.delivery import open_turn
from sentient_core.actors.settling import late_reply

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.backend import Slot

__all__ = ["bare", "is_given", "reply_slot"]


def reply_slot(slot: Slot[Any], target: Cell, message: object, *, is_kept: bool = False) -> Slot[Any]:
    """The slot for the reply of `target`, made of a plain one.

    A durable actor's answer says that something has happened, which is so only once it is committed. Who
    asks within a durable turn of the same system gets it at once: what he makes of it is committed later.
    `is_kept`: the store keeps the answer, so one that comes too late is no dead letter.
    """
    if target.inbox is None or isinstance(slot, _CommittedReply):
        return slot
    turn = open_turn()
    is_within = turn is not None and turn.runtime is target.runtime
    within = turn if is_within else None
    return _CommittedReply(slot, target, message, current_cell.get(), within, is_kept=is_kept)


def bare(slot: Slot[Any]) -> Slot[Any]:
    """The plain slot that `reply_slot` was given: what is set there does not wait for a commit."""
    return slot.plain if isinstance(slot, _CommittedReply) else slot


def is_given(slot: Slot[Any]) -> bool:
    """There is an outcome, which still waits for its commit."""
    return isinstance(slot, _CommittedReply) and slot.is_done and not slot.plain.is_done


class _CommittedReply:
    """A `Slot` that brings its outcome when all that was recorded before it is committed.

    Or at once, while the durable turn is open that the ask belongs to.
    """

    __slots__ = ("_asker", "_is_given", "_is_kept", "_message", "_target", "_turn", "plain")

    def __init__(
        self,
        slot: Slot[Any],
        target: Cell,
        message: object,
        asker: Cell | None,
        turn: OpenTurn | None,
        *,
        is_kept: bool,
    ) -> None:
        self.plain: Slot[Any] = slot
        """What who asked waits for."""
        self._is_kept = is_kept
        self._target = target
        self._message = message
        self._asker = asker
        self._turn = turn
        self._is_given = False

    @property
    def is_done(self) -> bool:
        return self._is_given or self.plain.is_done

    def set(self, value: Any) -> bool:
        return self._give(lambda: self._bring(value))

    def fail(self, error: BaseException) -> bool:
        return self._give(lambda: self.plain.fail(error))

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.plain.__await__()

    async def wait(self) -> Any:
        return await self.plain

    def abandon(self) -> Sequence[Any]:
        return self.plain.abandon()

    def _give(self, bring: Callable[[], object]) -> bool:
        if self.is_done:
            return False
        self._is_given = True
        if self._turn is not None and self._turn.is_open:
            bring()
            return True
        self._target.runtime.mirror.journal.when_committed(_Outcome(self.plain, bring))
        return True

    def _bring(self, value: Any) -> None:
        if not self.plain.set(value) and not self._is_kept:  # who asked has gone while it was committed
            late_reply(self._target, value, (self._message, self._asker, None, None), None)


class _Outcome:
    """A `Waiter` for the commit."""

    __slots__ = ("_bring", "_slot")

    def __init__(self, slot: Slot[Any], bring: Callable[[], object]) -> None:
        self._slot = slot
        self._bring = bring

    def set(self, _value: None) -> None:
        self._bring()

    def fail(self, error: BaseException) -> None:
        self._slot.fail(error)
