"""A system is started a second time: the newer start owns it, the older one is refused and stops."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from subprocess import Popen

import pytest

from sentient_core.testing import Direction, Toxics
from sentient_core.until_signal import ExitCode
from tests.crash.oracle import read_claims
from tests.crash.proxy import proxy_to
from tests.crash.runs import IS_LONG, Run
from tests.store.server import Server


def under_load(process: Popen[bytes]) -> Popen[bytes]:
    """Wait until a life has got to its load."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"load\n"
    return process


def test_the_older_start_under_load_is_refused_and_ends_with_the_code_that_says_so(
    server: Server, backend: str, seed: int, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", server.url(), backend, seed)
    first = under_load(run.start(10_000, is_service=True))

    newer = run.live()

    run.finish(first, ExitCode.FENCED)
    assert newer is not None
    run.check()


IN_FLIGHT = {
    "a commit": b"CREATE ONLY $id SET body",
    "event rows": b"INSERT IGNORE INTO agent_event",
    "a settlement": b"LET $moved",
}


@pytest.mark.parametrize("kind", IN_FLIGHT if IS_LONG else ["a commit"])
def test_what_a_paused_process_had_under_way_changes_nothing_any_more(
    kind: str, server: Server, backend: str, seed: int, tmp_path: Path
) -> None:
    with proxy_to(server.port) as proxy:
        run = Run(tmp_path / "run", server.url("http"), backend, seed)
        first = under_load(run.start(10_000, is_service=True, url=proxy.url("http")))
        proxy.set(Toxics(black_hole_at=IN_FLIGHT[kind]), Direction.TO_SERVER)
        proxy.held()
        first.send_signal(signal.SIGSTOP)
        newer = run.live()
        proxy.heal()
        run.check()

        first.send_signal(signal.SIGCONT)

        run.finish(first, ExitCode.FENCED)
    assert newer is not None
    run.check()


def test_a_store_in_a_directory_is_refused_to_a_second_process(
    backend: str, seed: int, tmp_path: Path
) -> None:
    claims = tmp_path / "run" / "claims"
    run = Run(tmp_path / "run", f"surrealkv://{tmp_path}/db", backend, seed)
    first = under_load(run.start(10_000, waits=True))

    run.finish(run.start(), 1)

    before = len(read_claims(claims))
    end = time.monotonic() + 30
    while len(read_claims(claims)) < before + 10:  # the first one goes on
        assert time.monotonic() < end
        time.sleep(0.01)
    first.kill()
    run.finish(first)
    errors = [str(claim.detail) for claim in read_claims(claims) if claim.what == "error"]
    assert len(errors) == 1
    assert "StoreInUse" in errors[0]
    run.check()
