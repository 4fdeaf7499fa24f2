"""Who leads to whom, as pure questions about edges: a way in a circle, all that can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Edges", "cycle_through", "reachable"]

Edges = Mapping[str, Sequence[str]]
"""Where each leads to."""


def cycle_through(edges: Edges, start: str, end: str) -> tuple[str, ...]:
    """The circle that an edge from `start` to `end` would close, from `start` back to it; () for none."""
    before: dict[str, str] = {}
    waiting = [end]
    while waiting:
        here = waiting.pop()
        if here == start:
            way = [here]
            while way[-1] != end:
                way.append(before[way[-1]])
            return (start, *reversed(way))
        for there in edges.get(here, ()):
            if there not in before and there != end:
                before[there] = here
                waiting.append(there)
    return ()


def reachable(edges: Edges, starts: Iterable[str]) -> list[str]:
    """All that can be reached, the nearest first, without the starts themselves."""
    known = set(starts)
    found: list[str] = []
    layer = list(known)
    while layer:
        ahead = [there for here in layer for there in edges.get(here, ())]
        layer = [there for there in dict.fromkeys(ahead) if there not in known]
        known.update(layer)
        found += layer
    return found
