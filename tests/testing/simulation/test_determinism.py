"""What a run needs to be the same again: a process without another event loop."""

from __future__ import annotations

import pytest

from sentient_core.errors import WrongThread
from sentient_core.testing.simulation import generate, play, simulate


async def test_within_an_event_loop_it_is_refused() -> None:
    with pytest.raises(WrongThread, match="call it from a plain function"):
        simulate(range(1))
    with pytest.raises(WrongThread, match="call it from a plain function"):
        play(generate(1))
