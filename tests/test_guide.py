"""The guide is true: its blocks run on both event loops, print what it says, and the type checkers agree."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import isawaitable
from pathlib import Path
from textwrap import indent
from types import FunctionType
from typing import Any

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from sentient_core import ActorSystem

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
FRAME, *BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
MOST_LINES = 340


def heading(block: str) -> str:
    """What a block stands under."""
    before = GUIDE[: GUIDE.index(block)]
    return before.rpartition("\n## ")[2].partition("\n")[0] + (", plain" if is_plain(block) else "")


def is_plain(block: str) -> bool:
    """It is a program without an event loop."""
    return ".in_thread(" in block


def promised(block: str) -> re.Pattern[str]:
    """What it says that it prints; `…` is anything."""
    lines: list[str] = re.findall(r"# → (.*)$", block, re.MULTILINE)
    return re.compile("".join(re.escape(line).replace("…", ".*") + "\n" for line in lines))


async def run(code: str, names: dict[str, Any]) -> None:
    """Run what may await anywhere."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    outcome = FunctionType(compile(code, "guide.md", "exec", flags, dont_inherit=True), names)()
    if isawaitable(outcome):
        await outcome


def test_the_guide_is_short() -> None:
    assert len(GUIDE.splitlines()) <= MOST_LINES


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a block says of logs holds for it alone."""
    log, before = logging.getLogger("sentient_core"), structlog.get_config()
    kind, level, handlers = logging.getLoggerClass(), log.level, [*log.handlers]
    yield
    structlog.configure(**before)
    logging.setLoggerClass(kind)
    log.setLevel(level)
    log.handlers[:] = handlers


@pytest.mark.parametrize("block", BLOCKS, ids=heading)
async def test_a_block_runs_and_prints_what_it_says(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    await run(FRAME, names)

    with capture_logs():  # the runtime's log lines would be printed too
        if is_plain(block):
            await anyio.to_thread.run_sync(exec, block, names)
        else:
            async with ActorSystem("guide", store="mem://") as names["system"]:
                await run(block, names)

    printed = capsys.readouterr().out
    assert promised(block).fullmatch(printed), printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=["mypy", "pyright"]
)
def test_the_type_checkers_have_no_complaint(checker: list[str], tmp_path: Path) -> None:
    path = tmp_path / "guide.py"
    path.write_text(as_module(), "utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", *checker, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def as_module() -> str:
    """All of the guide as one module, a function for each block."""
    parts = [FRAME]
    for number, block in enumerate(BLOCKS):
        start = "def" if is_plain(block) else "async def"
        parts.append(f"{start} block_{number}(system: ActorSystem) -> None:\n{indent(block, '    ')}")
    return "\n\n".join(parts)
