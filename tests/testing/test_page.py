"""The page on testing is true: its blocks are one file of tests, which passes, and is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.test_plugin import outcomes, run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "testing.md").read_text("utf-8")
BLOCKS = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))


def test_the_page_is_short() -> None:
    assert len(TEXT.splitlines()) <= 330


def test_its_blocks_pass_on_both_event_loops(tmp_path: Path) -> None:
    found = run(tmp_path, BLOCKS, "--deselect=test_users.py::TestMyStore", users="")

    assert set(outcomes(found).values()) == {"PASSED"}, found["output"]
    assert len(outcomes(found)) == 2 * BLOCKS.count("async def test_") + BLOCKS.count("\ndef test_")


def test_its_store_passes_the_suite(tmp_path: Path) -> None:
    found = run(tmp_path, BLOCKS, "-k", "TestMyStore", users="")

    assert set(outcomes(found).values()) == {"PASSED"}, found["output"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=["mypy", "pyright"]
)
def test_the_type_checkers_have_no_complaint(checker: list[str], tmp_path: Path) -> None:
    path = tmp_path / "page.py"
    path.write_text(BLOCKS, "utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", *checker, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
