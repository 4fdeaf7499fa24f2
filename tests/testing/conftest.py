"""The tests of this folder run under virtual time, where they do not say otherwise."""

from __future__ import annotations

from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]
