"""What a piece of code costs in the interpreter's instructions: the same number on every run and machine."""

from __future__ import annotations

import linecache
import re
import sys
from collections import Counter
from types import FrameType
from typing import Any, Self

__all__ = ["FAULT_POINTS", "Instructions"]

FAULT_POINTS = r"(?<!de)fault|injecting|_fails_to_commit|_pass_by_committed|pass_by_read|pass_by_write"
"""What every line of the runtime has in it that is there for a fault point: what is asked there, and who is
called for it. What else such a line does counts as well."""


class Instructions:
    """Counts what its block executes, in the block's thread, by file and line.

    The code runs some hundred times slower meanwhile. Entered within an event loop, it counts that as well.
    """

    def __init__(self) -> None:
        self.by_line: Counter[tuple[str, int]] = Counter()
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        self._trace_entered(self._executed)  # what has begun already: the loop, and who counts
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        self._trace_entered(None)

    @property
    def all(self) -> int:
        """Instructions in all."""
        return self.by_line.total()

    def on_lines_with(self, pattern: str, package: str) -> int:
        """Those on lines of a package's source in which a regular expression is found."""
        is_meant = re.compile(pattern).search
        return sum(
            count
            for (file, line), count in self.by_line.items()
            if f"/{package}/" in file and is_meant(linecache.getline(file, line))
        )

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        return self._executed

    def _executed(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.by_line[frame.f_code.co_filename, frame.f_lineno or 0] += 1
        return self._executed

    def _trace_entered(self, trace: Any) -> None:
        frame: FrameType | None = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - the interpreter's own way
        while frame is not None:
            frame.f_trace, frame.f_trace_opcodes = trace, trace is not None
            frame = frame.f_back
