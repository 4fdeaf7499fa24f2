"""The database server is killed, paused, slow, or loses answers, under load: nothing changes but the time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sentient_core.testing import Direction, Toxics
from tests.crash.proxy import proxy_to
from tests.crash.runs import IS_LONG, Run
from tests.store.server import Server

SCHEMES = ("ws", "http") if IS_LONG else ("ws",)
MESSAGES = 80 if IS_LONG else 40
"""Of each sender: the load lasts for longer than what happens to the server."""


def under_load(run: Run, disturb: Callable[[], None], calm: Callable[[], None] = lambda: None) -> None:
    """A life that is disturbed, ends in order, and has kept all of its word."""
    process = run.start(MESSAGES, call_timeout=1.0)
    assert process.stdout is not None
    assert process.stdout.readline() == b"load\n"
    disturb()
    run.finish(process)
    assert run.kills.total() == 0
    calm()
    run.check()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_is_killed_and_started_again(
    server: Server, scheme: str, backend: str, seed: int, tmp_path: Path
) -> None:
    dice = random.Random(seed)

    def disturb() -> None:
        for _ in range(3):
            time.sleep(dice.random() * 0.1)
            server.kill()
            server.start_again()

    under_load(Run(tmp_path / "run", server.url(scheme), backend, seed), disturb)


def test_a_server_that_is_paused_for_longer_than_calls_wait(
    server: Server, backend: str, seed: int, tmp_path: Path
) -> None:
    dice = random.Random(seed)

    def disturb() -> None:
        for pause in (0.2, 1.2):
            time.sleep(dice.random() * 0.1)
            server.pause()
            time.sleep(pause)
            server.resume()

    under_load(Run(tmp_path / "run", server.url(), backend, seed), disturb)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_whose_answers_are_lost_when_it_has_done_what_was_asked(
    server: Server, scheme: str, backend: str, seed: int, tmp_path: Path
) -> None:
    with proxy_to(server.port, seed) as proxy:

        def disturb() -> None:
            proxy.set(Toxics(reset=0.1), Direction.TO_CLIENT)

        under_load(Run(tmp_path / "run", proxy.url(scheme), backend, seed), disturb, proxy.heal)
        assert proxy.resets


def test_a_server_that_is_slow(server: Server, backend: str, seed: int, tmp_path: Path) -> None:
    with proxy_to(server.port) as proxy:

        def disturb() -> None:
            proxy.set(Toxics(latency=0.01))

        under_load(Run(tmp_path / "run", proxy.url("ws"), backend, seed), disturb)


def test_a_process_and_its_server_are_killed_in_turn(
    server: Server, backend: str, seed: int, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    run = Run(tmp_path / "run", server.url(), backend, seed)
    for _ in range(3):
        process = run.start(10_000, waits=True, call_timeout=1.0)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.random() * 0.2)
        first, second = dice.sample([server.kill, process.kill], 2)
        first()
        time.sleep(dice.random() * 0.05)
        second()
        run.finish(process)
        server.start_again()

    run.check()
    assert run.kills.total() == 3
