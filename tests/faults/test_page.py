"""The page on faults is true: its plan is the one its TOML says, and its test passes."""

from __future__ import annotations

import re
from pathlib import Path

from sentient_core.faults import ACTIONS, FaultPlan, FaultPoint
from tests.testing.test_plugin import outcomes, run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]


def test_its_plan_is_the_same_in_python_and_as_text() -> None:
    (text,) = [text for language, text in BLOCKS if language == "toml"]
    names: dict[str, object] = {}
    exec(PYTHON[0].partition("async def main")[0], names)

    assert FaultPlan.from_toml(text) == names["plan"]


def test_its_table_has_all_points_and_what_can_be_done_there() -> None:
    said: dict[str, set[str]] = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            actions = set(re.sub(r"\(.*?\)", "", cells[2]).replace(" ", "").split(","))
            said |= dict.fromkeys(re.findall(r"`(\w+)`", cells[0]), actions)

    assert said == {point.value: {action.value for action in ACTIONS[point]} for point in FaultPoint}


def test_its_test_passes(tmp_path: Path) -> None:
    (users,) = [text for text in PYTHON if "async def test_" in text]

    found = run(tmp_path, users, "-k", "asyncio-0] or trio-7]", users="")

    assert list(outcomes(found).values()) == ["PASSED", "PASSED"], found["output"]
