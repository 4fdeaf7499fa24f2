"""Addresses of stores: what they mean, and which are refused with a hint instead of a surprise.

The engine takes an unknown `sync=` for the default, opens `file://`, and would take a relative path
for one of its own; so everything is checked here and the engine gets a normalised address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from sentient_core.errors import InvalidStoreUrl, StorePathUnusable

__all__ = ["Address", "parse_url"]

_DURATION = re.compile(r"[1-9][0-9]{0,8}(ms|s|m|h)\Z")
_SERVERS = ("ws", "wss", "http", "https")
_LAYOUT = {"LOCK", "manifest", "sstables", "vlog", "wal"}


class Address(msgspec.Struct, frozen=True):
    """Where an embedded database is."""

    url: str
    """As it was given; embedded addresses hold no credentials."""
    path: Path | None = None
    """Its directory, absolute; None for one in memory."""
    sync: str = "every"
    """When a commit is forced to disk: `every` commit, `never`, or once in a duration like `1s`."""

    @property
    def engine_url(self) -> str:
        """What the engine is given."""
        if self.path is None:
            return "mem://"
        return f"surrealkv://{self.path}" + ("" if self.sync == "every" else f"?sync={self.sync}")

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
    """The address in `url`: `mem://`, or `surrealkv://` and a relative or absolute path.

    A relative path counts from the working directory of now. `?sync=every|never|<duration>` is the
    only option. Raises InvalidStoreUrl for everything else.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidStoreUrl(url, "it has no scheme")
    if scheme in _SERVERS:
        raise InvalidStoreUrl(
            _without_credentials(url), "SurrealDB servers are not supported in this release, they come later"
        )
    if scheme == "file":
        raise InvalidStoreUrl(url, "this release's engine has no file:// store; write surrealkv:// instead")
    if scheme == "mem":
        if rest:
            raise InvalidStoreUrl(url, "a store in memory takes neither path nor options")
        return Address(url)
    if scheme != "surrealkv":
        raise InvalidStoreUrl(url, f"unknown scheme '{scheme}'")

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


def _without_credentials(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)
