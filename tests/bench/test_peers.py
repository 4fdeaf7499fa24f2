"""What is compared with others: the processes of peers, and the oracle over several of their lives.

No peer has to be installed: the protocol is tried with a small fake.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from sentient_core.bench.findings import Findings
from sentient_core.bench.peers.child import Jobs, Plan
from sentient_core.bench.peers.process import (
    PROGRAMS,
    Crashed,
    Life,
    Peer,
    PeerFailed,
    crash_often,
    installed,
    work,
)

FAKE = """
import os, time
from pathlib import Path

def run(child):
    plan = child.plan
    print("not a line of the protocol")
    path = Path(plan.folder) / "recorded"
    is_first = not path.exists()
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)
    if plan.variant == "breaks":
        raise ValueError("out of order")

    def deposit(number):
        if plan.variant == "stalls" and number == 3 and not is_first:
            child.executed(number)  # once more: the first life has done it, and not said so
            return
        child.executed(number)
        if not (plan.variant == "forgets" and number == 3):
            os.write(file, b"%d " % number)
        if plan.variant == "doubles" and number == 3:
            os.write(file, b"%d " % number)
        if plan.variant == "stalls" and number == 3:
            time.sleep(60)
        time.sleep(0.001)

    child.with_threads(deposit)
    numbers = [int(number) for number in path.read_bytes().split()]
    return numbers if plan.variant == "doubles" else list(dict.fromkeys(numbers))
"""


def crash(tmp_path: Path, variant: str = "", *, kills: int = 2, backend: str = "asyncio") -> Crashed:
    module, folder = tmp_path / "fake_peer.py", tmp_path / "database"
    module.write_text(FAKE, "utf-8")
    folder.mkdir()
    peer = Peer(name="Fake", package="fake", module=module, variant=variant)
    run = partial(crash_often, peer, folder, [0.03] * kills, backend="asyncio", progress=lambda: None)
    return anyio.run(run, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_peer_is_killed_and_goes_on_where_it_was(tmp_path: Path, backend: str) -> None:
    crashed = crash(tmp_path, backend=backend)

    assert crashed.verdict.acknowledged >= 16
    assert (crashed.verdict.lost, crashed.verdict.doubled) == (0, 0)
    assert crashed.executed >= crashed.verdict.acknowledged
    assert len(crashed.rates) == len(crashed.firsts) == 2
    assert all(ready <= first for ready, first in zip(crashed.ready, crashed.firsts, strict=True))


def test_what_was_acknowledged_and_is_not_recorded_is_lost(tmp_path: Path) -> None:
    assert crash(tmp_path, "forgets", kills=1).verdict.lost == 1


def test_what_is_recorded_twice_is_doubled(tmp_path: Path) -> None:
    assert crash(tmp_path, "doubles", kills=1).verdict.doubled >= 1


def test_a_client_without_an_acknowledgement_sends_the_same_number_again(tmp_path: Path) -> None:
    crashed = crash(tmp_path, "stalls", kills=1)

    assert crashed.again >= 1
    assert (crashed.verdict.lost, crashed.verdict.doubled) == (0, 0)


def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match=r"fake_peer ended with 1: ValueError: out of order") as caught:
        crash(tmp_path, "breaks")

    assert "Traceback" in caught.value.__notes__[0]


def test_one_that_is_not_installed_is_left_out_and_that_is_said() -> None:
    there = Peer(name="anyio", package="anyio", module=PROGRAMS / "any.py", way="as it is")
    absent = Peer(name="Nobody", package="nobody-has-this", module=PROGRAMS / "any.py")
    findings = Findings()

    assert installed([there, absent, absent], findings) == [there]
    assert findings.notes == [
        "nobody-has-this is left out, since it is not installed: pip install 'sentient-core[peers]'"
    ]
    assert there.title == f"anyio {there.version}, as it is"


def test_the_process_of_a_peer_imports_nothing_of_ours_before_its_library(tmp_path: Path) -> None:
    module = tmp_path / "curious.py"
    module.write_text("import sys\nrun = lambda child: 'sentient_core' in sys.modules\n", "utf-8")

    assert anyio.run(work, Plan(module=str(module))).found is False


def test_jobs_raise_in_the_midst_of_each_batch_and_time_what_comes_next() -> None:
    jobs = Jobs(Plan(module="", failures=2, one_of=4))

    raised: list[int] = []
    for batch in jobs.batches():
        for number in batch:
            try:
                jobs.handle(number)
            except ValueError:
                raised.append(number)

    assert raised == [2, 6]
    result = jobs.result()
    assert result["handled"] == [0, 1, 3, 4, 5, 7]
    assert len(result["gaps"]) == 2


def test_of_ours_nothing_is_lost_or_doubled_by_a_kill(tmp_path: Path) -> None:
    ours = Peer(name="sentient-core", package="sentient-core", module=PROGRAMS / "sentient_deposits.py")
    run = partial(crash_often, ours, tmp_path, [0.1], backend="asyncio", progress=lambda: None)

    verdict = anyio.run(run).verdict

    assert verdict.acknowledged >= 16
    assert (verdict.lost, verdict.doubled) == (0, 0)


def test_of_ours_only_the_message_in_hand_is_lost_when_a_handler_raises() -> None:
    plan = Plan(module=str(PROGRAMS / "sentient_raising.py"), failures=3, one_of=4, backend="trio")

    life: Life = anyio.run(work, plan)

    assert life.found["handled"] == [0, 1, 3, 4, 5, 7, 8, 9, 11]
    assert len(life.found["gaps"]) == 3
