"""What all verbs have in common: `--store`, `--json`, how they run and how they fail."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
import click

from sentient_core.errors import SentientError

__all__ = ["CannotRun", "as_json", "at_store", "moment", "of_system", "runs"]

F = TypeVar("F", bound=Callable[..., object])


class CannotRun(click.ClickException):
    """The verb could not do its work."""

    exit_code = 2


def moment(text: str) -> datetime:
    """A time such as `2026-11-21T08:00`; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2026-11-21 or 2026-11-21T08:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def at_store(verb: F) -> F:
    """`--store URL`."""
    return click.option(
        "--store",
        "url",
        metavar="URL",
        required=True,
        envvar="SENTIENT_STORE",
        help="Address of the store, as the system is given it: surrealkv://my.db. [env: SENTIENT_STORE]",
    )(verb)


def as_json(verb: F) -> F:
    """`--json`."""
    return click.option("--json", "is_json", is_flag=True, help="One JSON document on stdout.")(verb)


def of_system(verb: F) -> F:
    """`--system NAME`."""
    return click.option(
        "--system", metavar="NAME", help="Name of the actor system; needed if there are several."
    )(verb)


def runs(verb: Callable[..., Coroutine[Any, Any, int]]) -> Callable[..., None]:
    """Run an async verb, which returns its exit code; what is expected to go wrong is said in a line."""

    @functools.wraps(verb)
    def run(**options: object) -> None:
        try:
            code = anyio.run(functools.partial(verb, **options))
        except (SentientError, OSError) as error:
            raise CannotRun(str(error)) from error
        raise SystemExit(code)

    return run
