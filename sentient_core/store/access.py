"""Who comes to a database server, to which database of it, and how many connections he may have."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from sentient_core.errors import InvalidArgument

__all__ = ["Access"]

_LEAST_REQUEST = 2 * 1024 * 1024


class Access:
    """What it takes to work with a server's database. Shows its user's name and password to nobody."""

    __slots__ = (
        "_password",
        "_username",
        "call_timeout",
        "database",
        "is_reader",
        "largest_request",
        "namespace",
        "pool",
        "tls",
    )

    def __init__(
        self,
        *,
        namespace: str,
        database: str,
        username: str | None = None,
        password: str | None = None,
        pool: int = 10,
        call_timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        is_reader: bool = False,
        largest_request: int = 128 * 1024 * 1024,
    ) -> None:
        """InvalidArgument for what could never work."""
        for what, name in (("namespace", namespace), ("database", database)):
            if not name or not name.isprintable() or not name.isascii():  # it goes into HTTP's headers
                raise InvalidArgument(f"{what} is {name!r}; it must be a name of printable ASCII characters")
        if (username is None) != (password is None):
            raise InvalidArgument("username and password go together: give both of them, or neither")
        if pool < 1:
            raise InvalidArgument(f"pool is {pool!r}; it must be 1 or more connections")
        if not call_timeout > 0:
            raise InvalidArgument(f"call_timeout is {call_timeout!r}; it must be a number of seconds above 0")
        if largest_request < _LEAST_REQUEST:
            raise InvalidArgument(
                f"largest_request is {largest_request!r}; with less than {_LEAST_REQUEST} bytes nothing works"
            )
        self.namespace: str = namespace
        self.database: str = database
        self.pool: int = pool
        """Most connections at once."""
        self.call_timeout: float = call_timeout
        self.tls: ssl.SSLContext | None = tls
        """How to check the server's certificate; None for the authorities this machine trusts."""
        self.is_reader: bool = is_reader
        """Nothing is made for who comes: neither a namespace nor a database that is not there."""
        self.largest_request: int = largest_request
        """Bytes of the largest request that the server takes."""
        self._username = username
        self._password = password

    def __repr__(self) -> str:
        return f"Access(namespace={self.namespace!r}, database={self.database!r}, pool={self.pool})"

    @property
    def is_anonymous(self) -> bool:
        """There is nothing to sign in with."""
        return self._username is None

    def sign_ins(self) -> list[Mapping[str, str]]:
        """What to sign in with, to be tried in order: a user belongs to the server, or to less of it."""
        if self._username is None or self._password is None:
            return []
        root = {"user": self._username, "pass": self._password}
        in_namespace = root | {"NS": self.namespace}
        return [root, in_namespace, in_namespace | {"DB": self.database}]
