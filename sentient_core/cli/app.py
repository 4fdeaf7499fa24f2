"""`--app module[:attribute]`: the actor classes of the user's code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from sentient_core.actors import Actor
from sentient_core.causes import in_a_line
from sentient_core.cli.failing import CannotRun

__all__ = ["actor_classes", "of_app"]

F = TypeVar("F", bound=Callable[..., object])


def of_app(verb: F) -> F:
    """`--app MODULE[:ATTRIBUTE]`, any number of times."""
    return click.option(
        "--app",
        "apps",
        metavar="MODULE[:ATTRIBUTE]",
        multiple=True,
        required=True,
        help="Your code, as Python imports it from this directory: all actor classes that there are then, or "
        "the class, or collection of classes, that the attribute is. Can be given several times.",
    )(verb)


def actor_classes(apps: Sequence[str]) -> frozenset[type[Actor]]:
    """The classes that `--app` names, after an import of their modules. Raises CannotRun.

    What the code prints goes to stderr.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: set[type[Actor]] = set()
    with redirect_stdout(sys.stderr):
        for app in apps:
            found |= _of_one(app)
    return frozenset(found)


def _of_one(app: str) -> set[type[Actor]]:
    name, colon, attribute = app.partition(":")
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise CannotRun(f"--app {app}: the module '{name}' cannot be imported: {in_a_line(error)}") from error
    if not colon:
        classes = {cls for cls in _subclasses(Actor) if not cls.__module__.startswith("sentient_core.")}
        if not classes:
            raise CannotRun(f"--app {app}: there is no actor class once '{name}' is imported")
        return classes
    try:
        value = reduce(getattr, attribute.split("."), cast("Any", module))
    except AttributeError as error:
        raise CannotRun(f"--app {app}: {error}") from error
    many: list[Any] = list(value) if hasattr(value, "__iter__") else []
    members = [value] if isinstance(value, type) else many
    if not members or not all(map(_is_actor_class, members)):
        raise CannotRun(f"--app {app}: it is {value!r}, not an actor class or a collection of them")
    return set(members)


def _subclasses(cls: type[Actor]) -> Iterator[type[Actor]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _is_actor_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Actor)
