"""Where a store is, as the command's options and the settings say it."""

from __future__ import annotations

import msgspec

from sentient_core.cli.failing import CannotRun
from sentient_core.config import DEFAULT_SYSTEM, Settings
from sentient_core.logs import LogLevel
from sentient_core.own_store import data_directory
from sentient_core.secret import Secret
from sentient_core.store.access import Access
from sentient_core.store.url import Address, parse_url

__all__ = ["PASSWORD", "Place", "place_of"]

PASSWORD = "SURREALDB_PASSWORD"  # noqa: S105 - the name of where it is
"""The variable that a password is taken from. No option: the arguments of a process are seen by others."""

_CALL_TIMEOUT = 600.0  # counting or deleting in a large table is one call


class Place(msgspec.Struct, frozen=True):
    """A store's address, and the database that is meant there."""

    address: Address
    namespace: str
    database: str
    username: Secret | None
    password: Secret | None

    @property
    def name(self) -> str:
        """For people: the address, and of a server the database."""
        if self.address.endpoint is None:
            return str(self.address.path)
        return f"{self.address.url} ({self.namespace}/{self.database})"

    def access(self, *, is_reader: bool) -> Access:
        """What it takes to come to a server. Raises InvalidArgument."""
        return Access(
            namespace=self.namespace,
            database=self.database,
            username=self.username.reveal() if self.username else None,
            password=self.password.reveal() if self.password else None,
            pool=1,
            call_timeout=_CALL_TIMEOUT,
            is_reader=is_reader,
        )


def place_of(
    url: str | None, namespace: str | None = None, database: str | None = None, username: str | None = None
) -> Place:
    """The place that options name; what they leave out is as the settings say (environment, `.env`).

    Raises InvalidStoreUrl, InvalidSetting, and CannotRun where nothing says where the store is, and for one
    in memory.
    """
    if url is not None:
        parse_url(url)  # its error is about the option, not about a variable
    settings = Settings.load(
        surrealdb_url=url,
        surrealdb_namespace=namespace,
        surrealdb_database=database,
        surrealdb_username=username,
        log_level=LogLevel.ERROR,  # the output is the command's
    )
    if settings.surrealdb_url is None:
        below = data_directory(DEFAULT_SYSTEM).parent
        raise CannotRun(
            "say where the store is, by --store URL, SENTIENT_STORE or SURREALDB_URL. A system that is given "
            f"none has it at surrealkv://{below}/ and its name"
        )
    address = parse_url(settings.surrealdb_url)
    if address.is_in_memory:
        raise CannotRun("a store in memory ends with its process: there is nothing to look at")
    return Place(
        address,
        settings.surrealdb_namespace,
        settings.surrealdb_database,
        settings.surrealdb_username,
        settings.surrealdb_password,
    )
