"""Every name of the two documents that this project began with: on the page of changes, and in the package.

`names.toml` is the list, made by going through both documents. A name that is deliberately gone stands there
with its reason, which the page gives as well.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.requirements import Requirement

import sentient_core
from sentient_core import ActorSystem, Settings, agents
from sentient_core.store import schema
from tests.original_design.page import Section, sections_of

ROOT = Path(__file__).parents[2]
NAMES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "names.toml").read_text("utf-8"))
PAGE = ROOT / "docs" / "original-design.md"
SECTIONS = sections_of(PAGE)
CLASSES: dict[str, Any] = NAMES["classes"]
TABLES: dict[str, Any] = NAMES["tables"]
ENUMS: dict[str, Any] = NAMES["enums"]
each_class = pytest.mark.parametrize("name", CLASSES)
each_table = pytest.mark.parametrize("name", TABLES)
each_enum = pytest.mark.parametrize("name", ENUMS)


def found(path: str) -> Any:
    """What a path leads to from `sentient_core.agents`, or from `sentient_core`."""
    names = path.split(".")
    value: Any = agents if hasattr(agents, names[0]) else sentient_core
    for name in names:
        value = getattr(value, name)
    return value


def parameters_of(value: Any) -> set[str]:
    """The names that a call takes."""
    return set(inspect.signature(value).parameters)


def methods() -> Iterator[tuple[str, str, list[str]]]:
    for cls, entry in CLASSES.items():
        for method, parameters in entry.get("methods", {}).items():
            yield cls, method, parameters


def attributes() -> Iterator[tuple[str, str]]:
    for cls, entry in CLASSES.items():
        for attribute in (*entry.get("attributes", ()), *entry.get("fields", ())):
            yield cls, attribute


def gone() -> Iterator[tuple[str, str, str]]:
    """Sections of the page, names, reasons."""
    for cls, entry in CLASSES.items():
        for name, reason in {**entry.get("gone", {}), **entry.get("bases", {})}.items():
            yield cls, name, reason
    for table, entry in TABLES.items():
        for name, reason in entry.get("gone", {}).items():
            yield "Tables", f"{table}.{name}", reason
    for name, reason in NAMES["dependencies_gone"].items():
        yield "Dependencies", name, reason


# The page.


@each_class
def test_a_class_has_its_section_which_says_what_it_is_now(name: str) -> None:
    ours = CLASSES[name].get("ours")

    assert name in SECTIONS
    assert ours is None or SECTIONS[name].heading == f"`{name}`, now `{ours}`"


@pytest.mark.parametrize(("cls", "method", "parameters"), list(methods()))
def test_a_method_stands_on_the_page_with_its_parameters(
    cls: str, method: str, parameters: list[str]
) -> None:
    assert SECTIONS[cls].signature_of(method) == tuple(parameters)


@pytest.mark.parametrize(("cls", "attribute"), list(attributes()))
def test_an_attribute_stands_on_the_page(cls: str, attribute: str) -> None:
    row = SECTIONS[cls].row_of(attribute)

    assert row is not None
    assert "gone" not in row[1] or attribute in CLASSES[cls]["gone"]


@pytest.mark.parametrize(("section", "name", "reason"), list(gone()))
def test_what_is_gone_stands_on_the_page_with_its_reason(section: str, name: str, reason: str) -> None:
    row = SECTIONS[section].row_of(name)

    assert row is not None
    assert row[2].strip() == reason


@each_enum
def test_the_members_of_an_enumeration_stand_on_the_page(name: str) -> None:
    row = SECTIONS["Enumerations"].row_of(name)

    assert row is not None
    assert re.findall(r"`(\w+)`", row[1]) == list(ENUMS[name]["members"])


@each_table
def test_a_table_stands_on_the_page_with_its_fields_and_indexes(name: str) -> None:
    row = SECTIONS["Tables"].row_of(name)

    assert row is not None
    assert re.findall(r"`(\w+)`", row[1]) == TABLES[name]["fields"]
    assert re.findall(r"`(\w+)`", row[2]) == list(TABLES[name]["indexes"])


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *(("Settings", name) for name in NAMES["variables"]),
        *(("Files", name) for name in NAMES["files"]),
        *(("Dependencies", name) for name in NAMES["dependencies"]),
        *(("Deployment", name) for name in NAMES["deployment"]["reversed"]),
        *((name, name) for name in NAMES["functions"]),
    ],
)
def test_a_variable_file_dependency_or_option_stands_on_the_page(section: str, name: str) -> None:
    assert SECTIONS[section].row_of(name) is not None


def test_the_page_names_the_tests_and_what_was_kept_of_the_deployment() -> None:
    text = PAGE.read_text("utf-8")

    assert [n for n in NAMES["tests"]["names"] if f"`{n.partition('.')[2]}`" not in text] == []
    assert [kept for kept in NAMES["deployment"]["kept"] if f"`{kept}`" not in text] == []


def test_no_row_of_a_class_speaks_of_a_name_that_the_list_does_not_have() -> None:
    unknown = [
        (cls, name) for cls, entry in CLASSES.items() for name in _said(SECTIONS[cls]) - _listed(entry)
    ]

    assert unknown == []


def test_the_page_is_short() -> None:
    assert len(PAGE.read_text("utf-8").splitlines()) <= 320


def _said(section: Section) -> set[str]:
    return {name for row in section.rows for name in re.findall(r"`(\w+)(?:\(.*?\))?`", row[0])}


def _listed(entry: dict[str, Any]) -> set[str]:
    kinds = ("methods", "attributes", "fields", "gone", "bases")
    return {name for kind in kinds for name in entry.get(kind, ())}


# The package.


@each_class
def test_a_class_can_be_imported_under_its_name(name: str) -> None:
    entry = CLASSES[name]
    ours = found(entry.get("ours", name))

    assert entry.get("foreign") or issubclass(getattr(agents, name), ours)


@pytest.mark.parametrize(("cls", "method", "parameters"), list(methods()))
def test_a_method_takes_its_parameters(cls: str, method: str, parameters: list[str]) -> None:
    entry = CLASSES[cls]
    mapped, ours = entry.get("ours_of", {}), entry["ours"] if "foreign" in entry else cls
    taken = found(mapped.get(method, f"{ours}.{method}"))

    assert callable(taken)
    for parameter in parameters:
        path = mapped.get(f"{method}({parameter})")
        if path is None:
            assert parameter in parameters_of(taken)
            continue
        path, _, name = path.rstrip(")").partition("(")
        assert not name or name in parameters_of(found(path))


@pytest.mark.parametrize("cls", [cls for cls, entry in CLASSES.items() if "handle" in entry])
def test_what_a_program_calls_is_on_the_handle(cls: str) -> None:
    for method in CLASSES[cls]["handle"]:
        wanted = set(CLASSES[cls]["methods"][method])
        assert wanted <= parameters_of(getattr(agents.AgentHandle, method))


@pytest.mark.parametrize(("cls", "attribute"), list(attributes()))
async def test_an_attribute_is_there(cls: str, attribute: str) -> None:
    type_ = getattr(agents, cls)
    fields = msgspec.structs.fields(type_) if issubclass(type_, msgspec.Struct) else ()
    if attribute in (field.name for field in fields) or hasattr(type_, attribute):
        return
    config = agents.SurrealDBConfig(url="mem://")
    made = config if cls == "SurrealDBConfig" else type_(config)

    assert hasattr(made, attribute)


@pytest.mark.parametrize("name", NAMES["functions"])
def test_a_function_takes_its_parameters(name: str) -> None:
    assert set(NAMES["functions"][name]["parameters"]) <= parameters_of(getattr(agents, name))


@each_enum
def test_an_enumeration_has_its_members(name: str) -> None:
    type_: Any = getattr(agents, name)

    assert issubclass(type_, StrEnum)
    for member, value in ENUMS[name]["members"].items():
        assert type_[member] == value
        assert type_(value) is type_[member]


@each_table
def test_a_table_has_its_fields_and_indexes(name: str) -> None:
    entry = TABLES[name]
    table = {table.name: table for table in schema.TABLES}[entry.get("ours", name)]
    mapped = entry.get("ours_of", {})

    assert {mapped.get(field, field) for field in entry["fields"]} <= table.fields.keys()
    for index, fields in entry["indexes"].items():
        assert table.indexes[index].split(", ")[0] == fields
    assert not table.indexes.keys() & entry.get("gone", {}).keys()


@pytest.mark.parametrize("name", NAMES["variables"])
def test_a_variable_is_a_setting(name: str) -> None:
    assert name.lower() in Settings.__struct_fields__


@pytest.mark.parametrize("name", NAMES["files"])
def test_a_file_is_where_the_page_says(name: str) -> None:
    ours: str = NAMES["files"][name]
    row = SECTIONS["Files"].row_of(name)

    assert (ROOT / ours).is_dir() if ours.endswith("/") else (ROOT / ours).is_file()
    assert row is not None
    assert row[1].strip() == f"`{ours}`"


def test_dependencies_are_as_said() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {Requirement(line).name for line in project["dependencies"]}

    assert set(NAMES["dependencies"].values()) <= names
    assert not NAMES["dependencies_gone"].keys() & names


def test_the_deployment_keeps_and_reverses_what_the_page_says() -> None:
    lines = (ROOT / "deploy" / "compose.yaml").read_text("utf-8").splitlines()
    compose = "\n".join(line.partition(" #")[0] for line in lines if not line.lstrip().startswith("#"))
    given = (ROOT / "deploy" / "production.env.example").read_text("utf-8")

    assert [kept for kept in NAMES["deployment"]["kept"] if kept not in compose] == []
    reverses = [f" {line}" for line in NAMES["deployment"]["reversed"]]
    assert [line for line in reverses if line in compose] == []
    assert [name for name in NAMES["variables"] if f"\n{name}=" not in given] == []


def test_the_tests_of_the_documents_are_there_to_the_letter() -> None:
    text = (ROOT / NAMES["tests"]["file"]).read_text("utf-8")
    first = NAMES["tests"]["names"][0].partition(".")[0]
    tests = text[text.index(f"class {first}") :]

    for name in NAMES["tests"]["names"]:
        cls, _, test = name.partition(".")
        assert f"class {cls}" in tests
        assert f"async def {test}(" in tests
    assert hashlib.blake2b(tests.encode(), digest_size=16).hexdigest() == NAMES["tests"]["digest"]


async def test_what_a_config_gives_out_is_shared_by_a_system_a_bus_and_a_state_manager() -> None:
    async with agents.SurrealDBConfig(url="mem://") as config, ActorSystem("design", store=config) as system:
        assert isinstance(system.events, agents.SurrealDBEventBus)
        manager = agents.SurrealDBStateManager(db_config=config, system="design")
        await agents.StateManager(system).create_agent_state({"agent_id": "a", "name": "A"})

        assert manager.db_config is config
        assert await manager.get_agent_state("a") is not None
