"""Ours and others: a handler raises at 1 of n messages, and its supervisor starts it again."""

from __future__ import annotations

from typing import Any

from sentient_core.bench.findings import Findings
from sentient_core.bench.peers.process import PROGRAMS, Peer, PeerFailed, installed, work
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind

__all__ = ["ROW"]

_ONE_OF = 10
_OURS = Peer(name="sentient-core", package="sentient-core", module=PROGRAMS / "sentient_raising.py")
_PEERS = (
    Peer(name="pykka", way="parent hands on", package="pykka", module=PROGRAMS / "pykka_raising.py"),
    Peer(
        name="pykka",
        way="parent keeps the queue",
        package="pykka",
        module=PROGRAMS / "pykka_raising.py",
        variant="keeps",
    ),
)


async def _run(scene: Scene, findings: Findings) -> None:
    failures = scene.pick(quick=30, full=300)
    peers = [_OURS, *installed(_PEERS, findings)]
    for step, peer in enumerate(peers):
        try:
            life = await work(peer.plan(backend=scene.backend, failures=failures, one_of=_ONE_OF))
        except PeerFailed as failure:
            if peer is _OURS:
                raise
            findings.note(f"{peer.title} could not be measured: {failure}")
        else:
            _tell(findings, peer, life.found, failures)
        scene.progress(step + 1, len(peers))


def _tell(findings: Findings, peer: Peer, found: dict[str, Any], failures: int) -> None:
    name, gaps, handled = peer.title, found["gaps"], found["handled"]
    sound = [n for n in range(failures * _ONE_OF) if n % _ONE_OF != _ONE_OF // 2]
    lost = len(set(sound).difference(handled))
    twice = len(handled) - len(set(handled))
    allowed = 0 if peer is _OURS else None  # of others nothing is promised here
    findings.latency("raise to the next message", gaps, who=name, headline=True)
    findings.latency("message to message without a raise", found["steps"], who=name, headline=True)
    findings.loss("lost beside those in hand", lost, len(sound), who=name, headline=True, allowed=allowed)
    findings.loss("handled twice", twice, len(sound), who=name, headline=True, allowed=allowed)


ROW = Row(
    id="peers-raise",
    injects=f"handler raises, 1 of {_ONE_OF}, ours and others",
    shows="raise to the next message, lost beside those in hand",
    stores=(StoreKind.MEMORY,),
    about=(
        f"A worker gets {_ONE_OF} messages at a time, none of which is asked for, and raises in the midst of "
        "them, with four in its queue; the sender asks until it is answered, and goes on. Timed is from the "
        "raise to whatever the next worker gets first. Each library has a process of its own, nothing is "
        "logged, and state is in memory. **sentient-core** restarts the worker under a supervisor, with its "
        "mailbox. **pykka** has no supervision: an actor ends with an exception in a message that was told "
        "(one in an ask goes to who asked, and the actor lives on), and its queue ends with it. So a parent "
        "is written by hand, which senders know in the worker's place, and which the worker's `on_failure` "
        "tells that a new one is wanted. The parent that **hands on** each message at once loses those that "
        "waited with the worker. The parent that **keeps the queue** hands on the next one when the worker "
        "says that it is done, and loses none, at the price of a message back for each."
    ),
    run=_run,
)
