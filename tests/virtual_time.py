"""Both event loops under the virtual clock of `sentient_core.testing`, for a module or a folder of tests."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core.testing import VirtualLoop, virtual_backend

__all__ = ["VirtualLoop", "anyio_backend"]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Asyncio and trio under virtual time. Import it into a conftest.py or a module of tests."""
    name: str = request.param
    return virtual_backend(name)
