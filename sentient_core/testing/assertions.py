"""Assertions on an actor system: its events, dead letters and books. Each shows what there is instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import anyio

from sentient_core.errors import InvalidArgument
from sentient_core.events import AgentEvent, EventType
from sentient_core.mailbox import DeadLetter, DeadLetterReason
from sentient_core.store.audit import NUMBERS, Audit
from sentient_core.system import ActorSystem
from sentient_core.testing.expected import in_words, is_met, short, words

__all__ = ["assert_dead_letters", "conserved", "expect_event"]

What: TypeAlias = "type | Callable[[Any], object] | object"
"""A type, a predicate, or a value."""

_HISTORY = 1_000
_SHOWN = 8
_MISSING = object()


async def expect_event(
    system: ActorSystem,
    event_type: EventType | str,
    *,
    within: float = 5.0,
    agent: str | None = None,
    payload: Mapping[str, Any] | None = None,
    where: Callable[[AgentEvent], object] | None = None,
) -> AgentEvent:
    """An event that has happened in this system or happens within `within` seconds of its clock; returns it.

    ::

        failed = await expect_event(system, "actor_failed", agent="bank/alice", within=1.0)

    `agent` is its source or its target; of `payload` all entries have to be in the event's; `where` is a
    predicate. The newest of those that are stored counts, the earliest of those that come. An AssertionError
    shows what was different in the events of this type, or which others there were. Raises as
    `EventBus.get_event_history`.
    """
    __tracebackhide__ = True

    def is_it(event: AgentEvent) -> bool:
        return (
            (agent is None or agent in (event.source_agent, event.target_agent))
            and not _differences(payload, event)
            and (where is None or bool(where(event)))
        )

    seen: dict[str, AgentEvent] = {}  # what is told while the history is read may be in both
    async with system.events.subscription(event_type) as events:
        with anyio.move_on_after(within):
            for event in await system.events.get_event_history(event_type=event_type, limit=_HISTORY):
                if is_it(event):
                    return event
                seen[event.event_id] = event
            async for event in events:
                if is_it(event):
                    return event
                seen[event.event_id] = event
    raise AssertionError(await _not_seen(system, event_type, within, agent, payload, [*seen.values()]))


def assert_dead_letters(system: ActorSystem, *expected: tuple[What, str]) -> None:
    """The dead letters of this system are these, in whatever order; without any: there are none.

    ::

        assert_dead_letters(system, (Deposit(-1), "failed"), (Withdraw, "stopped"))

    Each is a message and the reason (`DeadLetterReason` or its value). The message is a type, a predicate, or
    a value that it is equal to. An AssertionError names those that are missing, and those not expected.
    The newest 1,000 are looked at, as they are now: wait for what makes them first, by an ask, `expect_event`
    or `system.flush()`. Raises InvalidArgument for what is no such pair.
    """
    __tracebackhide__ = True
    for pair in expected:
        _check_pair(pair)
    left: list[DeadLetter] = list(system.dead_letters)
    missing: list[tuple[What, str]] = []
    # Those that say most exactly what they mean choose first.
    for what, reason in sorted(expected, key=lambda each: isinstance(each[0], type) or callable(each[0])):
        found = next((one for one in left if one.reason == reason and is_met(what, one.message)), None)
        if found is None:
            missing.append((what, reason))
        else:
            left.remove(found)
    if not (missing or left):
        return
    lines = [f"- missing: {reason}: {words(what)}" for what, reason in missing]
    lines += [f"+ not expected: {in_words(letter)}" for letter in left]
    raise AssertionError("the dead letters are others than expected:\n" + "\n".join(lines))


async def conserved(system: ActorSystem) -> Audit:
    """Every message is accounted for, none twice: `system.audit()` balances. Returns it.

    An AssertionError has the numbers of the actors for which it does not. Raises as `ActorSystem.audit`.
    """
    __tracebackhide__ = True
    audit = await system.audit()
    if audit.is_balanced:
        return audit
    lines = [
        f"  {actor.path or 'the root'} ({actor.durability}): "
        + ", ".join(f"{getattr(actor, name)} {name.replace('_', '-')}" for name in NUMBERS)
        + "".join(
            f"; {what} {', '.join(ids)}"
            for what, ids in (("missing", actor.missing), ("doubled", actor.doubled))
            if ids
        )
        for actor in audit.actors
        if not actor.is_balanced
    ]
    raise AssertionError("\n".join((f"messages are not all accounted for: {audit}", *lines)))


def _check_pair(pair: object) -> None:
    if not isinstance(pair, tuple) or len(cast("tuple[object, ...]", pair)) != 2:
        raise InvalidArgument(f"a dead letter is expected as (message, reason), not {pair!r}")
    reason = cast("tuple[object, object]", pair)[1]
    if reason not in list(DeadLetterReason):
        raise InvalidArgument(f"no reason is {reason!r}; there are: {', '.join(DeadLetterReason)}")


def _differences(payload: Mapping[str, Any] | None, event: AgentEvent) -> Sequence[str]:
    """Which entries of a payload are other than they should be."""
    return [
        f"{name} is {'missing' if found is _MISSING else repr(found)}, not {value!r}"
        for name, value in (payload or {}).items()
        if (found := event.payload.get(name, _MISSING)) != value
    ]


async def _not_seen(
    system: ActorSystem,
    event_type: str,
    within: float,
    agent: str | None,
    payload: Mapping[str, Any] | None,
    seen: Sequence[AgentEvent],
) -> str:
    whose = "" if agent is None else f" of '{agent}'"
    lines = [f"no event '{event_type}'{whose} that is meant came within {within:g} s"]
    if seen:
        lines.append(f"of this type there were {len(seen)}:")
        for event in seen[-_SHOWN:]:
            differences = _differences(payload, event)
            lines.append(f"  {_event(event)}" + "".join(f"\n    {line}" for line in differences))
    else:
        newest = await system.events.get_event_history(limit=_SHOWN)
        shown = [f"  {_event(event)}" for event in reversed(newest)]
        lines += ["the newest of all:", *shown] if shown else ["nor is there any other event"]
    return "\n".join(lines)


def _event(event: AgentEvent) -> str:
    target = "" if event.target_agent is None else f" -> {event.target_agent}"
    payload = "{" + ", ".join(f"{name!r}: {short(value)}" for name, value in event.payload.items()) + "}"
    return f"{event.event_type} of {event.source_agent or 'the system'}{target} {payload}"
