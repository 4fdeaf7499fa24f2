"""Ours and others, killed from outside and started again: what is lost, recorded twice, done twice."""

from __future__ import annotations

from sentient_core.bench.findings import Findings
from sentient_core.bench.peers.process import PROGRAMS, Crashed, Peer, PeerFailed, crash_often, installed
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind

__all__ = ["ROW"]

_OURS = Peer(name="sentient-core", package="sentient-core", module=PROGRAMS / "sentient_deposits.py")
_DBOS, _LANGGRAPH = PROGRAMS / "dbos_deposits.py", PROGRAMS / "langgraph_deposits.py"
_PEERS = (
    Peer(name="DBOS", way="SQLite with WAL", package="dbos", module=_DBOS, variant="wal"),
    Peer(name="DBOS", way="SQLite as it comes", package="dbos", module=_DBOS),
    Peer(name="LangGraph", way="numbers once", package="langgraph", module=_LANGGRAPH, variant="once"),
    Peer(name="LangGraph", way="appending", package="langgraph", module=_LANGGRAPH),
    Peer(name="pykka", way="no store", package="pykka", module=PROGRAMS / "pykka_deposits.py"),
)
_ONE_WAY_EACH = (_PEERS[0], _PEERS[2], _PEERS[4])
_EARLIEST, _LATEST = 0.2, 1.0
"""Seconds from the first acknowledgement of a process until it is killed."""


async def _run(scene: Scene, findings: Findings) -> None:
    kills = scene.pick(quick=2, full=30)
    others = scene.pick(quick=_ONE_WAY_EACH, full=_PEERS)
    dice = scene.dice("moments")
    moments = [dice.uniform(_EARLIEST, _LATEST) for _ in range(kills)]
    peers = [_OURS, *installed(others, findings)]
    done = 0

    def progress() -> None:
        nonlocal done
        done += 1
        scene.progress(done, len(peers) * (kills + 1))

    for number, peer in enumerate(peers):
        folder = scene.folder / f"peer-{number}"
        folder.mkdir()
        try:
            crashed = await crash_often(peer, folder, moments, backend=scene.backend, progress=progress)
        except PeerFailed as failure:
            if peer is _OURS:
                raise
            findings.note(f"{peer.title} could not be measured: {failure}")
        else:
            _tell(findings, peer, crashed)


def _tell(findings: Findings, peer: Peer, crashed: Crashed) -> None:
    name, verdict = peer.title, crashed.verdict
    allowed = 0 if peer is _OURS else None  # of others nothing is promised here
    findings.loss(
        "lost", verdict.lost, verdict.acknowledged, "acknowledged", who=name, headline=True, allowed=allowed
    )
    findings.loss(
        "recorded twice", verdict.doubled, verdict.done, "recorded", who=name, headline=True, allowed=allowed
    )
    kills = len(crashed.rates)
    findings.figure("executed again", crashed.again, f"by {kills} kills", who=name, headline=True)
    findings.figure("acknowledged per second", crashed.rates, "", who=name, headline=True)
    findings.latency("start after a kill to first acknowledgement", crashed.firsts, who=name, headline=True)
    findings.latency("of that, until its imports are done", crashed.ready, who=name)


ROW = Row(
    id="peers-killed",
    injects="SIGKILL from outside, ours and others",
    shows="lost, recorded twice, executed again, acknowledged per second, start to first acknowledgement",
    stores=(StoreKind.EMBEDDED,),
    about=(
        "The same work, moments of death and oracle for each: eight clients deposit numbers into 16 tills, "
        "and each waits for its acknowledgement (that the deposit is recorded) before its next one. Between "
        "0.2 and 1 second after the first acknowledgement the process gets SIGKILL from outside, is started "
        "again on its database, and each client begins with the deposit that it has no acknowledgement of, "
        "under the same number. In the end all deposits that are recorded are compared with those "
        "acknowledged. Handlers and steps note in a file that they run: **executed again** is what the "
        "outside world sees twice, where a kill came between a step and its record. That is at-least-once "
        "for everybody, whatever is recorded. It counts by kills, of which all have as many, not by "
        "deposits, and so does what is recorded twice. What differs: **sentient-core** runs a durable actor "
        "for each till, asked with the number as `message_id`, on an embedded SurrealDB that syncs each "
        "group commit. **DBOS** runs a workflow of one step for each deposit, whose id is the number, on "
        "SQLite, which it recommends for prototypes and tests, and PostgreSQL for production; its start "
        "recovers what was under way, which its queue is polled for once a second. Measured with SQLite's "
        "journal as DBOS leaves it, and with the write-ahead log switched on beforehand; both sync each "
        "commit. **LangGraph** runs a graph of one node, with a thread for each till and "
        '`durability="sync"`, on its SQLite saver (WAL, a sync for each commit), which is meant for local '
        "work as well. Its runs have no ids, so a deposit that was saved and not acknowledged is saved "
        "again if the state's reducer appends; with a reducer that leaves out what is there, as its "
        "`add_messages` does, it is not: that is the user's choice, and both are measured. **pykka** keeps "
        "nothing outside of its process, and is here for what that means: the actors are started again by "
        "hand, and are empty. Threads or tasks, whichever was faster for a library. The time to the first "
        "acknowledgement has imports and opening the database in it. What is acknowledged per second is "
        "from the first one on to the kill, and has in it what a library still recovers then."
    ),
    run=_run,
)
