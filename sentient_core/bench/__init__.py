"""The benchmark of faults: what a loaded system does when something goes wrong, as figures.

A row of the benchmark is a file of `rows`; `docs/faults.md` says how one is read, and how one is written.
"""

from __future__ import annotations

from sentient_core.bench.findings import Findings
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.result import Report
from sentient_core.bench.row import Row
from sentient_core.bench.run import Choice, run_rows
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind

__all__ = ["Choice", "Findings", "OpenLoad", "Report", "Row", "Scene", "StoreKind", "run_rows"]
