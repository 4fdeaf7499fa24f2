"""The servers of the tests of the store. Databases are asked, so clocks are real if a module says nothing."""

from __future__ import annotations

from tests.store.conftest import open_server, own_server

__all__ = ["open_server", "own_server"]
