"""Where a measurement was made: versions, processor, disk."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from sentient_core.bench.samples import percentile

__all__ = ["Machine", "fdatasync_p99", "file_system", "load", "this_machine"]

_PACKAGES = ("sentient-core", "anyio", "trio", "msgspec", "cbor2", "surrealdb", "surrealdb-embedded")
_IN_MEMORY = ("tmpfs", "ramfs")
_SYNCS = 200


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure depends on."""

    cores: int
    cpu: str
    os: str
    python: str
    file_system: str
    packages: dict[str, str]
    load: tuple[float, float]
    """One-minute load averages when the measurement began and ended; above 0.5 at the beginning, something
    else was running."""


def this_machine(
    folder: Path,
    load_before: float,
    packages: Sequence[str] = (),
    programs: Mapping[str, str] | None = None,
) -> Machine:
    """This one: the file system that `folder` is on, the versions of `packages` too, those of `programs`."""
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu=_cpu(),
        os=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        file_system=file_system(folder),
        packages={name: found for name in (*_PACKAGES, *packages) if (found := _version(name)) is not None}
        | dict(programs or {}),
        load=(round(load_before, 2), round(load(), 2)),
    )


def load() -> float:
    """The one-minute load average; 0 where there is none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def file_system(folder: Path) -> str:
    """The type of the file system that `folder` is on; `unknown` where there is no /proc/mounts.

    One in memory is marked: figures of a store made there say nothing about a disk.
    """
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "unknown"
    path = folder.resolve()
    above = [mount for mount in mounts if path.is_relative_to(mount[1])]
    if not above:
        return "unknown"
    kind = max(above, key=lambda mount: len(mount[1]))[2]
    return f"{kind} (in memory!)" if kind in _IN_MEMORY else kind


def fdatasync_p99(folder: Path, count: int = _SYNCS) -> float:
    """Milliseconds within which 99 of 100 appended 4 KiB blocks reach the disk of `folder`."""
    path = folder / "fdatasync"
    block = os.urandom(4096)
    sync = getattr(os, "fdatasync", os.fsync)
    seconds: list[float] = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(count):
            os.write(descriptor, block)
            started = time.perf_counter()
            sync(descriptor)
            seconds.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(seconds, 0.99) * 1e3


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
