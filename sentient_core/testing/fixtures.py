"""What the fixtures of the pytest plugin do, apart from being fixtures."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import anyio
import msgspec

from sentient_core.actors.alerts import Alert
from sentient_core.errors import InvalidArgument, SystemClosed
from sentient_core.mailbox import DeadLetter, DeadLetterReason
from sentient_core.store import MemoryStore
from sentient_core.store.protocols import Store
from sentient_core.store.surreal import SurrealStore
from sentient_core.system import ActorSystem
from sentient_core.testing.assertions import conserved
from sentient_core.testing.expected import in_words
from sentient_core.testing.leaks import leaks_since, whatever_lives
from sentient_core.testing.virtual_time import clock_of, virtual_backend

__all__ = ["Allowed", "CheckFailed", "SystemOptions", "checked_system", "under_virtual_time"]

Allowed: TypeAlias = "Literal['any'] | Sequence[str]"

_AUDIT_SECONDS = 60.0
_MARKER = "@pytest.mark.actor_system(...)"


class CheckFailed(AssertionError):
    """At the end of a test its system is not as it should be: all that is wrong with it."""


class SystemOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `@pytest.mark.actor_system` says beside the arguments of ActorSystem."""

    name: str = "test"
    audit: bool = True
    leaks: bool = True
    dead_letters: Allowed = "any"
    alerts: Allowed = "any"


@asynccontextmanager
async def checked_system(
    fixture: Callable[[str], Any], has_failed: Callable[[], bool], options: Mapping[str, Any]
) -> AsyncGenerator[ActorSystem]:
    """A system with these options, looked at when the test is through with it."""
    own = {name: value for name, value in options.items() if name in SystemOptions.__struct_fields__}
    others = {name: value for name, value in options.items() if name not in own and name != "store"}
    checks = SystemOptions(**own)
    _check_names(others)
    _check_allowed("dead_letters", checks.dead_letters, [reason.value for reason in DeadLetterReason])
    _check_allowed("alerts", checks.alerts, None)
    for name in ("audit", "leaks"):
        if not isinstance(getattr(checks, name), bool):
            raise InvalidArgument(f"{name} is True or False in {_MARKER}, not {getattr(checks, name)!r}")
    async with _store(options.get("store"), fixture) as store:
        before = whatever_lives() if checks.leaks else None
        alerts: list[Alert] = []
        letters: list[DeadLetter] = []
        wrong: list[str] = []
        async with ActorSystem(checks.name, store=store, **others) as system:
            system.alerts.subscribe(alerts.append)
            system.dead_letters.subscribe(letters.append)
            yield system
            if not has_failed():
                if system.faults is not None:
                    system.faults.pause()
                if checks.audit:
                    wrong += await _check_audit(system)
        if has_failed():
            return
        wrong += _check_letters(letters, checks.dead_letters)
        wrong += _check_alerts(alerts, checks.alerts)
        left = None if before is None else await leaks_since(before)
        if left:
            wrong.append(f"left behind by the test: {left}")
        if wrong:
            raise CheckFailed("\n".join(wrong))


def under_virtual_time(backend: object, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The same backend, with its options, under a virtual clock; as it is, if it has one."""
    name, others = (backend, {}) if isinstance(backend, str) else cast("tuple[str, dict[str, Any]]", backend)
    if clock_of((name, others)) is not None:
        return name, others
    name, virtual = virtual_backend(name, **options)
    return name, others | virtual


@asynccontextmanager
async def _store(wanted: Any, fixture: Callable[[str], Any]) -> AsyncGenerator[str | Store]:
    if wanted is None:
        yield MemoryStore()
    elif callable(wanted):
        made = cast("Store", wanted())
        try:
            yield made
        finally:
            await made.close()
    elif isinstance(wanted, str):
        left = wanted.replace("{tmp_path}", "")
        if "{" in left or "}" in left:
            raise InvalidArgument(f"store={wanted!r} in {_MARKER}: all that is filled in is {{tmp_path}}")
        directory: Path | str = fixture("tmp_path") if "{tmp_path}" in wanted else ""
        async with SurrealStore("mem://") as warm:  # opens what it opens once per process
            await warm.query("RETURN 1")
        yield wanted.replace("{tmp_path}", str(directory))
    else:
        yield cast("Store", wanted)


async def _check_audit(system: ActorSystem) -> Sequence[str]:
    try:
        with anyio.move_on_after(_AUDIT_SECONDS):
            await conserved(system)
            return ()
    except SystemClosed:  # the test has ended it
        return ()
    except AssertionError as error:
        return (str(error),)
    complaint = (
        f"what became of all messages was not known within {_AUDIT_SECONDS:g} s: the store does not answer. "
        "If that is meant: @pytest.mark.actor_system(audit=False)"
    )
    return (complaint,)


def _check_letters(letters: Sequence[DeadLetter], allowed: Allowed) -> Iterator[str]:
    if allowed == "any":
        return
    wrong = [letter for letter in letters if letter.reason not in allowed]
    if wrong:
        shown = "\n".join(f"  {in_words(letter)}" for letter in wrong)
        yield f"dead letters that were not expected:\n{shown}"


def _check_alerts(alerts: Sequence[Alert], allowed: Allowed) -> Iterator[str]:
    if allowed == "any":
        return
    wrong = [alert for alert in alerts if alert.alert not in allowed]
    if wrong:
        yield "alerts that were not expected:\n" + "\n".join(f"  {alert}" for alert in wrong)


def _check_allowed(name: str, allowed: object, known: Sequence[str] | None) -> None:
    if allowed == "any":
        return
    if isinstance(allowed, str) or not isinstance(allowed, Sequence):
        raise InvalidArgument(f"{name} is 'any' or a tuple of those that may be there, not {allowed!r}")
    for one in cast("Sequence[object]", allowed):
        if known is not None and one not in known:
            raise InvalidArgument(f"{name}: there is no {one!r}; there are: {', '.join(known)}")


def _check_names(others: Mapping[str, Any]) -> None:
    """Of what is for ActorSystem: what it does not know was meant for one of the two."""
    known = set(inspect.signature(ActorSystem).parameters) | {*SystemOptions.__struct_fields__}
    unknown = [name for name in others if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]}=?" if close else f"; there are: {', '.join(sorted(known))}"
        raise InvalidArgument(f"{_MARKER} takes no {unknown[0]}={hint}")
