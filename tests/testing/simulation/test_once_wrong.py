"""Programs that have gone wrong once, by the runtime or by its witness: they go well."""

from __future__ import annotations

import pytest

from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.testing.simulation import (
    Do,
    Follows,
    Kind,
    Outcome,
    Part,
    Program,
    Step,
    Task,
    Way,
    as_text,
    play,
)


def _worker(name: str, kind: Kind, restart: str = "permanent", attempts: int = 1) -> Part:
    return Part(name=name, kind=kind, restart=restart, attempts=attempts)


def _team(name: str, strategy: str, most: int, *children: Part) -> Part:
    return Part(
        name=name, kind=Kind.TEAM, strategy=strategy, max_restarts=most, within=60.0, children=children
    )


def _fail(id_: str, to: str, seconds: float) -> Step:
    return Step(do=Do.TELL, to=to, task=Task(id_, Way.FAIL, seconds=seconds))


KILLED_AS_ITS_START_FAILS = Program(
    seed=32181,
    parts=(
        _team(
            "t1",
            "one_for_all",
            3,
            _worker("w0", Kind.DURABLE),
            _team(
                "t11",
                "one_for_one",
                5,
                _worker("w1", Kind.DURABLE, "transient", attempts=2),
                _worker("w2", Kind.MIRRORED, attempts=2),
            ),
        ),
    ),
    steps=(
        _fail("0", "t1/t11/w1", 3.0),
        Step(do=Do.TERMINATE, to="t1/t11/w2"),
        Step(do=Do.RESUME, to="t1/w0", wait=2.0),
        _fail("6", "t1/w0", 0.0),
        Step(do=Do.OUTAGE, wait=2.0),
        Step(do=Do.KILL, to="t1/t11"),
        Step(do=Do.TELL, to="t1/w0", task=Task("48", Way.RELAY_FAIL, to="t1/t11/w1")),
        Step(do=Do.DRAIN, to="t1/w0"),
    ),
)
"""The start of t11 fails for the store, and it is killed as it goes down: that restart is held, and free."""

FOLLOWS_IN_AN_OUTAGE = Program(
    seed=50,
    parts=(_team("t0", "one_for_one", 3, _worker("w1", Kind.DURABLE)),),
    followers=((Follows.HISTORY, "f1"), (Follows.NEW, "f2")),
    steps=(
        Step(do=Do.PUBLISH, task=Task("1"), wait=1.0),
        Step(do=Do.OUTAGE),
        Step(do=Do.FOLLOW, to="f1", wait=1.0),
    ),
)
"""Who begins to follow in an outage waits for the store: the subscription ended with StoreUnavailable."""

HANDLED_AS_THE_PROCESS_DIES = Program(
    seed=271,
    parts=(_team("t0", "one_for_one", 1, _worker("w0", Kind.MIRRORED, attempts=2)),),
    followers=((Follows.NAMED, "f0"),),
    steps=(Step(do=Do.PUBLISH, task=Task("23")), Step(do=Do.CRASH)),
)
"""What a dead process would still have handled is not acknowledged for it."""

ENDS_BEFORE_IT_FOLLOWS = Program(
    seed=41196,
    parts=(),
    virtual=((Kind.MIRRORED, "k0"),),
    followers=((Follows.NAMED, "f0"),),
    steps=(
        Step(do=Do.TELL, to="mirrored-virtual/k0", task=Task("17", Way.PUBLISH)),
        Step(do=Do.REBOOT),
    ),
)
"""The store does not know a name under which nobody has come to follow when the system ended."""

KILLED_BEHIND_ITS_HANDLER = Program(
    seed=1090,
    parts=(
        Part(
            name="t0",
            kind=Kind.TEAM,
            strategy="one_for_all",
            max_restarts=1,
            within=1.0,
            children=(_worker("w1", Kind.MIRRORED), _worker("w2", Kind.DURABLE)),
        ),
    ),
    steps=(
        Step(do=Do.ASK, to="t0/w1", task=Task("16"), timeout=2.0),
        Step(do=Do.ASK, to="t0/w2", task=Task("17", Way.ASK, to="t0/w1"), timeout=30.0),
        Step(do=Do.SEND, to="t0/w1", task=Task("22", Way.FAIL_ONCE)),
    ),
    faults=str(
        FaultPlan(
            seed=1090,
            rules=(
                Rule(
                    point=FaultPoint.REPLY, action=FaultAction.CANCEL, message_type="Job", probability=0.119
                ),
            ),
        )
    ),
)
"""The restart of a group is decided when the first goes down, not when the last has come to its end."""

COPY_REFUSED_IN_A_DRAIN = Program(
    seed=40329,
    parts=(_team("t0", "one_for_one", 5, _worker("w0", Kind.MIRRORED, attempts=2)),),
    steps=(
        Step(do=Do.TELL, to="t0/w0", task=Task("5", Way.WAIT, seconds=1.0)),
        Step(do=Do.ASK, to="t0/w0", task=Task("7"), timeout=30.0, wait=0.001),
        Step(do=Do.DRAIN, to="t0/w0", wait=2.0),
    ),
    faults=str(
        FaultPlan(
            seed=40329,
            rules=(
                Rule(point=FaultPoint.MAILBOX_GET, action=FaultAction.DUPLICATE, message_type="Job", nth=2),
            ),
        )
    ),
)
"""The copy of a message in a drain has no room, and the first one is handled behind that."""

PASSIVE_BEHIND_A_CRASH = Program(
    seed=50306,
    parts=(),
    virtual=((Kind.DURABLE, "k0"),),
    steps=(
        Step(do=Do.OUTAGE),
        Step(do=Do.ASK, to="durable-virtual/k0", task=Task("23", Way.PUBLISH), timeout=2.0, wait=2.0),
        Step(do=Do.CRASH),
        Step(do=Do.REBOOT),
    ),
)
"""What was lost in a crash is not committed by the orderly end of a process in which its actor never came."""

FAILS_BEHIND_ITS_CHECKPOINT = Program(
    seed=52507,
    parts=(_team("t0", "one_for_one", 5, _worker("w0", Kind.VOLATILE, attempts=2)),),
    steps=(Step(do=Do.ASK, to="t0/w0", task=Task("8", Way.CHECKPOINT), timeout=2.0, wait=0.001),),
    faults=str(
        FaultPlan(
            seed=52507,
            rules=(Rule(point=FaultPoint.REPLY, action=FaultAction.RAISE, message_type="Job", nth=1),),
        )
    ),
)
"""Only a durable turn takes back what it did; another's checkpoint has it, and the next attempt adds."""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(KILLED_AS_ITS_START_FAILS, id="killed as its start fails"),
        pytest.param(FOLLOWS_IN_AN_OUTAGE, id="follows in an outage"),
        pytest.param(HANDLED_AS_THE_PROCESS_DIES, id="handled as the process dies"),
        pytest.param(ENDS_BEFORE_IT_FOLLOWS, id="ends before it follows"),
        pytest.param(KILLED_BEHIND_ITS_HANDLER, id="killed behind its handler"),
        pytest.param(COPY_REFUSED_IN_A_DRAIN, id="copy refused in a drain"),
        pytest.param(PASSIVE_BEHIND_A_CRASH, id="passive behind a crash"),
        pytest.param(FAILS_BEHIND_ITS_CHECKPOINT, id="fails behind its checkpoint"),
    ],
)
def test_what_has_gone_wrong_once_goes_well(program: Program) -> None:
    outcome = play(program)

    assert outcome.is_well, as_text(Outcome(program, outcome.complaints, outcome.trace))
