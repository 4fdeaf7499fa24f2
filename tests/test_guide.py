"""The guides are true: blocks run on both event loops, print what they say, and type checkers agree."""

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


def is_plain(block: str) -> bool:
    """It is a program without an event loop."""
    return ".in_thread(" in block


class Page:
    """A page of blocks: the first of them is the frame that the others run behind."""

    def __init__(self, name: str, most_lines: int) -> None:
        self.name = name
        self.most_lines = most_lines
        self.text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
        self.frame, *self.blocks = re.findall(r"^```python\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    def heading(self, block: str) -> str:
        """What a block stands under."""
        before = self.text[: self.text.index(block)]
        return before.rpartition("\n## ")[2].partition("\n")[0] + (", plain" if is_plain(block) else "")

    def as_module(self) -> str:
        """All of it as one module, a function for each block."""
        parts = [self.frame]
        for number, block in enumerate(self.blocks):
            start = "def" if is_plain(block) else "async def"
            parts.append(f"{start} block_{number}(system: ActorSystem) -> None:\n{indent(block, '    ')}")
        return "\n\n".join(parts)


PAGES = [Page("guide", 340), Page("supervision", 330), Page("durable", 330), Page("agents", 330)]
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}: {page.heading(block)}")
    for page in PAGES
    for block in page.blocks
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


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


@each_page
def test_the_guide_is_short(page: Page) -> None:
    assert len(page.text.splitlines()) <= page.most_lines


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


@pytest.mark.parametrize(("page", "block"), BLOCKS)
async def test_a_block_runs_and_prints_what_it_says(
    page: Page, block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    await run(page.frame, names)

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
    paths = [tmp_path / f"{page.name}.py" for page in PAGES]
    for path, page in zip(paths, PAGES, strict=True):
        path.write_text(page.as_module(), "utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", *checker, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
