"""Which step of a workflow waits for which: pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import dropwhile
from typing import TypeAlias

from sentient_core.errors import DependencyCycle, InvalidWorkflow

__all__ = ["Waits", "checked_order", "earlier_steps", "waits_for"]

Waits: TypeAlias = Mapping[str, tuple[str, ...]]
"""What each step waits for, by name."""


def waits_for(steps: Iterable[tuple[str, Sequence[str] | None]]) -> Waits:
    """From names and what was said of each, in their order; None there means the one before it."""
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for name, after in steps:
        found[name] = before if after is None else tuple(dict.fromkeys(after))
        before = (name,)
    return found


def checked_order(workflow: str, steps: Sequence[tuple[str, Sequence[str] | None]]) -> Waits:
    """As `waits_for`. Raises InvalidWorkflow for a name used twice or that there is not, DependencyCycle."""
    found = waits_for(steps)
    if len(found) < len(steps):
        (twice, _), *_ = Counter(name for name, _ in steps).most_common(1)
        raise InvalidWorkflow(workflow, f"has two steps named {twice!r}")
    for name, after in found.items():
        for other in after:
            if other not in found:
                near = difflib.get_close_matches(other, list(found), n=1)
                hint = f". Did you mean {near[0]!r}?" if near else f"; it has {', '.join(map(repr, found))}"
                raise InvalidWorkflow(
                    workflow, f"has {name!r} wait for {other!r}, which is no step of it{hint}"
                )
    cycle = _cycle(found)
    if cycle:
        raise DependencyCycle(workflow, cycle)
    return found


def earlier_steps(order: Waits, step: str) -> frozenset[str]:
    """All steps that are completed before a step begins."""
    seen: set[str] = set()
    left = list(order[step])
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += order[name]
    return frozenset(seen)


def _cycle(order: Waits) -> list[str]:
    """One, its first step again at the end; empty: there is none. Without recursion, since lists are long."""
    done: set[str] = set()
    for first in order:
        way: dict[str, None] = {}
        left = [iter((first,))]
        while left:
            name = next(left[-1], None)
            if name is None:
                left.pop()
                if way:
                    done.add(way.popitem()[0])
            elif name in way:
                return [*dropwhile(name.__ne__, way), name]
            elif name not in done:
                way[name] = None
                left.append(iter(order[name]))
    return []
