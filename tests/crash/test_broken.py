"""Runtimes that break one promise each are found out by the crash tests, mostly at the first kill."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from tests.crash.broken import BROKEN
from tests.crash.runs import IS_LONG, Run

TRIES = 6
"""Threads are scheduled as they are: a kill may miss what would have shown."""


SOME = (
    "acknowledges before the commit",
    "commits a turn in pieces",
    "recovers without the tail",
    "forgets what is settled",
    "does not roll back",
)
"""One of each kind: what is said, what is written, what is read, what is deleted, and the turn itself."""


@pytest.mark.parametrize("name", BROKEN if IS_LONG else SOME)
def test_a_runtime_is_found_out_that(name: str, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(f"{seed}/{name}")
    broken, backend = BROKEN[name], dice.choice(("asyncio", "trio"))

    for number in range(TRIES):
        run = Run(
            tmp_path / str(number), f"surrealkv://{tmp_path}/{number}/db", backend, dice.randrange(2**32)
        )
        kill, found = broken.kill, None
        if kill is not None and number:
            kill = msgspec.structs.replace(kill, nth=dice.randint(min(2, kill.nth), 2 * kill.nth - 1))
        run.live(broken=name, kill=kill, holds_rows=broken.holds_rows, ballast=broken.ballast)
        for _ in range(broken.lives):
            found = run.live(0, broken=name if broken.is_lasting else None)
        assert found is not None
        if found.wrong:
            return
    pytest.fail(f"not found out in {TRIES} tries")
