"""The page for those who change the runtime says of every module what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "design.md").read_text("utf-8")
LISTS = "".join(re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
NAMED = set(re.findall(r"\w+", LISTS))
AS_A_WHOLE = {"rows", "store_conformance", "peers"}
"""Folders of files that are all of one kind."""

FOLDERS = sorted({path.parent for path in (ROOT / "sentient_core").rglob("*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_module_stands_in_the_list(folder: Path) -> None:
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}
    whole = AS_A_WHOLE.intersection(folder.relative_to(ROOT).parts)

    if whole:
        assert f"{whole.pop()}/" in LISTS
    else:
        assert modules - NAMED == set(), "say in docs/design.md what they are for"
