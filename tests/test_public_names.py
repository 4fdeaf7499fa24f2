"""`__all__` is true in every module, and what it promises is explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types

import pytest

import sentient_core

MODULES = [
    "sentient_core",
    *(
        module.name
        for module in pkgutil.walk_packages(sentient_core.__path__, "sentient_core.")
        if not module.name.endswith("__main__")
    ),
]


def test_the_package_exports_what_it_defines_and_nothing_else() -> None:
    visible = {
        name
        for name, value in vars(sentient_core).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }

    assert visible == {name for name in sentient_core.__all__ if not name.startswith("_")}
    names = sorted(set(sentient_core.__all__), key=lambda name: (not name.isupper(), name))
    assert list(sentient_core.__all__) == names  # constants first, as the linter sorts them


@pytest.mark.parametrize("name", [name for name in sentient_core.__all__ if not name.startswith("_")])
def test_a_public_name_is_documented(name: str) -> None:
    value = getattr(sentient_core, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        pytest.skip("an alias or a constant: documented where it is defined")

    text = inspect.getdoc(value) if inspect.isroutine(value) else value.__doc__

    assert text, f"{value.__module__}.{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{value.__module__}.{name} has only a generated docstring"


@pytest.mark.parametrize("name", MODULES)
def test_all_of_a_module_exists(name: str) -> None:
    module = importlib.import_module(name)

    exported: list[str] = list(getattr(module, "__all__", []))

    assert [export for export in exported if not hasattr(module, export)] == []
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("name", MODULES)
def test_all_of_a_module_is_complete(name: str) -> None:
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        pytest.skip("promises nothing")

    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    }

    assert own - set(module.__all__) == set(), "make it private, or list it"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert importlib.import_module(name).__doc__
