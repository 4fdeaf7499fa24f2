"""Other actor libraries, each in a process of its own that serves its workloads (`benchmarks.peers`).

Their threads and event loops disturb nobody there, and between their turns they wait for their next request.
One that is not installed, or fails, is left out, and the report says so.
"""

from __future__ import annotations

import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

__all__ = ["ALL_PEERS", "DURABLE_PEERS", "Peer", "PeerLeg", "Peers"]

_SECONDS = 0.2
"""How long a peer works per round: the slow ones get fewer messages, and rates are what is compared."""
_PATIENCE = 120.0
"""Seconds after which a peer that does not answer counts as hung."""
_FIRST_COUNT = 1_000


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A library."""

    name: str
    """Of its distribution."""
    module: str
    """Its `WORKLOADS` are functions from a count to a rate, by name."""
    python: tuple[int, int] = (3, 11)
    most_actors: int = 10_000
    """How many at once are asked of it."""


ALL_PEERS = (
    Peer(name="pykka", module="benchmarks.peers.pykka", most_actors=1_000),
    Peer(name="async-pykka", module="benchmarks.peers.async_pykka", python=(3, 12)),
    Peer(name="thespian", module="benchmarks.peers.thespian"),
    Peer(name="xoscar", module="benchmarks.peers.xoscar"),
    Peer(name="autogen-core", module="benchmarks.peers.autogen"),
)
"""Actor libraries."""

DURABLE_PEERS = (
    Peer(name="dbos", module="benchmarks.peers.dbos"),
    Peer(name="langgraph", module="benchmarks.peers.langgraph"),
)
"""What remembers in a database how far it has come."""


class PeerLeg(msgspec.Struct, frozen=True):
    """A workload of a peer, with as much work as suits it."""

    count: int
    run: Callable[[], float]
    """The rate; NaN once it has failed."""


class Peers:
    """Those of `wanted` that are installed; started when first needed, ended on leaving the block."""

    def __init__(self, wanted: tuple[Peer, ...] = ALL_PEERS, folder: Path | None = None) -> None:
        """`folder`: where those put their databases who have any."""
        self.skipped: dict[str, str] = {}
        """Why a peer, or a workload of it, was left out, by its name."""
        self._processes: dict[str, _Process] = {}
        self._folder = folder
        self._wanted = [peer for peer in wanted if not self._is_missing(peer)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.end()

    def legs(self, workload: str, most: int, *, is_sized: bool = False, is_quick: bool) -> dict[str, PeerLeg]:
        """By the peer's name, of those that have the workload.

        `most` limits the work; with `is_sized` it is a number of actors that live at once.
        """
        legs: dict[str, PeerLeg] = {}
        for peer in self._wanted:
            process = self._process(peer)
            if process is None or workload not in process.workloads:
                continue
            run = partial(self._run, peer, workload)
            if is_sized:
                count = min(most, peer.most_actors)
            else:
                count = min(most, _FIRST_COUNT)
                rate = run(count)
                if math.isnan(rate):
                    continue
                if not is_quick:
                    thousands = round(rate * _SECONDS / 1_000)
                    count = min(most, max(1, thousands) * 1_000)  # what rings and fans divide evenly
            legs[peer.name] = PeerLeg(count, partial(run, count))
        return legs

    def once(self, workload: str) -> Mapping[str, tuple[int, float]]:
        """What each peer finds in a new process, with as many actors as suit it: count and result."""
        found: dict[str, tuple[int, float]] = {}
        for peer in self._wanted:
            self._end(peer)
            process = self._process(peer)
            if process is not None and workload in process.workloads:
                found[peer.name] = peer.most_actors, self._run(peer, workload, peer.most_actors)
            self._end(peer)
        return {name: one for name, one in found.items() if not math.isnan(one[1])}

    def _run(self, peer: Peer, workload: str, count: int) -> float:
        process = self._process(peer)
        if process is None:
            return math.nan
        try:
            return process.run(workload, count)
        except _PeerFailed as failure:
            self.skipped[f"{peer.name}, {workload}"] = str(failure)
            self._end(peer)
            return math.nan

    def _process(self, peer: Peer) -> _Process | None:
        if peer.name not in self._processes and peer.name not in self.skipped:
            process = _Process(peer.module, self._folder)
            self._processes[peer.name] = process
            try:
                process.begin()
            except _PeerFailed as failure:
                self.skipped[peer.name] = str(failure)
                self._end(peer)
        return self._processes.get(peer.name)

    def _end(self, peer: Peer) -> None:
        process = self._processes.pop(peer.name, None)
        if process is not None:
            process.end()

    def _is_missing(self, peer: Peer) -> bool:
        if sys.version_info < peer.python:
            least = ".".join(map(str, peer.python))
            self.skipped[peer.name] = f"needs Python {least} or newer"
            return True
        try:
            version(peer.name)
        except PackageNotFoundError:
            self.skipped[peer.name] = "not installed (pip install 'sentient-core[peers]')"
            return True
        return False


class _PeerFailed(Exception):
    """It raised, ended or hung."""


class _Answer(msgspec.Struct, frozen=True):
    found: float = math.nan
    error: str = ""
    workloads: tuple[str, ...] = ()


class _Process:
    """A peer at work."""

    def __init__(self, module: str, folder: Path | None) -> None:
        self.workloads: tuple[str, ...] = ()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "benchmarks.peers", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | ({"TMPDIR": str(folder)} if folder is not None else {}),
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self) -> None:
        """Wait until it has been imported."""
        self.workloads = self._next().workloads

    def run(self, workload: str, count: int) -> float:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode({"workload": workload, "count": count}) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise _PeerFailed("its process has ended") from error
        return self._next().found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _next(self) -> _Answer:
        try:
            line = self._answers.get(timeout=_PATIENCE)
        except queue.Empty:
            raise _PeerFailed(f"no answer within {_PATIENCE:g} s") from None
        if not line:
            raise _PeerFailed("its process has ended")
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error:
            raise _PeerFailed(answer.error)
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._answers.put(line)
        self._answers.put(b"")
