"""Answers that the store has kept: read back, as whoever sends a message again gets them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.actors.request import reply_type
from sentient_core.causes import in_a_line
from sentient_core.codec import tag_of
from sentient_core.errors import (
    ActorStopped,
    AskCycle,
    AskError,
    DeliveryError,
    HandlerFailed,
    MessageDropped,
    MessageExpired,
    ReplyUnreadable,
    UnhandledMessage,
)
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.outcomes import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentient_core.actors.cell import Cell
    from sentient_core.codec import Codec
    from sentient_core.store.outcomes import Outcome

__all__ = ["dead_error", "error_words", "no_reply", "replayed", "written_cycle"]

_STEP = "\n"  # which no path contains


def replayed(cell: Cell, message: object, outcome: Outcome) -> Any:
    """The recorded reply of `cell` to a message, or the recorded error: raised."""
    kind = outcome.kind
    if kind is OutcomeKind.REPLY:
        return _reply(cell, message, outcome)
    if kind is OutcomeKind.ERROR:
        raise _reply_error(cell, message, outcome)
    if kind is OutcomeKind.DEAD:
        raise dead_error(cell, message, outcome.name, str(_plain(cell, message, outcome)))
    if kind is OutcomeKind.UNREADABLE:
        raise ReplyUnreadable(message, cell.ref, "what was recorded of it was changed: it says no outcome")
    cycle = outcome.name.split(_STEP)
    if len(cycle) > 1:
        raise AskCycle(message, cell.ref, cycle)
    if not outcome.name:  # written by a release that did not say which
        raise AskError(message, cell.ref, "an earlier try was forwarded into a circle of asks")
    raise AskError(
        message,
        cell.ref,
        f"it was forwarded to '{outcome.name}', which writes no answers down, by an earlier try",
    )


def dead_error(cell: Cell, message: object, reason: str, cause: str) -> DeliveryError:
    """What who asks gets for a message that is a dead letter."""
    if reason in (DeadLetterReason.FAILED.value, DeadLetterReason.QUARANTINED.value):
        return HandlerFailed(message, cell.ref, f"its handler raised {cause}")
    return _BY_REASON.get(reason, AskError)(message, cell.ref, cause or reason)


_BY_REASON: dict[str, type[ActorStopped | MessageExpired | AskError]] = {
    DeadLetterReason.STOPPED.value: ActorStopped,
    DeadLetterReason.EXPIRED.value: MessageExpired,
    DeadLetterReason.UNHANDLED.value: UnhandledMessage,
    DeadLetterReason.DROPPED.value: MessageDropped,
}


def written_cycle(cycle: Sequence[str]) -> str:
    """The paths of a circle that a forward would have closed, in place of the one that it was to go to."""
    return _STEP.join(cycle)


def no_reply(error: Exception) -> str:
    """Why there is no reply to repeat of a message that was handled, and that nobody had asked."""
    return f"it was sent, and what its handler returned cannot be kept as a reply: {in_a_line(error)}"


def error_words(codec: Codec, error: Exception) -> dict[str, Any]:
    """An exception that is a reply, as it is written down: in words, and what it takes to make it anew."""
    words: dict[str, Any] = {"error": in_a_line(error)}
    for name, value in (("args", error.args), ("fields", vars(error))):
        try:
            codec.encode(value)
        except Exception:  # noqa: BLE001, S112 - then it is kept without
            continue
        words[name] = value
    return words


def _reply(cell: Cell, message: object, outcome: Outcome) -> Any:
    wanted = reply_type(type(message), cell.handler_of(type(message)))
    try:
        return cell.runtime.codec.decode(outcome.payload, wanted)
    except Exception as error:  # msgspec's, or whatever a hook of the type raises
        why = f"the recorded reply, stored as '{outcome.name}', is no {wanted!r} ({in_a_line(error)})"
        raise ReplyUnreadable(message, cell.ref, why) from error


def _reply_error(cell: Cell, message: object, outcome: Outcome) -> Exception:
    """One of the class's `reply_errors`, made anew; HandlerFailed, where that cannot be."""
    words = _plain(cell, message, outcome)
    if outcome.name == tag_of(ReplyUnreadable):
        return ReplyUnreadable(message, cell.ref, words["error"])
    kinds = [kind for kind in _and_below(cell.blueprint.reply_errors) if tag_of(kind) == outcome.name]
    made = _made_anew(kinds[0], words) if len(kinds) == 1 else None
    return made or HandlerFailed(message, cell.ref, f"its handler answered with {words['error']}")


def _made_anew(kind: type[Exception], words: Mapping[str, Any]) -> Exception | None:
    """The exception that was written down; None: it cannot be made of that."""
    if "args" not in words:
        return None
    is_whole = "fields" in words  # else a release before has written it, or they cannot be stored
    with suppress(Exception):  # its __init__ takes something else than its args
        made = kind(*words["args"])
        if not is_whole or in_a_line(made) == words["error"]:
            return made
    with suppress(Exception):  # the same with its __new__
        # Its __init__ has composed a sentence of what are its fields now: so past that, as pickle does.
        made = kind.__new__(kind, *words["args"])
        vars(made).update(words["fields"])
        return made
    return None


def _and_below(kinds: tuple[type[Exception], ...]) -> list[type[Exception]]:
    found: dict[type[Exception], None] = {}
    below = [*kinds]
    while below:
        kind = below.pop()
        if kind not in found:
            found[kind] = None
            below += type.__subclasses__(kind)
    return [*found]


def _plain(cell: Cell, message: object, outcome: Outcome) -> Any:
    try:
        return msgspec.msgpack.decode(outcome.payload)
    except msgspec.DecodeError as error:
        raise ReplyUnreadable(
            message, cell.ref, f"what was recorded of it was changed, or is torn ({in_a_line(error)})"
        ) from error
