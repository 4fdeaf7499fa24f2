"""Isolation at work: what a message goes through on its way to an actor that asks for it, or its reply."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sentient_core.actors.handover import handed_over
from sentient_core.actors.settling import fail_asker, source_of
from sentient_core.actors.special import Special, plain
from sentient_core.causes import in_a_line
from sentient_core.errors import MessageChanged, SentientError, UncopyableMessage
from sentient_core.mailbox import Isolation
from sentient_core.mailbox.isolation import fingerprint

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.mailbox.envelope import Entry

__all__ = ["isolated", "isolated_reply"]


def isolated(cell: Cell, message: object) -> Any:
    """What is to be queued for `cell` instead of a message. Raises UncopyableMessage."""
    try:
        if cell.mailbox.isolation is not Isolation.COPY:
            return _Checked(message)
        copied = handed_over(message)
        # What nobody can change is handed over as it is, at every attempt.
        return copied if copied is message or cell.blueprint.max_attempts == 1 else _Renewed(copied)
    except Exception as error:  # whatever the message's own methods raise when it is copied
        raise UncopyableMessage(message, cell.path, in_a_line(error)) from error


def isolated_reply(cell: Cell, reply: object, asker: str) -> Any:
    """What the asker gets of a reply by `cell`. Raises UncopyableMessage."""
    if cell.mailbox.isolation is not Isolation.COPY:
        return reply
    try:
        return handed_over(reply)
    except Exception as error:  # as above
        why = f"as a reply of '{cell.path}', {in_a_line(error)}"
        raise UncopyableMessage(reply, asker, why) from error


class _Checked(Special):
    """A message that must look the same when its turn comes."""

    __slots__ = ("_fingerprint", "handler")

    def __init__(self, message: object) -> None:
        super().__init__(message)
        self.handler: Handler | None = None
        self._fingerprint = fingerprint(message)

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Always; in place of the handler of one that was changed the failure runs."""
        if fingerprint(self.message) != self._fingerprint:
            error = MessageChanged(plain(entry)[0], cell.ref, source_of(cell, entry[1]))
            fail_asker(entry, error)
            self.handler = (partial(_fail, error), False)
        return True


class _Renewed(Special):
    """A copy that is copied once more for each attempt: none sees what the one before it made of its own."""

    __slots__ = ("_pristine", "handler")

    is_kept = True

    def __init__(self, copied: object) -> None:
        super().__init__(copied)
        self.handler: Handler | None = None
        self._pristine = copied

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Always; in place of the handler of one that cannot be copied any more the failure runs."""
        try:
            self.message = handed_over(self._pristine)
        except Exception as error:  # noqa: BLE001 - as in `isolated`
            self.handler = (
                partial(_fail, UncopyableMessage(self._pristine, cell.path, in_a_line(error))),
                False,
            )
        return True


def _fail(error: SentientError, _actor: object, _message: object) -> None:
    raise error
