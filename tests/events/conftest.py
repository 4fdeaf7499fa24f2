"""The tests of this folder run under virtual time, but for those that ask databases."""

from __future__ import annotations

from tests.store.conftest import open_server, own_server
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend", "open_server", "own_server"]
