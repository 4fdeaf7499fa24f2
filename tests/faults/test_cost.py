"""What the fault points cost a system that has no plan: counted in the interpreter's instructions."""

from __future__ import annotations

import linecache
import sys
from collections import Counter as Count
from types import FrameType
from typing import Any, Self

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore
from tests.probes import Add, Counter, Total, VolatileCounter

MESSAGES = 300


class Instructions:
    """Counts what is executed, by file and line, in the thread that enters it."""

    def __init__(self) -> None:
        self.by_line: Count[tuple[str, int]] = Count()

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:  # those that are entered already: the loop, and this test
            frame.f_trace, frame.f_trace_opcodes = self._executed, True
            frame = frame.f_back
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            frame.f_trace, frame.f_trace_opcodes = None, False
            frame = frame.f_back

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes = True
        return self._executed

    def _executed(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.by_line[frame.f_code.co_filename, frame.f_lineno or 0] += 1
        return self._executed

    @property
    def all(self) -> int:
        return self.by_line.total()

    @property
    def of_fault_points(self) -> int:
        """On lines that look whether there is a plan, and within what such a line leads to."""
        return sum(
            count
            for (file, line), count in self.by_line.items()
            if "sentient_core" in file and "faults" in linecache.getline(file, line)
        )


@pytest.mark.parametrize("cls", [VolatileCounter, Counter])
async def test_without_a_plan_tells_and_asks_spend_less_than_a_hundredth_on_it(
    cls: type[Counter],
) -> None:
    async with ActorSystem("test", store=MemoryStore(), watchdog=None) as system:
        counter = await system.spawn(cls, name="counter")
        await counter.ask(Total(), timeout=5)
        with Instructions() as tells:
            for _ in range(MESSAGES):
                counter.tell(Add(1))
            await anyio.sleep(0.001)
        with Instructions() as asks:
            for _ in range(MESSAGES):
                await counter.ask(Total(), timeout=5)
        assert await counter.ask(Total(), timeout=5) == MESSAGES

    for counted in (tells, asks):
        assert counted.all > 30 * MESSAGES  # it did count
        assert counted.of_fault_points < counted.all / 100, (counted.of_fault_points, counted.all)
