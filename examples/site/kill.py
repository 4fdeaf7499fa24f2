"""`--kill`: a parent that kills the working process midway and starts it again on the same database."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["run_and_kill"]


def run_and_kill(arguments: Sequence[str], first_only: Sequence[str], seed: int) -> int:
    """Start the program, kill it with SIGKILL, start it again; returns the exit code of the last start.

    The moment is seeded, and measured in finished pages: between 30 and 60 % of what there is to do.
    `first_only` are arguments that the second start must not have.
    """
    share = random.Random(f"{seed}/kill").uniform(0.3, 0.6)
    reader, writer = os.pipe()
    first_arguments = [*arguments, *first_only, "--anew-if-finished", f"--progress-fd={writer}"]
    with os.fdopen(reader) as lines, _start(first_arguments, writer) as worker:
        os.close(writer)
        done = _wait_for_the_moment(lines, share)
        if done is None:
            return _code(worker)  # it has ended by itself, and said why
        worker.kill()
        if worker.wait() != -signal.SIGKILL:
            return _code(worker)  # it was faster
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?25h\n")  # the cursor, which it had hidden and cannot show again
    print(
        f"\nKilled with SIGKILL when {done} files were done. Starting again on the same database.\n",
        flush=True,
    )
    with _start(arguments) as worker:
        return _code(worker)


@contextmanager
def _start(arguments: Sequence[str], *descriptors: int) -> Generator[subprocess.Popen[bytes], None, None]:
    """A worker; whoever wants this process to end means the worker, which then ends in order."""
    command = [sys.executable, "-m", "examples.site", *arguments]
    with subprocess.Popen(command, pass_fds=descriptors) as worker:  # noqa: S603 - it is this program

        def pass_on(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGTERM:  # Ctrl-C in a terminal reaches all of its processes anyway
                worker.terminate()

        signal.signal(signal.SIGINT, pass_on)
        signal.signal(signal.SIGTERM, pass_on)
        yield worker


def _wait_for_the_moment(lines: Iterator[str], share: float) -> int | None:
    """Read the worker's progress until so much of its work is done; None if it ends before that."""
    moment: float | None = None
    for line in lines:
        kind, *numbers = line.split()
        if kind == "planned":
            planned, unfinished = map(int, numbers)
            # With nothing to do, it will clear all away and plan again.
            moment = planned - unfinished + max(1.0, unfinished * share) if unfinished else None
        elif moment is not None and int(numbers[0]) >= moment:
            return int(numbers[0])
    return None


def _code(worker: subprocess.Popen[bytes]) -> int:
    code = worker.wait()
    return code if code >= 0 else 128 - code
