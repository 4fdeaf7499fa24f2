"""Async tests of this folder run under virtual time; rows run on loops of their own, in real time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.fixture(autouse=True)
def _structlog_as_before() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    yield
    structlog.reset_defaults()
