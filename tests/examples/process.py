"""The demo as its users run it: as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

__all__ = ["ROOT", "Ended", "Site"]

ROOT = Path(__file__).parents[2]
TIMEOUT = 120.0
COLOURFUL = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
"""What would make rich take a pipe for a terminal."""


class Ended(msgspec.Struct, frozen=True):
    """What a process that has ended leaves."""

    code: int
    output: str
    errors: str

    @property
    def table(self) -> dict[str, str]:
        """The table at the end: the values by what they are."""
        rows = re.findall(r"^  (\S.*?) {2,}(\S+)(?: {2,}.*)?$", self.output, re.MULTILINE)
        return {what.rstrip(" ¹²"): value for what, value in rows if what != "what"}

    @property
    def is_perfect(self) -> bool:
        """It ended well, and its table says so, too."""
        table = self.table
        marks = (table["pages lost"], table["pages published twice"], table["as if undisturbed"])
        return self.code == 0 and marks == ("0", "0", "yes")


class Site:
    """Commands that make one and the same site, one after the other."""

    def __init__(self, source: Path, out: Path, backend: str, *options: str) -> None:
        self.out = out
        self.store = f"surrealkv://{out}.db"
        self._has_all = False
        self._command = [
            *(sys.executable, "-W", "error", "-m", "examples.site", "--no-serve"),
            *(f"--source={source}", f"--out={out}", f"--backend={backend}", *options),
        ]

    def run(self, *options: str) -> Ended:
        """Give the command and wait for its end."""
        with self.started(*options) as process:
            output, errors = process.communicate(timeout=TIMEOUT)
        return Ended(process.returncode, output, errors)

    @contextmanager
    def started(self, *options: str) -> Generator[subprocess.Popen[str], None, None]:
        """Give the command; what is not over at the end is killed."""
        with subprocess.Popen(
            [*self._command, *options],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key not in COLOURFUL},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill_at(self, line: str, *options: str) -> None:
        """Give the command, and kill it with SIGKILL as soon as it prints a line that begins so."""
        with self.started(*options) as process:
            assert process.stdout is not None
            for printed in process.stdout:
                if printed.startswith(line):
                    process.kill()
                    break
        assert process.returncode == -signal.SIGKILL, f"it ended before the line '{line}', or just behind it"

    def kill_midway(self, files: int) -> None:
        """Have it killed when it has published so many files, and not all of them.

        It may be faster than who kills it; then it begins anew.
        """
        for _ in range(10):
            if self.kill_when_done(files, "--fresh") and not self._has_all:
                return
        raise AssertionError("it was always faster")

    def kill_when_done(self, files: int, *options: str) -> bool:
        """Give the command, and kill it with SIGKILL as soon as it has published so many files.

        False: it had ended before the signal came, which may happen close to the end.
        """
        with self.started(*options) as process:
            assert process.stdout is not None
            for printed in process.stdout:  # and what it prints until the signal comes
                done = re.match(r"published (\d+) of (\d+)", printed)
                if done and int(done[1]) >= files:
                    process.kill()
                    self._has_all = done[1] == done[2]
        return process.returncode == -signal.SIGKILL
