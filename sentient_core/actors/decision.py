"""What a failure means: decided here, as pure functions over the exception alone.

A failure asks two questions: what becomes of the actor (`Directive`), and what becomes of the message it
had in hand (`MessageFate`). Rules answer the first, in this order: those of the child's spec, those of its
supervisor's strategy, then what the exception says of itself (`RateLimited`, `Transient`, `Poison`,
`BudgetExceeded`, `StoreUnavailable`), and a restart for all others. Of several exceptions in a group each is
decided by itself, and the most severe decision holds.

Prior art: the deciders of Akka's supervision (resume, restart, stop, escalate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, StrEnum
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeAlias, cast

import msgspec

from sentient_core.causes import in_a_line
from sentient_core.errors import (
    AgentFailure,
    BudgetExceeded,
    Escalated,
    InvalidDecision,
    Poison,
    RateLimited,
    StartFailed,
    StoreUnavailable,
    Transient,
)

__all__ = [
    "RESTARTED",
    "Decision",
    "Directive",
    "DirectiveName",
    "MessageFate",
    "Rule",
    "Rules",
    "check_rules",
    "decide",
    "leaves",
    "speaks",
]

MOST_LEAVES = 100
"""Of a group of exceptions, that are looked at."""


class Directive(StrEnum):
    """What becomes of an actor that has failed; the later, the more severe."""

    RESUME = "resume"
    """It goes on with its next message, its state as it is. After a start that failed: restart."""
    QUARANTINE = "quarantine"
    """As resume, and its message is quarantined at once, however many attempts it had left."""
    PAUSE = "pause"
    """It keeps its message and takes none until `ref.resume()`. After a start that failed: restart."""
    RESTART = "restart"
    """A new incarnation, as its restart type says."""
    STOP = "stop"
    """It ends for good, whatever its restart type."""
    ESCALATE = "escalate"
    """Its supervisor fails with it."""


DirectiveName: TypeAlias = Literal["resume", "quarantine", "pause", "restart", "stop", "escalate"]
Matcher: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]"
Rules: TypeAlias = "Mapping[Any, str] | Iterable[tuple[Matcher, Directive | DirectiveName]]"
"""Which failures are decided how: the first that matches holds.

A matcher is an exception class (subclasses match as well), a tuple of them, or a function of the exception.
One that raises does not match; what it raised becomes a note of the exception.
"""


class MessageFate(Enum):
    """What becomes of the message in hand."""

    BY_ATTEMPTS = "by_attempts"
    """It is tried again while it has attempts left; after its last one it is a dead letter."""
    QUARANTINED = "quarantined"
    """It is not tried again, whatever attempts are left."""
    KEPT = "kept"
    """It goes back to the head of the mailbox as if it had not been taken."""


class Decision(msgspec.Struct, frozen=True):
    """What becomes of an actor and of its message."""

    directive: Directive = Directive.RESTART
    fate: MessageFate = MessageFate.BY_ATTEMPTS
    attempts: int = 1
    """The message is tried at least this often, whatever `max_attempts` of its actor's class."""
    not_before: float = 0.0
    """Seconds that a restart waits at least."""
    is_free: bool = False
    """The restart costs nothing of the window: it is the store that is away."""


class Rule(msgspec.Struct, frozen=True):
    """One rule, checked."""

    matcher: type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
    directive: Directive

    def matches(self, error: Exception) -> bool:
        """Whether it is for this exception."""
        matcher = self.matcher
        if isinstance(matcher, type | tuple):
            return isinstance(error, matcher)
        try:
            return bool(matcher(error))
        except Exception as mistake:  # noqa: BLE001 - a rule of the user's that does not work
            error.add_note(f"a rule of its supervision raised {in_a_line(mistake)}, so it was passed over")
            return False


RESTARTED = Decision()
"""The usual decision."""

_SPEAKING = (AgentFailure, StoreUnavailable, Escalated, StartFailed, BaseExceptionGroup)


def decide(error: BaseException, *rule_sets: tuple[Rule, ...]) -> Decision:
    """What a failure means, by the first rule that matches, of the first set that has one.

    Never raises: an exception that is not as its class says (a subclass of RateLimited whose `__init__` does
    not call that of RateLimited) is a restart, and a note says why.
    """
    try:
        return _decided(error, rule_sets)
    except Exception as mistake:  # noqa: BLE001 - attributes and groups of the user's exceptions
        error.add_note(f"what it says of itself could not be understood: {in_a_line(mistake)}")
        return RESTARTED


def _decided(error: BaseException, rule_sets: tuple[tuple[Rule, ...], ...]) -> Decision:
    if _has_leaves(error):
        return _together([_decide(leaf, rule_sets) for leaf in leaves(error)])
    return _decide(error, rule_sets) if isinstance(error, Exception) else RESTARTED


def speaks(error: BaseException) -> bool:
    """It says something of itself, or is made of what may: without rules, the others are a restart."""
    return isinstance(error, _SPEAKING)


def leaves(error: BaseException) -> Iterator[Exception]:
    """The exceptions that a group is made of, or what a child has passed up; itself for any other.

    At most 100 are looked at.
    """
    left: list[BaseException] = [error]
    count = 0
    while left and count < MOST_LEAVES:
        count += 1
        first = left.pop()
        if isinstance(first, BaseExceptionGroup):
            left.extend(reversed(cast("BaseExceptionGroup[BaseException]", first).exceptions))
        elif isinstance(first, _PASSED_UP) and isinstance(first.__cause__, Exception):
            left.append(first.__cause__)
        elif isinstance(first, Exception):
            yield first


def check_rules(given: Rules | None) -> tuple[Rule, ...]:
    """Rules as `decide` takes them. Raises InvalidDecision."""
    if given is None:
        return ()
    pairs = cast("Iterable[Any]", given.items() if isinstance(given, Mapping) else given)
    try:
        found: list[tuple[Any, Any]] = [(matcher, directive) for matcher, directive in pairs]
    except (TypeError, ValueError):
        raise InvalidDecision(f"it is {given!r}") from None
    return tuple(Rule(_matcher(matcher), _directive(directive)) for matcher, directive in found)


def _has_leaves(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup | Escalated | StartFailed)


_PASSED_UP = (Escalated, StartFailed)
"""A supervisor fails with one of these, of which a child's failure is the cause."""


def _decide(error: Exception, rule_sets: tuple[tuple[Rule, ...], ...]) -> Decision:
    own = _of_itself(error)
    for rules in rule_sets:
        for rule in rules:
            if rule.matches(error):
                return _ruled(rule.directive, own)
    return own


def _ruled(directive: Directive, own: Decision) -> Decision:
    if directive is Directive.QUARANTINE:
        return Decision(directive, MessageFate.QUARANTINED)
    if directive is Directive.PAUSE:
        return Decision(directive, MessageFate.KEPT)
    fate = MessageFate.BY_ATTEMPTS if own.fate is MessageFate.KEPT else own.fate
    is_restart = directive is Directive.RESTART
    return Decision(
        directive, fate, own.attempts, own.not_before if is_restart else 0.0, is_restart and own.is_free
    )


def _of_itself(error: Exception) -> Decision:
    """What an exception says of itself."""
    if isinstance(error, RateLimited):
        # Made anew, it is looked at again: its attributes may have been set to anything since.
        limited = RateLimited(error.retry_after, attempts=error.attempts)
        return Decision(attempts=limited.attempts, not_before=limited.retry_after)
    if isinstance(error, Transient):
        return Decision(attempts=Transient(attempts=error.attempts).attempts)
    if isinstance(error, Poison):
        return Decision(Directive.QUARANTINE, MessageFate.QUARANTINED)
    if isinstance(error, BudgetExceeded):
        return Decision(Directive.PAUSE, MessageFate.KEPT)
    if isinstance(error, StoreUnavailable):
        return Decision(fate=MessageFate.KEPT, is_free=True)
    return RESTARTED


_SEVERITY = {directive: place for place, directive in enumerate(Directive)}
_FATES = (MessageFate.KEPT, MessageFate.BY_ATTEMPTS, MessageFate.QUARANTINED)


def _together(decisions: list[Decision]) -> Decision:
    """The most severe of several, in every respect; a wait is the longest."""
    if not decisions:
        return RESTARTED
    return Decision(
        directive=max((d.directive for d in decisions), key=_SEVERITY.__getitem__),
        fate=max((d.fate for d in decisions), key=_FATES.index),
        attempts=min(d.attempts for d in decisions),
        not_before=max(d.not_before for d in decisions),
        is_free=all(d.is_free for d in decisions),
    )


def _matcher(matcher: Any) -> Any:
    if not (_is_exceptions(matcher) or _is_function(matcher)):
        raise InvalidDecision(f"{matcher!r} matches no exception")
    return matcher


def _is_exceptions(matcher: object) -> bool:
    kinds = cast("tuple[object, ...]", matcher) if isinstance(matcher, tuple) else (matcher,)
    return bool(kinds) and all(isinstance(kind, type) and _may_match(kind) for kind in kinds)


def _may_match(kind: type[object]) -> bool:
    """Only an `Exception` is supervised: a rule for a cancellation or a KeyboardInterrupt would be none."""
    return issubclass(kind, Exception) or kind is BaseException


def _is_function(matcher: object) -> bool:
    # What a coroutine function returns is true, whatever it would say.
    return callable(matcher) and not isinstance(matcher, type) and not iscoroutinefunction(matcher)


def _directive(directive: object) -> Directive:
    try:
        return Directive(str(directive))
    except ValueError:
        names = ", ".join(repr(d.value) for d in Directive)
        raise InvalidDecision(f"{directive!r} is no directive; it can be {names}") from None
