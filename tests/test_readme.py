"""The README's example is a program: it runs as printed, and prints what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 150
MOST_EXAMPLE_LINES = 30
"""Of code: PEP 8's blank lines between the classes are for the eye."""


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_the_example_is_short() -> None:
    program, _ = example()

    assert len([line for line in program.splitlines() if line.strip()]) <= MOST_EXAMPLE_LINES


@pytest.mark.parametrize("options", [[], ["-W", "error", "-X", "dev"]], ids=["plainly", "strictly"])
def test_the_example_runs_as_printed(tmp_path: Path, options: list[str]) -> None:
    program, sessions = example()
    (tmp_path / "bank.py").write_text(program, encoding="utf-8")

    for expected in sessions:
        done = subprocess.run(
            [sys.executable, *options, "bank.py"],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if not key.startswith("SENTIENT_")},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert done.returncode == 0, done.stderr
        if expected is not None:
            assert done.stdout == expected


def test_the_agent_runs_as_printed_with_a_system_of_no_arguments(tmp_path: Path) -> None:
    block = next(block for block in blocks() if "Agent" in block)
    program = f"import anyio\nasync def main():\n{indent(block, '    ')}\nanyio.run(main)\n"
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("SENTIENT_", "SURREALDB_"))
    }

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            **kept,
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "PYTHONPATH": str(ROOT),
            "LOG_LEVEL": "WARNING",  # it would say where its data is
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "50 wrote Rain\n50 wrote Snow\n100 completed\n", done.stderr
    assert (tmp_path / "data" / "sentient-core" / "sentient_core").is_dir()


def blocks() -> list[str]:
    """All of Python."""
    return re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def example() -> tuple[str, list[str | None]]:
    """The first Python block of more than ten lines, and what each of its runs prints.

    The ```text block behind it shows a terminal: `$ python bank.py`, then the output, once or more
    often; every run finds what the one before left behind. Without such a block: one run, any output.
    """
    blocks = list(re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))
    position = next(
        at for at, block in enumerate(blocks) if block[1] == "python" and block[2].count("\n") > 10
    )
    program = blocks[position][2]
    following = blocks[position + 1 : position + 2]
    if not following or following[0][1] != "text":
        return program, [None]
    return program, list(re.split(r"^\$ python bank\.py\n", following[0][2], flags=re.MULTILINE)[1:])
