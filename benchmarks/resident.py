"""How much memory this process has, as its operating system counts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["forget_peak", "peak", "resident"]

_STATUS = Path("/proc/self/status")


def resident() -> int:
    """Bytes of the resident set now; 0 elsewhere than on Linux."""
    return _field("VmRSS")


def peak() -> int:
    """Bytes of the greatest resident set since `forget_peak`; 0 elsewhere than on Linux."""
    return _field("VmHWM")


def forget_peak() -> None:
    """The greatest resident set so far is the present one."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def _field(name: str) -> int:
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text("ascii", "replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0
