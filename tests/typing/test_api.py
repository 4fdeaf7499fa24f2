"""Both type checkers understand the API: `api.py` without a complaint, every mistake of `wrong.py` found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return done.stdout + done.stderr


def _mypy(name: str) -> tuple[list[int], str]:
    """Lines with errors, and all of the output."""
    out = _run("mypy", "--strict", "--no-error-summary", str(HERE / name))
    lines = [line for line in out.splitlines() if f"{name}:" in line and " error: " in line]
    return [int(line.split(":")[1]) for line in lines], out


def _pyright(name: str) -> tuple[list[int], str]:
    out = _run("pyright", "--pythonpath", sys.executable, "--outputjson", str(HERE / name))
    report = json.loads(out[out.index("{") :])
    errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
    return [found["range"]["start"]["line"] + 1 for found in errors], out


CHECKERS = pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])


@pytest.mark.slow
@CHECKERS
def test_the_type_checkers_know_the_api(checker: object) -> None:
    assert callable(checker)
    lines, out = checker("api.py")

    assert lines == [], out


@pytest.mark.slow
@CHECKERS
def test_the_type_checkers_find_mistakes(checker: object) -> None:
    assert callable(checker)
    source = (HERE / "wrong.py").read_text().splitlines()
    marked = {number for number, line in enumerate(source, 1) if line.endswith("# WRONG")}

    lines, out = checker("wrong.py")

    assert set(lines) == marked, out
