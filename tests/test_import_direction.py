"""Imports only go downwards, so that every layer can be understood without those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: list[set[str]] = [
    {"errors", "backend", "codec", "paths", "logs", "causes", "feed", "secret"},
    {"faults"},
    {"mailbox"},
    {"store"},
    {"config", "own_store"},
    {"events"},
    {"actors"},
    {"supervisor"},
    {
        "assembly",
        "drawing",
        "flushing",
        "health",
        "in_thread",
        "past",
        "recovering",
        "system",
        "tree",
        "until_signal",
    },
    {"agents"},
    {"testing"},
    {"bench"},
    {"cli"},
    {"__init__", "__main__"},
]
"""From the bottom up; each name a module or package directly below `sentient_core`. A module may import
from its own layer and from those before it. `__init__` re-exports, so nobody inside imports from it."""

ONLY_IN = {
    "aiohttp": "sentient_core/store/connection.py",
    "surrealdb": "sentient_core/store/engine.py",
    "surrealdb_embedded": "sentient_core/store/engine.py",
}
"""What a distribution outside may be imported by: the one place that knows its errors and its traps."""

HEIGHTS = {name: height for height, layer in enumerate(LAYERS) for name in layer}


def test_every_module_has_a_layer() -> None:
    tops = {path.stem for path in (ROOT / "sentient_core").iterdir() if _is_module(path)}

    assert tops - HEIGHTS.keys() == set(), "give the new module a place in LAYERS"


def test_imports_only_go_downwards() -> None:
    assert list(violations(ROOT)) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("mailbox/mailbox.py", "from sentient_core.actors.ref import ActorRef", "mailbox imports actors"),
        ("store/memory.py", "import sentient_core.events.mirror", "store imports events"),
        ("store/memory.py", "from sentient_core import system", "store imports system"),
        ("store/memory.py", "from ..supervisor import plan", "store imports supervisor"),
        ("store/memory.py", "from .. import supervisor", "store imports supervisor"),
        ("actors/cell.py", "def f():\n    import sentient_core.system", "actors imports system"),
        ("actors/cell.py", "from sentient_core import Actor", "actors imports __init__"),
        ("actors/cell.py", "import sentient_core", "actors imports __init__"),
        ("actors/cell.py", "if not TYPE_CHECKING:\n    import sentient_core.cli", "actors imports cli"),
        ("actors/cell.py", "if TYPE_CHECKING: pass\nelse: import sentient_core.cli", "actors imports cli"),
        ("store/memory.py", "import surrealdb", "surrealdb"),
        ("store/memory.py", "if TYPE_CHECKING:\n    from surrealdb.errors import SurrealError", "surrealdb"),
        ("store/memory.py", "from surrealdb_embedded import Engine", "surrealdb_embedded"),
    ],
)
def test_a_violation_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    _write(tmp_path, path, source)

    (found,) = violations(tmp_path)

    assert path in found
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("actors/cell.py", "from sentient_core.errors import SentientError"),
        ("actors/cell.py", "from sentient_core import errors, mailbox"),
        ("actors/cell.py", "from . import ref\nfrom .ref import ActorRef\nfrom ..store import records"),
        ("actors/cell.py", "if TYPE_CHECKING:\n    from sentient_core.system import ActorSystem"),
        ("actors/cell.py", "if typing.TYPE_CHECKING:\n    from sentient_core.system import ActorSystem"),
        ("store/engine.py", "import surrealdb\nfrom surrealdb_embedded import Engine"),
        ("cli/tree.py", "import sentient_core.system"),
        ("__init__.py", "from sentient_core.system import ActorSystem"),
        ("mailbox/mailbox.py", "import mailbox, supervisor, actors"),
    ],
)
def test_what_is_allowed_is_let_through(tmp_path: Path, path: str, source: str) -> None:
    _write(tmp_path, path, source)

    assert list(violations(tmp_path)) == []


def violations(root: Path) -> Iterator[str]:
    """Say for every import below `root/sentient_core` that breaks a rule where it is, and what it does."""
    package = root / "sentient_core"
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(root).with_suffix("").parts
        here = module[1]
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node, is_for_types in _imports(tree):
            for target in _targets(node, module):
                place = f"{path.relative_to(root).as_posix()}:{node.lineno}"
                outside = ONLY_IN.get(target[0])
                if outside is not None and path.relative_to(root).as_posix() != outside:
                    yield f"{place}: only {outside} may import {target[0]}"
                if target[0] != "sentient_core" or is_for_types:
                    continue
                there = target[1] if target[1:] and target[1] in HEIGHTS else "__init__"
                if HEIGHTS[there] > HEIGHTS.get(here, len(LAYERS)):
                    yield f"{place}: {here} imports {there}"


def _imports(node: ast.AST, is_for_types: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """All imports below `node`, and whether each is in the body of an `if TYPE_CHECKING:`."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, is_for_types
    elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        for statement in node.body:
            yield from _imports(statement, is_for_types=True)
        for statement in node.orelse:
            yield from _imports(statement, is_for_types)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, is_for_types)


def _targets(node: ast.Import | ast.ImportFrom, module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What `node` imports, as absolute names; for `from a import b` with b included."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield tuple(alias.name.split("."))
        return
    base = module[: -node.level] if node.level else ()
    base += tuple(node.module.split(".")) if node.module else ()
    if base == ("sentient_core",):
        for alias in node.names:
            yield (*base, alias.name)
    else:
        yield base


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))


def _write(root: Path, path: str, source: str) -> None:
    file = root / "sentient_core" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
