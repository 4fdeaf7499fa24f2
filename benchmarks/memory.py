"""The mirror's memory under a flood: bounded by its tail, whatever is sent, and every message accounted for.

Each flood runs in a process of its own: senders without any pacing, and a small tail. `stalled`: the database
answers nothing while the flood lasts, so that what grows is the tail alone. `outpaced`: the database works at
its own speed, and grows itself (an embedded engine keeps what it wrote until it is closed); a bulk insert of
as many rows, in another process, says by how much. At the end, the rows in the database plus the counts in
the recorded gaps are the messages sent, exactly.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.flood import Flood, Outcome
from benchmarks.measure import Figure, Goal, Settings

__all__ = ["memory"]

_MIB = 1024 * 1024


def memory(settings: Settings) -> list[Figure]:
    """Growth of the resident set over the bound of the tail."""
    tail = (2 if settings.is_quick else 32) * _MIB
    messages = 40_000 if settings.is_quick else 600_000
    figures: list[Figure] = []
    plan = Flood(kind="stalled", messages=messages, tail_bytes=tail, seed=settings.seed)
    for times in (1, 2):
        out = _run(settings, msgspec.structs.replace(plan, messages=messages * times))
        goal = Goal(bound=1.5, is_least=False)
        figures.append(_figure(f"stalled store, {out.sent:,} messages", out.grown, tail, out, goal))
    out = _run(settings, msgspec.structs.replace(plan, kind="outpaced"))
    bulk = _run(settings, msgspec.structs.replace(plan, kind="bulk", messages=out.rows))
    figures.append(_figure(f"outpaced store, {out.sent:,} messages", out.grown, tail, out, None, bulk.grown))
    return figures


def _figure(name: str, grown: int, tail: int, out: Outcome, goal: Goal | None, engine: int = 0) -> Figure:
    assert out.rows + out.in_gaps == out.sent, f"sent {out.sent}, rows {out.rows}, in gaps {out.in_gaps}"
    bound = "bound of the tail" if not engine else f"the tail and {out.rows:,} rows in bulk"
    return Figure(
        workload="memory",
        name=name,
        value=grown / _MIB,
        unit="MiB",
        baseline=bound,
        baseline_value=(tail + engine) / _MIB,
        ratio=grown / (tail + engine),
        goal=goal,
        note=f"{out.rows:,} rows + {out.in_gaps:,} in gaps = {out.sent:,} sent, exactly",
        limit="a record not yet committed takes more memory than the weight it is counted with",
    )


def _run(settings: Settings, flood: Flood) -> Outcome:
    with TemporaryDirectory(dir=settings.folder) as folder:
        command = [sys.executable, "-m", "benchmarks.flood", str(Path(folder) / "db"), flood.as_json()]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this very program
    outcome = Outcome(**json.loads(done.stdout))
    settings.say(f"memory  {flood.kind}: {outcome.sent:,} sent, grew by {outcome.grown / _MIB:.1f} MiB")
    return outcome
