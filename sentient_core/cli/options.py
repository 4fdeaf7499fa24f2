"""What all verbs have in common: where the store is, `--json`, how they run and how they fail."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
import click

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.place import PASSWORD, place_of
from sentient_core.errors import SentientError, StoreAccessDenied, StoreTlsFailed
from sentient_core.store.engine import DATABASE, NAMESPACE

__all__ = ["as_json", "at_store", "moment", "of_system", "runs"]

F = TypeVar("F", bound=Callable[..., object])


def moment(text: str) -> datetime:
    """A time such as `2026-11-21T08:00`; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2026-11-21 or 2026-11-21T08:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_STORE = (
    click.option(
        "--store",
        "url",
        metavar="URL",
        envvar="SENTIENT_STORE",
        help="Address of the store, as the system is given it: surrealkv://my.db, wss://db.example:8000. "
        "[env: SENTIENT_STORE, SURREALDB_URL]",
    ),
    click.option(
        "--username",
        metavar="NAME",
        help=f"Who signs in to a server, with the password in {PASSWORD}. [env: SURREALDB_USERNAME]",
    ),
    click.option(
        "--namespace",
        metavar="NAME",
        help=f"[default: {NAMESPACE}; env: SURREALDB_NAMESPACE]",
    ),
    click.option(
        "--database",
        metavar="NAME",
        help=f"[default: {DATABASE}; env: SURREALDB_DATABASE]",
    ),
)


def at_store(verb: F) -> F:
    """`--store URL` and what else says where the store is: the verb gets it as `place`.

    What is not given is as the settings say: environment, a file `.env`, defaults.
    """
    for option in reversed(_STORE):
        verb = option(verb)
    return verb


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
    def run(
        url: str | None,
        username: str | None,
        namespace: str | None,
        database: str | None,
        **options: object,
    ) -> None:
        try:
            place = place_of(url, namespace, database, username)
            code = anyio.run(functools.partial(verb, place=place, **options))
        except StoreAccessDenied as error:
            raise CannotRun(f"{error} Here: --username, {PASSWORD}, --namespace, --database.") from error
        except StoreTlsFailed as error:
            raise CannotRun(f"{error} Here: SSL_CERT_FILE names a file of certificates to trust.") from error
        except (SentientError, OSError) as error:
            raise CannotRun(str(error)) from error
        raise SystemExit(code)

    return run
