"""Addresses of stores: what they mean, and which are refused with a hint instead of a surprise.

The engine takes an unknown `sync=` for the default, opens `file://`, and would take a relative path
for one of its own; so everything is checked here and the engine gets a normalised address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from sentient_core.errors import InvalidStoreUrl, StorePathUnusable

__all__ = ["Address", "parse_url"]

_DURATION = re.compile(r"[1-9][0-9]{0,8}(ms|s|m|h)\Z")
_SERVERS = ("ws", "wss", "http", "https")
_LAYOUT = {"LOCK", "manifest", "sstables", "vlog", "wal"}


class Address(msgspec.Struct, frozen=True):
    """Where a database is: in a directory, in memory, or behind a server."""

    url: str
    """As it was given; no address holds credentials."""
    path: Path | None = None
    """Its directory, absolute; None for one in memory and for a server's."""
    sync: str = "every"
    """When a commit is forced to disk: `every` commit, `never`, or once in a duration like `1s`."""
    endpoint: str | None = None
    """Where a server takes requests, such as `ws://127.0.0.1:8000/rpc`; None for an embedded database."""

    @property
    def is_in_memory(self) -> bool:
        """The database lives in this process and ends with it."""
        return self.path is None and self.endpoint is None

    @property
    def is_http(self) -> bool:
        """The server is asked by requests that are each for themselves."""
        return self.endpoint is not None and self.endpoint.startswith("http")

    @property
    def engine_url(self) -> str:
        """What the database's client is given."""
        if self.endpoint is not None:
            return self.endpoint
        if self.path is None:
            return "mem://"
        return f"surrealkv://{self.path}" + ("" if self.sync == "every" else f"?sync={self.sync}")

    def has_log(self) -> bool:
        """Something is left in its log: whoever had it open last has not closed it. Blocks on the disk."""
        log = None if self.path is None else self.path / "wal"
        return log is not None and log.is_dir() and any(log.iterdir())

    def prepare(self) -> None:
        """Make the directory. Blocks on the disk. StorePathUnusable if it cannot be one of a database."""
        if self.path is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            found = {item.name for item in self.path.iterdir()}
        except OSError as error:
            why = (
                "there is a file in the way"
                if isinstance(error, FileExistsError | NotADirectoryError)
                else (error.strerror or str(error))
            )
            raise StorePathUnusable(str(self.path), why) from error
        if found and not found & _LAYOUT:
            raise StorePathUnusable(str(self.path), "the directory holds something else already")
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StorePathUnusable(str(self.path), "no permission to write there")


def parse_url(url: str) -> Address:
    """The address in `url`: `mem://`, `surrealkv://` and a path, or a server's.

    A relative path counts from the working directory of now. `?sync=every|never|<duration>` is the
    only option. A server is `ws`, `wss`, `http` or `https` `://host:port`, with or without `/rpc` at its
    end, and no credentials in it. Raises InvalidStoreUrl for everything else.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidStoreUrl(_without_credentials(url), "it has no scheme")
    if scheme in _SERVERS:
        return _server(url, scheme)
    if scheme == "file":
        raise InvalidStoreUrl(
            _without_credentials(url),
            "this release's engine has no file:// store; write surrealkv:// instead",
        )
    if scheme == "mem":
        if rest:
            raise InvalidStoreUrl(
                _without_credentials(url), "a store in memory takes neither path nor options"
            )
        return Address(url)
    if scheme != "surrealkv":
        raise InvalidStoreUrl(_without_credentials(url), f"unknown scheme '{scheme}'")

    path, has_query, query = rest.partition("?")
    if not path.strip("/"):
        raise InvalidStoreUrl(url, "the path of the database's directory is missing")
    if "\0" in path:
        raise InvalidStoreUrl(url, "a path cannot contain a null character")
    if path.startswith("~"):
        raise InvalidStoreUrl(url, f"'~' is not expanded here: write {str(Path(path).expanduser())!r}")
    return Address(url, Path(path).absolute(), _sync(url, query) if has_query else "every")


def _sync(url: str, query: str) -> str:
    key, _, value = query.partition("=")
    if key != "sync":
        raise InvalidStoreUrl(url, f"unknown option '{key}', only 'sync' is known")
    if value not in ("every", "never") and not _DURATION.match(value):
        raise InvalidStoreUrl(url, f"sync={value} is neither 'every', 'never' nor a duration like '1s'")
    return value


def _server(url: str, scheme: str) -> Address:
    shown = _without_credentials(url)
    if shown != url:
        raise InvalidStoreUrl(
            shown,
            "an address is logged and shown, so it holds no credentials: set SURREALDB_USERNAME and "
            "SURREALDB_PASSWORD, or give them as SurrealStore(url, username=..., password=...)",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidStoreUrl(shown, f"it cannot be read ({error})") from None
    if not host or any(character.isspace() for character in url):
        raise InvalidStoreUrl(shown, "the name of the server is missing or has blanks in it")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise InvalidStoreUrl(
            shown.partition("?")[0].partition("#")[0],
            "the address of a server has no options: namespace and database are arguments of SurrealStore",
        )
    path = parts.path.rstrip("/")
    if not path:
        path = "/rpc"
    if not path.endswith("/rpc"):
        raise InvalidStoreUrl(shown, f"requests go to a path that ends in /rpc, not to '{parts.path}'")
    host = f"[{host}]" if ":" in host else host
    return Address(url, endpoint=f"{scheme}://{host}{'' if port is None else f':{port}'}{path}")


def _without_credentials(url: str) -> str:
    """The address without all that could be a name or a password: whatever stands before an `@`."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    return scheme + separator + rest.rpartition("@")[2]
