"""What all tests share: the two event loops, checks that nothing blocks one and that no thread stays."""

from __future__ import annotations

import gc
import os
import re
import shutil
import threading
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from blockbuster import blockbuster_ctx

from sentient_core.config import Settings
from tests.long import IS_LONG, loop_of

BACKENDS: dict[str, dict[str, Any]] = {"asyncio": {}, "trio": {}}
"""The event loops by name, with their options."""

ONCE = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""For what happens on the store's own thread alone, or in another process, whatever the test runs on."""


KINDS = ("database", "store", "place", "url")
"""Parameters that say which kind of store it is."""
IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes. All databases of a run together have had 1.5 GB."""


def pytest_configure(config: pytest.Config) -> None:
    """Have the same examples in every run, and temporary folders in memory where there is room.

    Not so in a long run, nor with `--hypothesis-seed`: what a change has to pass is no matter of luck. How
    long an example takes is the machine's business; what draws slowly there says nothing either.

    Most of the time of a test with a database went to waiting for the disk. It is no promise of ours that a
    disk keeps what it has taken, and a process that is killed loses nothing that it wrote to memory either.
    """
    is_drawn_anew = IS_LONG or config.getoption("hypothesis_seed", None) is not None
    hypothesis.settings.register_profile(
        "tests",
        deadline=None,
        derandomize=not is_drawn_anew,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("tests")
    if not IS_LONG and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


def pytest_collection_finish() -> None:
    """Thousands of tests are not looked at by the collector whenever one of them collects garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", params=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop and its options: every `async def test_…` runs on asyncio and on trio."""
    name: str = request.param
    return name, BACKENDS[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests over several kinds of store (KINDS) ask each database from one event loop."""
    ids = {item.nodeid for item in items}
    twins = {item.nodeid for item in items if _has_twin(item, ids)}
    if twins:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in twins])
        items[:] = [item for item in items if item.nodeid not in twins]


def _has_twin(item: pytest.Item, ids: Container[str]) -> bool:
    given: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    kind = next((str(given[name]) for name in KINDS if name in given), "")
    loop = str(given.get("anyio_backend"))
    other = loop_of(kind, loop)
    return other != loop and re.sub(rf"\b{loop}\b", other, item.nodeid) in ids


@pytest.fixture
def anyio_backend_name(anyio_backend: tuple[str, dict[str, Any]]) -> str:
    """`asyncio` or `trio`."""
    return anyio_backend[0]


@pytest.fixture(autouse=True, scope="session")
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the developer's environment says of databases counts for no test; nor is his data touched."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.__struct_fields__:
            patch.delenv(name.upper(), raising=False)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_pause_behind_closing() -> Iterator[None]:
    """The pause of the store when it has closed an embedded database, 50 ms, is for processes that end then.

    This one goes on; the tests of processes that do have the pause, since it is made in these.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentient_core.store.engine._CLOSE_SECONDS", 0.0)
        yield


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Fail a test that leaves a thread of ours behind: of a store not closed, of a system not ended.

    What a fixture of a wider scope opens stays, if it opens before the test begins.
    """
    before = threading.enumerate()
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread.name for thread in left if thread.name.startswith("sentient-core")] == []


@pytest.fixture
def fail_on_blocking_call() -> Iterator[None]:
    """Fail a call of `sentient_core` that would block the event loop (on asyncio: nothing watches trio).

    Asked for by the tests that are about it, not by all: the store's own thread runs an event loop
    as well, and may block it.
    """
    with blockbuster_ctx("sentient_core"):
        yield
