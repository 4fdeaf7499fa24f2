"""Faults injected into a loaded system: `sentient bench faults`, beside the other benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from sentient_core.cli import main as sentient

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """`sentient bench faults` with these arguments; ends the program with its exit code."""
    raise SystemExit(
        sentient(
            ["bench", "faults", *(sys.argv[1:] if arguments is None else arguments)], prog_name="sentient"
        )
    )


if __name__ == "__main__":
    main()
