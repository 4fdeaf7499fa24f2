"""The store that somebody gets who names none, or only an address: what the settings say, and where that is.

Without `SURREALDB_URL` it is an embedded database in the user's data directory, deliberately not a server on
this machine: a program that was just installed works, and two programs do not meet in one database. There is
one directory per system's name, since an embedded database belongs to one process at a time.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sentient_core.config import Settings, StorageBackend
from sentient_core.errors import InvalidSetting
from sentient_core.store import MemoryStore, SurrealStore
from sentient_core.store.url import parse_url

__all__ = ["data_directory", "default_store", "default_url", "place_of_data", "store_at"]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")


def default_store(settings: Settings, system: str) -> SurrealStore | MemoryStore:
    """The store of a system that is given none. Nothing is opened, and nothing made on disk."""
    if settings.state_persistence_backend is StorageBackend.MEMORY:
        return MemoryStore()
    return store_at(default_url(settings, system), settings)


def default_url(settings: Settings, system: str) -> str:
    """`SURREALDB_URL`, or the address of the directory for this system's data. Raises InvalidSetting."""
    if settings.surrealdb_url is not None:
        return settings.surrealdb_url
    directory = str(data_directory(system))
    if "?" in directory:  # the rest would be options
        raise InvalidSetting(
            "SURREALDB_URL", f"is missing, and there can be no database in {directory!r}: its path has a '?'"
        )
    return f"surrealkv://{directory}"


def data_directory(system: str) -> Path:
    """Where the user's data directory (`XDG_DATA_HOME`) has a place for a system's embedded database."""
    # Here, so that only those who name no store pay for importing it.
    from platformdirs import user_data_path  # noqa: PLC0415

    name = system
    if not _PLAIN.match(system):  # it may hold what no name of a directory can, or be `..`
        digest = hashlib.sha256(system.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{re.sub('[^A-Za-z0-9_-]+', '_', system)[:48]}-{digest}"
    return user_data_path("sentient-core", appauthor=False) / name


def place_of_data(url: str) -> str:
    """Where the data at the address of a default store are, for people."""
    address = None if url == MemoryStore.url else parse_url(url)
    if address is None or address.is_in_memory:
        return "memory, gone with this process"
    return url if address.path is None else str(address.path)


def store_at(url: str, settings: Settings) -> SurrealStore:
    """The database at an address, with all else as the settings say. Raises InvalidStoreUrl.

    Name and password are for servers; an embedded database, which has no users, is opened without.
    """
    is_server = parse_url(url).endpoint is not None
    username = settings.surrealdb_username if is_server else None
    password = settings.surrealdb_password if is_server else None
    return SurrealStore(
        url,
        namespace=settings.surrealdb_namespace,
        database=settings.surrealdb_database,
        username=username.reveal() if username else None,
        password=password.reveal() if password else None,
        pool=settings.surrealdb_connection_pool_size,
        log_level=settings.log_level,
    )
