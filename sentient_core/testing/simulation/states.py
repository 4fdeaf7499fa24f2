"""What the state of every actor should be: the reference that states are compared with.

A durable actor's is that of its turns that ended well, over restarts and deaths of the process; a mirrored
one comes back with what it once had, at least its last checkpoint that was asked for; a volatile one begins
with nothing, or that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sentient_core.testing.simulation.program import Kind

__all__ = ["States"]


class _Known:
    def __init__(self) -> None:
        self.now: set[str] = set()
        """What its state holds."""
        self.open: set[str] = set()
        """What the turn at hand has counted."""
        self.last: set[str] = set()
        """What the last turn that ended well has."""
        self.ever: set[str] = set()
        self.sure: set[str] = set()
        """What no crash can take away."""
        self.is_saved: bool = False
        """It has asked for a checkpoint."""
        self.again: set[str] = set()
        """What may be there twice."""
        self.is_unsure: bool = False
        """A process has died since it was last seen."""


class States:
    """All of them, by path. `complain` is told of what must not be."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._states: dict[str, _Known] = {}

    def starts(self, path: str, kind: Kind, loaded: Mapping[str, int]) -> bool:
        """An incarnation begins with this. True: a durable one, for the first time after a crash."""
        known = self._of(path)
        self._once(path, loaded)
        found = set(loaded)
        was_unsure, known.is_unsure = known.is_unsure, False
        if kind is Kind.VOLATILE and not known.is_saved:
            self._complain_of(path, "is volatile, and begins with", found)
        elif kind is not Kind.DURABLE or was_unsure:
            self._complain_of(path, "begins without what was committed,", known.sure - found)
            self._complain_of(path, "begins with what it has never known,", found - known.ever)
        else:
            self._complain_of(path, "begins without", known.now - found)
            self._complain_of(path, "begins with what no turn has left,", found - known.now)
        known.now, known.open = found, set()
        if was_unsure and kind is Kind.DURABLE:
            known.sure |= found
        return was_unsure and kind is Kind.DURABLE

    def crash(self) -> None:
        """The process has died: what was not committed may be gone."""
        for known in self._states.values():
            known.is_unsure = True

    def counts(self, path: str, kind: Kind, id_: str) -> None:
        """It writes a message into its state."""
        known = self._of(path)
        known.ever.add(id_)
        (known.open if kind is Kind.DURABLE else known.now).add(id_)

    def turn_ends(self, path: str, *, well: bool) -> None:
        """A durable turn is over."""
        known = self._of(path)
        known.last = known.open if well else set()
        known.now |= known.last
        known.open = set()

    def takes_back(self, path: str) -> None:
        """The last durable turn fails, although its handler has returned."""
        known = self._of(path)
        known.now -= known.last
        known.last = set()

    def may_apply_again(self, path: str, id_: str) -> None:
        """A turn that is no durable one fails behind its handler: a checkpoint may have what it did."""
        self._of(path).again.add(id_)

    def saves(self, path: str) -> None:
        """A checkpoint is asked for."""
        self._of(path).is_saved = True

    def saved(self, path: str) -> None:
        """It is there."""
        known = self._of(path)
        known.sure = set(known.now)

    def shows(self, path: str, state: Mapping[str, int]) -> None:
        """It was asked for its state, from outside."""
        known = self._of(path)
        self._once(path, state)
        self._complain_of(path, "has lost", known.now - set(state))
        self._complain_of(path, "has what no turn has left,", set(state) - known.now)

    def commit(self, path: str) -> None:
        """What it has is committed."""
        known = self._of(path)
        if not known.is_unsure:
            known.sure = set(known.now)

    def _of(self, path: str) -> _Known:
        return self._states.setdefault(path, _Known())

    def _once(self, path: str, state: Mapping[str, int]) -> None:
        twice = {id_ for id_, times in state.items() if times != 1}
        self._complain_of(path, "has applied more than once", twice - self._of(path).again)

    def _complain_of(self, path: str, what: str, ids: set[str]) -> None:
        if ids:
            self._complain(f"{path} {what} {', '.join(sorted(ids))}")
