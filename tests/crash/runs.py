"""The parent's side: a store with one life after the other on it, each of which is judged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tests import long
from tests.crash.dump import Found
from tests.crash.oracle import Claim, read_claims
from tests.crash.plan import Life
from tests.crash.verdict import Verdict, judge

__all__ = ["IS_LONG", "Run", "most"]

IS_LONG = long.IS_LONG or "SENTIENT_CRASH" in os.environ
"""More is wanted than what every run of the tests can take the time for."""

LIFE_SECONDS = 90.0
"""More than any life takes; one that hangs is an error."""


class Run:
    """One store and the lives on it."""

    def __init__(self, directory: Path, url: str, backend: str, seed: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._url = url
        self._backend = backend
        self._seed = seed
        self._claims = directory / "claims"
        self._round = 0
        self.database: str = "agents"
        self.kills: Counter[str] = Counter()
        """By phase and point, or `random`."""
        self.verdicts: list[Verdict] = []

    def live(self, messages: int = 30, **plan: Any) -> Verdict | None:
        """One life; what it found is judged. None: it was killed before it could say."""
        process = self.start(messages, **plan)
        return self.finish(process)

    def start(self, messages: int = 30, **plan: Any) -> subprocess.Popen[bytes]:
        """Begin a life."""
        self._round += 1
        arguments: dict[str, Any] = {
            "url": self._url,
            "database": self.database,
            "backend": self._backend,
            "seed": self._seed,
            "messages": messages,
        }
        life = Life(round=self._round, **arguments | plan)
        path = self._directory / f"life{self._round}"
        path.write_bytes(msgspec.json.encode(life))
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.crash.child", str(path), str(self._claims), str(self._dump)],
                env=os.environ | {"PYTHONPATH": str(Path.cwd())},
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def finish(self, process: subprocess.Popen[bytes], code: int = 0) -> Verdict | None:
        """Wait for its end, killed or with this exit code; judge what it found."""
        with process:
            try:
                ended = process.wait(LIFE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"life {self._round} hangs: {self.told()}") from None
        claims = read_claims(self._claims)
        assert ended in (code, -signal.SIGKILL), f"exit code {ended}: {self.told()}"
        if ended == -signal.SIGKILL:
            point = next((str(c.detail) for c in claims[-1:] if c.what == "kill"), "at random")
            self.kills[point] += 1
        return self.judged(claims)

    def judged(self, claims: list[Claim]) -> Verdict | None:
        """What the last life has found, if it came to that."""
        if not self._dump.exists():
            return None
        before = next(i for i, c in enumerate(claims) if (c.what, c.detail) == ("dumped", self._dump.name))
        found = msgspec.json.decode(self._dump.read_bytes(), type=Found)
        verdict = judge(claims[:before], found)
        self.verdicts.append(verdict)
        return verdict

    def kill_at_random(self, dice: random.Random, within: float, **plan: Any) -> Verdict | None:
        """A life that is killed from outside, at whatever moment of its load."""
        process = self.start(10_000, waits=True, **plan)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.random() * within)
        process.kill()
        return self.finish(process)

    def check(self) -> None:
        """A last life that only looks; nothing was wrong in any of them."""
        assert self.live(0) is not None
        wrong = [(number, text) for number, v in enumerate(self.verdicts, 1) for text in v.wrong]
        assert not wrong, f"{self.told()}\n" + "\n".join(map(str, wrong[:20]))

    def told(self) -> str:
        """What to look at when something is wrong."""
        tail = (self._directory / "log").read_text(errors="replace")[-2_000:]
        return f"seed {self._seed}, {self._backend}, {self._url}, kills {dict(self.kills)}\n{tail}"

    @property
    def _dump(self) -> Path:
        return self._directory / f"found{self._round}"


def most(phase: str, point: str) -> int:
    """About how often a life comes by a point, with the load of `Run.live`."""
    if point in ("drained", "ahead", "close before") or phase == "opening":
        return 1
    if phase == "closing":
        return 2
    if phase == "taking up":
        return 4
    return {"appended": 400, "acknowledged": 120, "commit before": 40, "commit after": 40}.get(point, 4)
