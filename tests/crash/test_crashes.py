"""Processes killed at every named point and at random, one after the other on the same store.

Whatever a life of the store finds is compared with what all lives before it have claimed (`verdict`):
nothing acknowledged is lost, nothing is applied twice, order is kept, sums and counts add up, rows and actors
say the same. Messages that are sent under ids are sent again by the lives that follow, and have then the
outcome that they had; no other is.

`make test` kills a handful. `SENTIENT_CRASH=200` kills so many, over embedded stores and a server, on
both event loops, and prints where; each seed is printed, and `SENTIENT_CRASH_SEED` plays it again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.points import POINTS, Kill
from tests.crash.runs import IS_LONG, Run, most
from tests.store.server import Server

KILLS = int(os.environ.get("SENTIENT_CRASH", "40" if IS_LONG else "8")) // (4 if IS_LONG else 2)
"""On each event loop, where both are tried, and each kind of store."""
LIVES = 8
"""Kills on one store."""
TRIES = 3
"""Lives that may pass by the point at which they are to be killed."""


def kills(dice: random.Random, count: int) -> Iterator[Kill | None]:
    """`count` kills, every named point among them if there are enough; None: at random, from outside."""
    named = [(phase, point) for phase, points in POINTS.items() for point in points]
    chosen = dice.sample(named, min(count * 3 // 4, len(named)))
    planned: list[Kill | None] = [
        Kill(phase, point, dice.randint(1, most(phase, point)), dice.choice((0.0, 0.004)))
        for phase, point in chosen
    ]
    planned += [None] * (count - len(planned))
    dice.shuffle(planned)
    return iter(planned)


@pytest.mark.parametrize("kind", ["embedded", "server"])
def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_applied_twice(
    kind: str, backend: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(f"{seed}/{kind}/{backend}")
    server: Server | None = request.getfixturevalue("server") if kind == "server" else None
    planned = kills(dice, KILLS)
    left, killed, lives, acknowledged = KILLS, Counter[str](), 0, 0
    while left:
        directory = tmp_path / f"store{lives}"
        url = f"surrealkv://{directory}/db" if server is None else server.url(dice.choice(("ws", "http")))
        run = Run(directory, url, backend, dice.randrange(2**32))
        run.database = "agents" if server is None else server.fresh_database()
        if left > LIVES:
            run.live()  # so that there is something to take up
        for kill in [kill for _, kill in zip(range(min(left, LIVES)), planned, strict=False)]:
            _kill_once(run, dice, kill)
        run.check()
        left -= min(left, LIVES)
        lives += len(run.verdicts)
        acknowledged += run.verdicts[-1].acknowledged
        killed += run.kills
    report = [f"{kind}, {backend}: {killed.total()} kills, {acknowledged} messages acknowledged"]
    report += [f"{count:6} {name}" for name, count in sorted(killed.items())]
    print("\n".join(report))  # noqa: T201 - the figures of a long run
    assert killed.total() >= KILLS


def _kill_once(run: Run, dice: random.Random, kill: Kill | None) -> None:
    options = {"holds_rows": dice.random() < 0.3, "group_records": dice.choice((2_000, 2_000, 5))}
    options["ballast"] = dice.choice((0, 20_000))
    if kill is None:
        run.kill_at_random(dice, 0.5, **options)
        return
    before = run.kills.total()
    for _ in range(TRIES):
        run.live(kill=kill, **options)
        if run.kills.total() > before:
            return
        # It came by less often than that; with rows held back, or nothing left to take up, never.
        kill = Kill(kill.phase, kill.point, 1, kill.linger)
        options["holds_rows"] = False
    run.kill_at_random(dice, 0.5, **options)
