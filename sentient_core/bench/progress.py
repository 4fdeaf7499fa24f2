"""How far a run is, on stderr: a line that changes on a terminal, else one line when something ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sentient_core.bench.result import Result

__all__ = ["RunProgress"]


class RunProgress:
    """Tells people what is measured, and what came of what has been."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._all = self._progress.add_task("all", total=total)
        self._one = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, what: str) -> None:
        """A row begins on a store."""
        self._progress.reset(self._one, description=what, total=None, visible=True)

    def step(self, done: int, total: int) -> None:
        """It has come so far."""
        self._progress.update(self._one, completed=done, total=total)

    def end(self, what: str, result: Result) -> None:
        """It is over."""
        self._progress.advance(self._all)
        verdict = "ok" if result.is_sound else f"error: {result.error}" if result.error else "BROKEN"
        self._console.print(f"{what}: {verdict}, {result.seconds:.1f} s", markup=False, soft_wrap=True)
        for check in result.findings.broken:
            self._console.print(
                f"  {check.claim}: {check.found}, expected {check.expected}", markup=False, soft_wrap=True
            )

    def say(self, line: str) -> None:
        """A line for people."""
        self._console.print(line, markup=False, soft_wrap=True)
