"""A database server for the integration tests, which share its one database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.store.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on disk."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server
