"""A run of the benchmark as data: what is written as JSON, and what the page is made of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sentient_core.bench.findings import Findings
from sentient_core.bench.machine import Machine
from sentient_core.bench.stores import StoreKind

__all__ = ["Report", "Result", "RowTitle", "as_json"]


class RowTitle(msgspec.Struct, frozen=True, kw_only=True):
    """What a row is about."""

    id: str
    injects: str
    shows: str
    about: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row on one store and one event loop."""

    row: str
    backend: str
    store: StoreKind
    sync: str
    fdatasync_p99_ms: float | None
    """Just before, in milliseconds: what a commit on this disk waits for. None in memory."""
    seconds: float
    findings: Findings
    error: str | None = None
    """Why it could not be measured to its end."""

    @property
    def is_sound(self) -> bool:
        """It was measured, and every promise held."""
        return self.error is None and not self.findings.broken


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    command: str
    seed: int
    is_quick: bool
    started: str
    """UTC, ISO 8601."""
    seconds: float
    machine: Machine
    rows: Sequence[RowTitle]
    results: Sequence[Result]
    skipped: dict[str, str] = {}
    """What was left out, and why."""
    is_interrupted: bool = False
    """Somebody ended it halfway: what was measured until then is here."""

    @property
    def is_sound(self) -> bool:
        """Everything was measured, and every promise held."""
        return not self.is_interrupted and all(result.is_sound for result in self.results)

    def of(self, row: str) -> list[Result]:
        """Those of one row: one for each store and event loop."""
        return [result for result in self.results if result.row == row]

    def stores(self) -> list[StoreKind]:
        """Those that something was measured on."""
        return [kind for kind in StoreKind if any(result.store is kind for result in self.results)]


def as_json(report: Report) -> bytes:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
