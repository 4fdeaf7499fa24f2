"""Progress for people, live or in lines, and for the parent process that waits for its moment to kill."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from examples.site.board import Picture
from examples.site.messages import Commission

__all__ = ["LineDisplay", "LiveDisplay", "PipeDisplay"]


class LineDisplay:
    """A line per step, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def planned(self, commission: Commission) -> None:
        self._print(_heading(commission))

    def changed(self, picture: Picture) -> None:
        progress, system = picture.progress, picture.statistics
        step = f"published {progress.done} of {progress.planned}"
        if step != self._last:
            self._last = step
            self._print(
                f"{step}, rendered {picture.rendered}, agents {system.actors}, crashes {system.failures}, "
                f"restarts {system.restarts}, mirrored {system.mirrored}, behind {system.backlog.records}"
            )

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


class LiveDisplay:
    """A table that moves, for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._spinner = Spinner("dots", "the editor reads and plans")
        self._picture: Picture | None = None
        # rich draws from a thread of its own: it only ever sees pictures, which do not change.
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spinner.update(text="")
        self._live.stop()

    def planned(self, commission: Commission) -> None:
        self._live.console.print(_heading(commission), highlight=False)
        self._spinner.update(text="")

    def changed(self, picture: Picture) -> None:
        self._picture = picture

    def _draw(self) -> RenderableType:
        picture = self._picture
        if picture is None:
            return self._spinner
        progress, system = picture.progress, picture.statistics
        bar = ProgressBar(total=max(progress.planned, 1), completed=progress.done, width=40)
        store = ", the store is down" if system.backlog.is_down else ""
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", justify="right")
        rows.add_row("pages", bar)
        rows.add_row("", f"{picture.rendered} rendered, {progress.done} of {progress.planned} published")
        rows.add_row(
            "agents", f"{system.actors} alive, {system.failures} crashes, {system.restarts} restarts"
        )
        rows.add_row("mirror", f"{system.mirrored} messages, {system.backlog.records} records behind{store}")
        rows.add_row("", f"{time.monotonic() - self._began:.1f} s")
        return rows


class PipeDisplay:
    """Two kinds of lines for a program: `planned <files> <of them to be made>` and `done <files>`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def planned(self, commission: Commission) -> None:
        self._write(f"planned {commission.planned} {commission.unfinished}\n")

    def changed(self, picture: Picture) -> None:
        self._write(f"done {picture.progress.done}\n")

    def _write(self, line: str) -> None:
        with suppress(OSError):  # the reader is gone: so be it
            os.write(self._descriptor, line.encode())


def _heading(commission: Commission) -> str:
    """What there is to do, in a line."""
    done = commission.planned - commission.unfinished
    gone = f", {commission.withdrawn} withdrawn" if commission.withdrawn else ""
    if not commission.unfinished:
        return f"The site is finished: {commission.planned} files, all up to date{gone}"
    again = f", {done} of them done already" if done else ""
    return f"planned {commission.planned} files{again}{gone}"
