"""What durable actors did in a run, as data: kept in a file, and compared with what other code does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from sentient_core.errors import InvalidArgument

__all__ = ["UNCHANGED", "Diverged", "GoldenTurn", "History", "Input", "Sent", "compare"]

_FORMAT = 1
UNCHANGED = "unchanged"
"""Stands for the state where a turn has left it as it was."""


class Diverged(AssertionError):
    """New code did not do what a history has."""


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that came from outside of actors.

    An ask that got no reply, since its handler failed, is given again as if it had been told.
    """

    at: float
    """Seconds of the loop's clock since the recording began."""
    target: str
    message_type: str
    message: Any
    """As plain values, for people."""
    exact: bytes
    """As it was encoded."""
    is_ask: bool = False


class Sent(msgspec.Struct, frozen=True):
    """A message that a turn has sent."""

    target: str
    message_type: str
    message: Any


class GoldenTurn(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the handling of one message has come to."""

    actor: str
    message_type: str
    message: Any
    outcome: str = "handled"
    """Else the reason of its dead letter and the cause, or that it is tried again."""
    state: Any = UNCHANGED
    """Behind it, as plain values."""
    sent: list[Sent] = []
    reply: Any = None


class History(msgspec.Struct, kw_only=True):
    """A run: what came from outside, and the turns of durable actors in the order of the journal."""

    format: int = _FORMAT
    lasted: float = 0.0
    """Seconds of the loop's clock."""
    inputs: list[Input] = []
    turns: list[GoldenTurn] = []

    def save(self, path: str | Path) -> None:
        """Write it as JSON that people can read and compare."""
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` has written. Raises InvalidArgument for what is no history."""
        try:
            history = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"{path} is no history: {error}") from error
        if history.format != _FORMAT:
            raise InvalidArgument(f"{path} is a history of format {history.format}: record it anew")
        return history


def compare(golden: Sequence[GoldenTurn], new: Sequence[GoldenTurn]) -> None:
    """Raise Diverged for the earliest turn of the history that is another one, missing, or too many."""
    __tracebackhide__ = True
    now = _by_actor(new)
    first: tuple[int, str] | None = None
    for actor, turns in _by_actor(golden).items():
        for (place, was), (_, is_) in zip_longest(turns, now.pop(actor, []), fillvalue=(len(golden), None)):
            if was != is_:
                signs = " (- as recorded, + as it is now)" if was and is_ else ""
                head = f"turn {_count(turns, place)} of '{actor}' is another one{signs}:"
                text = f"{head}\n{_difference(was, is_)}"
                first = min((place, text), first or (place, text))
                break
    for actor, turns in now.items():
        text = f"'{actor}' had no turn, and has {len(turns)} now, first:\n{_difference(None, turns[0][1])}"
        first = min((len(golden), text), first or (len(golden), text))
    if first is not None:
        raise Diverged(first[1])


def _by_actor(turns: Sequence[GoldenTurn]) -> dict[str, list[tuple[int, GoldenTurn]]]:
    found: defaultdict[str, list[tuple[int, GoldenTurn]]] = defaultdict(list)
    for place, turn in enumerate(turns):
        found[turn.actor].append((place, turn))
    return dict(found)


def _count(turns: Sequence[tuple[int, GoldenTurn]], place: int) -> int:
    return sum(at < place for at, _ in turns) + 1


def _difference(was: GoldenTurn | None, is_: GoldenTurn | None) -> str:
    return "\n".join(_lines(_fields(was), _fields(is_)))


def _fields(turn: GoldenTurn | None) -> Mapping[str, Any]:
    return {} if turn is None else {name: getattr(turn, name) for name in turn.__struct_fields__}


def _lines(was: Mapping[str, Any], is_: Mapping[str, Any]) -> Iterator[str]:
    if not was:
        yield "  the history has no such turn"
    if not is_:
        yield "  there is no such turn any more"
    for name in GoldenTurn.__struct_fields__:
        old, new = was.get(name), is_.get(name)
        if old == new or not was or not is_:
            if name in ("message_type", "message") or not (was and is_):
                yield f"    {name}: {(new if is_ else old)!r}"
        else:
            old, new, as_before = _narrowed(old, new)
            yield f"  - {name}: {old!r}"
            yield f"  + {name}: {new!r}"
            if as_before:
                yield f"    ({as_before} entries of it are as before)"


def _narrowed(old: Any, new: Any) -> tuple[Any, Any, int]:
    """Of two mappings the entries that are not the same, and how many others there are."""
    if not (_is_mapping(old) and _is_mapping(new)):
        return old, new, 0
    same = {name for name in old if name in new and old[name] == new[name]}
    less, more, count = dict[Any, Any](), dict[Any, Any](), len(same)
    for name in {**old, **new}:
        if name in old and name in new and name not in same:
            less[name], more[name], inner = _narrowed(old[name], new[name])
            count += inner
        elif name in old and name not in same:
            less[name] = old[name]
        elif name in new and name not in same:
            more[name] = new[name]
    return less, more, count


def _is_mapping(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)
