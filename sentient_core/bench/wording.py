"""How a value and the circumstances of a run are said, on the terminal and on the page."""

from __future__ import annotations

from sentient_core.bench.machine import Machine

__all__ = ["circumstances", "value_of"]


def circumstances(started: str, seconds: float, seed: int, machine: Machine) -> str:
    """When, how long, and on what it was measured."""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    load = f"load {machine.load[0]:g} before, {machine.load[1]:g} behind"
    return (
        f"{started}, {seconds / 60:.1f} min, seed {seed}. {machine.cpu}, {machine.cores} cores, "
        f"{machine.os}, {machine.file_system}, {load}. {machine.python}, {packages}."
    )


def value_of(value: float, unit: str) -> str:
    """With three digits or more; whole numbers as such."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()
