"""Where a store is, as the command's options and the environment say it."""

from __future__ import annotations

import os

import msgspec

from sentient_core.cli.failing import CannotRun
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
    username: str | None

    @property
    def name(self) -> str:
        """For people: the address, and of a server the database."""
        if self.address.endpoint is None:
            return str(self.address.path)
        return f"{self.address.url} ({self.namespace}/{self.database})"

    def access(self, *, is_reader: bool) -> Access:
        """What it takes to come to a server. Raises CannotRun, InvalidArgument."""
        password = os.environ.get(PASSWORD)
        if self.username is not None and password is None:
            raise CannotRun(f"the password of '{self.username}' is missing: set {PASSWORD}")
        if self.username is None and password is not None:
            raise CannotRun(f"{PASSWORD} is set, and no user: give --username, or set SURREALDB_USERNAME")
        return Access(
            namespace=self.namespace,
            database=self.database,
            username=self.username,
            password=password,
            pool=1,
            call_timeout=_CALL_TIMEOUT,
            is_reader=is_reader,
        )


def place_of(url: str, namespace: str, database: str, username: str | None) -> Place:
    """The place that options name. Raises InvalidStoreUrl, and CannotRun for a store in memory."""
    address = parse_url(url)
    if address.is_in_memory:
        raise CannotRun("a store in memory ends with its process: there is nothing to look at")
    return Place(address, namespace, database, username)
