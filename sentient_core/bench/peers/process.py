"""Starts the process of a peer, hears what it says, kills it, and starts it again on what is left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from signal import SIGKILL
from typing import Any

import anyio
import msgspec
from anyio.abc import Process

from sentient_core.bench.deposits import Verdict, judge
from sentient_core.bench.findings import Findings
from sentient_core.bench.peers import child
from sentient_core.bench.peers.child import Plan
from sentient_core.errors import SentientError

__all__ = [
    "PEER_PACKAGES",
    "PROGRAMS",
    "Crashed",
    "Life",
    "Peer",
    "PeerFailed",
    "crash_often",
    "installed",
    "work",
]

PROGRAMS = Path(__file__).parent / "programs"
"""Where the peers' modules are. No package: most cannot be imported where their library is missing."""

PEER_PACKAGES = ("pykka", "dbos", "langgraph", "langgraph-checkpoint-sqlite")
"""The distributions whose versions a report names."""

_CLIENTS = 8
_PATIENCE = 120.0


class PeerFailed(SentientError):
    """Its process did something else than it should have."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A library, and a way to use it."""

    name: str
    """What the report calls it."""
    way: str = ""
    """How it is used, for the report."""
    package: str
    """Its distribution."""
    module: Path
    variant: str = ""
    """`way`, for its module."""

    @property
    def title(self) -> str:
        """Name, version, way."""
        name = f"{self.name} {self.version}"
        return f"{name}, {self.way}" if self.way else name

    @property
    def version(self) -> str | None:
        """None if it is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def plan(self, **fields: Any) -> Plan:
        """Something for it to do."""
        return Plan(module=str(self.module), variant=self.variant, **fields)


class Life(msgspec.Struct):
    """What one process has said."""

    acknowledged: list[int] = []
    ready: float = 0.0
    """Seconds from its start to its imports being done,"""
    first: float | None = None
    """and to its first acknowledgement."""
    found: Any = None
    """What it has returned, if it was not killed."""


class Crashed(msgspec.Struct):
    """What became of all deposits, over several lives on one database."""

    verdict: Verdict
    executed: int
    """Deposits that a handler or step has begun with,"""
    again: int
    """and how often it has begun with one that it had begun with before."""
    rates: list[float]
    """Acknowledged per second, in each life that was ended by a kill."""
    ready: list[float]
    firsts: list[float]
    """Of the lives that follow a kill."""


def installed(peers: Sequence[Peer], findings: Findings) -> list[Peer]:
    """Those that can be measured; a note says of the others that they are left out."""
    there = [peer for peer in peers if peer.version is not None]
    for name in dict.fromkeys(peer.package for peer in peers if peer.version is None):
        findings.note(f"{name} is left out, since it is not installed: pip install 'sentient-core[peers]'")
    return there


async def crash_often(
    peer: Peer, folder: Path, moments: Sequence[float], *, backend: str, progress: Callable[[], object]
) -> Crashed:
    """Live, be killed so many seconds after the first acknowledgement, live again; then look what there is.

    Each client begins a life with the deposit that it has no acknowledgement of, under the same number.
    `folder` is the database's: new and empty. Raises PeerFailed.
    """
    nexts = list(range(_CLIENTS))
    told: set[int] = set()
    lives: list[Life] = []
    rates: list[float] = []
    for moment in (*moments, None):
        plan = peer.plan(folder=str(folder), backend=backend, nexts=nexts, is_last=moment is None)
        life = await work(plan, kill_after=moment)
        lives.append(life)
        told.update(life.acknowledged)
        for number in life.acknowledged:
            nexts[number % _CLIENTS] = number + _CLIENTS
        if moment is not None:
            rates.append(len(life.acknowledged) / moment)
        progress()
    executed = (folder / "executed").read_bytes().split()
    return Crashed(
        verdict=judge(told, lives[-1].found),
        executed=len(set(executed)),
        again=len(executed) - len(set(executed)),
        rates=rates,
        ready=[life.ready for life in lives[1:]],
        firsts=[life.first for life in lives[1:] if life.first is not None],
    )


async def work(plan: Plan, *, kill_after: float | None = None) -> Life:
    """One process, from its start to its end: its own, or by SIGKILL so long after it acknowledged something.

    Raises PeerFailed for another end.
    """
    started = time.perf_counter()
    command = [sys.executable, "-P", child.__file__]
    life = Life()
    code: int | None = None
    words: list[bytes] = []
    with anyio.move_on_after(_PATIENCE):
        async with (
            await anyio.open_process(command, stderr=subprocess.PIPE) as process,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_collect, process, words)
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes
            await process.stdin.send(json.dumps(asdict(plan)).encode())
            await process.stdin.aclose()
            rest = b""
            async for chunk in process.stdout:
                at = time.perf_counter() - started
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    _hear(life, line, at)
                if life.acknowledged and life.first is None:
                    life.first = at
                    if kill_after is not None:
                        tasks.start_soon(_kill, process, kill_after)
            code = await process.wait()
    if code != (0 if kill_after is None else -SIGKILL):
        said = b"".join(words).decode(errors="replace").strip()
        failure = PeerFailed(
            f"{Path(plan.module).stem} {_end(code)}: {said.splitlines()[-1] if said else 'it said nothing'}"
        )
        failure.add_note(said)
        raise failure
    return life


def _end(code: int | None) -> str:
    return f"did not end within {_PATIENCE:g} s" if code is None else f"ended with {code}"


def _hear(life: Life, line: bytes, at: float) -> None:
    if line == b"ready":
        life.ready = at
    elif line.startswith(b"found "):
        life.found = json.loads(line.removeprefix(b"found "))
    else:
        life.acknowledged.append(int(line))


async def _kill(process: Process, after: float) -> None:
    await anyio.sleep(after)
    if process.returncode is None:
        process.kill()


async def _collect(process: Process, words: list[bytes]) -> None:
    assert process.stderr is not None  # noqa: S101 - a pipe
    async for chunk in process.stderr:
        words += [chunk]
