"""Which step of a workflow waits for which: pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from sentient_core.errors import DependencyCycle, InvalidWorkflow

__all__ = ["earlier_steps", "waits_for"]


def waits_for(workflow: str, steps: Sequence[tuple[str, Sequence[str] | None]]) -> dict[str, tuple[str, ...]]:
    """What each step waits for, from names and what was said of each; None there means the one before it.

    Raises InvalidWorkflow for a name used twice and for one that there is not, DependencyCycle.
    """
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for name, after in steps:
        if name in found:
            raise InvalidWorkflow(workflow, f"has two steps named {name!r}")
        found[name] = before if after is None else tuple(dict.fromkeys(after))
        before = (name,)
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


def earlier_steps(order: Mapping[str, Sequence[str]], step: str) -> frozenset[str]:
    """All steps that are completed before a step begins."""
    seen: set[str] = set()
    left = list(order[step])
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += order[name]
    return frozenset(seen)


def _cycle(order: Mapping[str, Sequence[str]]) -> list[str]:
    """One, its first step again at the end; empty: there is none. Without recursion, since lists are long."""
    done: set[str] = set()
    for first in order:
        way: list[str] = []
        left = [iter((first,))]
        while left:
            name = next(left[-1], None)
            if name is None:
                left.pop()
                if way:
                    done.add(way.pop())
            elif name in way:
                return [*way[way.index(name) :], name]
            elif name not in done:
                way.append(name)
                left.append(iter(order[name]))
    return []
