"""Other libraries run in processes of their own, and none of them can end the run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from benchmarks.peer_process import Peer, Peers

# The name is that of a distribution which is installed wherever the tests run.
FAKE = Peer(name="pytest", module="tests.benchmarks.fake_peer", most_actors=50)


@pytest.fixture
def peers() -> Iterator[Peers]:
    with Peers((FAKE,)) as peers:
        yield peers


def test_a_peer_says_its_rate(peers: Peers) -> None:
    leg = peers.legs("tell", 5_000, is_quick=True)["pytest"]

    assert leg.run() == leg.count * 100
    assert peers.skipped == {}


def test_a_fast_peer_gets_more_to_do_and_never_more_than_the_workload_has(peers: Peers) -> None:
    quick = peers.legs("tell", 50_000, is_quick=True)["pytest"]
    full = peers.legs("tell", 50_000, is_quick=False)["pytest"]
    small = peers.legs("tell", 500, is_quick=False)["pytest"]

    assert (quick.count, full.count, small.count) == (1_000, 20_000, 500)


def test_a_crowd_is_no_greater_than_the_peer_bears(peers: Peers) -> None:
    assert peers.legs("spawn", 10_000, is_sized=True, is_quick=False)["pytest"].count == 50
    assert peers.legs("spawn", 20, is_sized=True, is_quick=False)["pytest"].count == 20


def test_a_workload_that_a_peer_has_not_got_has_no_leg(peers: Peers) -> None:
    assert peers.legs("restart-1", 1_000, is_quick=True) == {}
    assert peers.skipped == {}


def test_a_workload_that_fails_is_left_out_and_the_next_one_runs(peers: Peers) -> None:
    failed = peers.legs("ask", 1_000, is_quick=True)
    legs = peers.legs("tell", 1_000, is_quick=True)

    assert failed == {}
    assert peers.skipped == {"pytest, ask": "LookupError: no such luck"}
    assert legs["pytest"].run() == 100_000


def test_a_peer_whose_process_ends_is_left_out_of_that_workload_alone(peers: Peers) -> None:
    failed = peers.legs("ring", 1_000, is_quick=True)

    assert failed == {}
    assert peers.skipped == {"pytest, ring": "its process has ended"}
    assert "pytest" in peers.legs("tell", 1_000, is_quick=True)


def test_a_failure_in_a_later_round_is_no_number(peers: Peers) -> None:
    leg = peers.legs("ring", 50, is_sized=True, is_quick=True)["pytest"]

    assert math.isnan(leg.run())


def test_once_is_a_process_of_its_own(peers: Peers) -> None:
    before = peers.legs("spawn", 1, is_sized=True, is_quick=True)["pytest"].run()

    count, found = peers.once("spawn")["pytest"]

    assert count == 50
    assert found != before


def test_a_peer_that_is_not_installed_is_skipped_with_the_reason() -> None:
    with Peers((Peer(name="no-such-distribution", module="none"),)) as peers:
        assert peers.legs("tell", 1_000, is_quick=True) == {}

    assert peers.skipped == {
        "no-such-distribution": "not installed (pip install 'sentient-core[peers]')",
    }


def test_a_peer_for_a_newer_python_is_skipped_with_the_reason() -> None:
    with Peers((Peer(name="pytest", module="none", python=(4, 7)),)) as peers:
        assert peers.legs("tell", 1_000, is_quick=True) == {}

    assert peers.skipped == {"pytest": "needs Python 4.7 or newer"}


def test_a_peer_that_cannot_be_imported_is_skipped() -> None:
    with Peers((Peer(name="pytest", module="tests.benchmarks.no_such_module"),)) as peers:
        assert peers.legs("tell", 1_000, is_quick=True) == {}

    assert peers.skipped == {"pytest": "its process has ended"}
