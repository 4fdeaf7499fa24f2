"""The process of one peer: reads a plan from stdin, loads the peer's module, says on stdout what happens.

It is run as a file, and imports nothing of this package, nor anything outside the standard library: how long
a process takes to its first acknowledgement is measured, and a peer must not wait for imports of ours.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["Child", "Jobs", "Plan", "main"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the process does."""

    module: str
    """The file of the peer's module: its `run(child)` works until it is killed, or returns what it found."""
    variant: str = ""
    """One of several ways to use the library, if its module knows several."""
    backend: str = "asyncio"
    """The event loop, for a library that works on several."""
    folder: str = ""
    """Where its database is: empty for the first process, kept for those that follow."""
    tills: int = 16
    """Accounts that deposits are spread over by their numbers: of eight clients, each has two to itself."""
    nexts: tuple[int, ...] = ()
    """The number of each client's next deposit, which may have been under way when the last process died."""
    is_last: bool = False
    """Each client makes that one deposit; then the process says what is recorded, and ends."""
    failures: int = 0
    """How often a handler raises, each time"""
    one_of: int = 10
    """in the midst of so many messages."""


class Child:
    """What a peer's module is given: its plan, and the means to say what happens, at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan: Plan = plan
        self._out = os.dup(1)
        os.dup2(2, 1)  # what a library prints must not get between the lines
        self._log = -1
        if plan.folder:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
            self._log = os.open(Path(plan.folder) / "executed", flags, 0o600)

    def acknowledged(self, number: int) -> None:
        """The client of a deposit was told that it is recorded."""
        self._line(b"%d" % number)

    def executed(self, number: int) -> None:
        """A handler or step is at work on a deposit: said from within it, each time; outlives the process."""
        os.write(self._log, b"%d\n" % number)

    async def as_client(self, number: int, deposit: Callable[[int], Awaitable[object]]) -> None:
        """Deposit one after the other, from this number on, each time until it is acknowledged."""
        while True:
            await deposit(number)
            self.acknowledged(number)
            if self.plan.is_last:
                return
            number += len(self.plan.nexts)

    def with_threads(self, deposit: Callable[[int], object]) -> None:
        """The same in a thread for each client; returns when all are through."""
        threads = [threading.Thread(target=self._client, args=(n, deposit)) for n in self.plan.nexts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def jobs(self) -> Jobs:
        """For a module whose worker raises."""
        return Jobs(self.plan)

    def ready(self) -> None:
        """The library is imported."""
        self._line(b"ready")

    def found(self, result: object) -> None:
        """The end: what `run` has returned."""
        self._line(b"found " + json.dumps(result).encode())

    def _client(self, number: int, deposit: Callable[[int], object]) -> None:
        try:
            while True:
                deposit(number)
                self.acknowledged(number)
                if self.plan.is_last:
                    return
                number += len(self.plan.nexts)
        except Exception:  # noqa: BLE001 - the others would go on without this client
            traceback.print_exc()
            os._exit(1)

    def _line(self, line: bytes) -> None:
        left = line + b"\n"
        while left:
            left = left[os.write(self._out, left) :]


class Jobs:
    """What a worker does that raises in the midst of each batch, and when it does the next thing."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._raised_at: float | None = None
        self._gaps: list[float] = []
        self._returned_at: float | None = None
        self._steps: list[float] = []
        self._handled: list[int] = []
        self.pause: float = 0.01
        """Seconds between two batches."""

    def batches(self) -> Iterator[range]:
        """The numbers that are sent, and then waited for."""
        for first in range(0, self._plan.failures * self._plan.one_of, self._plan.one_of):
            yield range(first, first + self._plan.one_of)

    def handle(self, number: int) -> None:
        """What the handler does with one. Raises ValueError at some."""
        if self._returned_at is not None and number % self._plan.one_of:  # the first one did not wait
            self._steps.append(time.perf_counter() - self._returned_at)
        self._returned_at = None
        self.resumed()
        if number % self._plan.one_of == self._plan.one_of // 2:
            self._raised_at = time.perf_counter()
            raise ValueError("one of so many")
        self._handled.append(number)
        self._returned_at = time.perf_counter()

    def resumed(self) -> None:
        """A message is taken up: after a raise, the first one of the next worker."""
        if self._raised_at is not None:
            self._gaps.append(time.perf_counter() - self._raised_at)
            self._raised_at = None

    def result(self) -> dict[str, Any]:
        """What `run` returns."""
        return {"gaps": self._gaps, "steps": self._steps, "handled": self._handled}


def main() -> NoReturn:
    """Work by the plan on stdin."""
    plan = Plan(**json.loads(sys.stdin.buffer.read()))
    logging.basicConfig(level=logging.CRITICAL)  # failures are measured, not how they are logged
    module = _load(Path(plan.module))
    child = Child(plan)
    child.ready()
    child.found(module.run(child))
    os._exit(0)  # whatever threads a library still has


def _load(path: Path) -> Any:
    """The module, under its file's name: what it defines is called the same in each process."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
