"""The tests of this folder run under virtual time, and every system of theirs is audited when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sentient_core import ActorSystem
from sentient_core.actors.counting import Counts
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.fixture(autouse=True)
def _audited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Of mirrored actors, nothing that was sent is missing or settled twice, whatever the test has done."""
    ended: list[Counts] = []
    leave = ActorSystem.__aexit__

    async def leave_audited(self: ActorSystem, *error: Any) -> bool | None:
        parts = self._parts  # pyright: ignore[reportPrivateUsage] - no test keeps them
        if parts is not None:
            ended.append(parts.runtime.counts)
        return await leave(self, *error)

    monkeypatch.setattr(ActorSystem, "__aexit__", leave_audited)
    yield
    for counts in ended:
        for audit in counts.of_ended():
            assert audit.is_balanced, audit
