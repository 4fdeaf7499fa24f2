"""A program from a seed."""

from __future__ import annotations

from random import Random

import msgspec

from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.testing.simulation.program import (
    Do,
    Follows,
    Kind,
    Part,
    Program,
    Step,
    Task,
    Way,
    paths_of,
)

__all__ = ["STEPS", "generate"]

STEPS = 40
"""Of a program."""

_WITH_ID = 0.4
"""The share of what can be sent under an id."""

_AGAIN = 0.05
"""The share of steps that send what was sent under an id once more."""

_FAULTY = 0.5
"""The share of programs with a plan of faults."""

_WAYS: dict[Way, int] = {
    Way.NOTE: 10,
    Way.WAIT: 8,
    Way.FAIL: 6,
    Way.FAIL_ONCE: 3,
    Way.REFUSE: 2,
    Way.RELAY: 10,
    Way.RELAY_FAIL: 4,
    Way.ASK: 8,
    Way.TIMER: 4,
    Way.DURABLE_TIMER: 4,
    Way.STASH: 3,
    Way.UNSTASH: 3,
    Way.WATCH: 6,
    Way.CHECKPOINT: 3,
    Way.BAD_START: 1,
    Way.STOP: 1,
    Way.PUBLISH: 5,
    Way.PUBLISH_FAIL: 2,
}
_DOES: dict[Do, int] = {
    Do.TELL: 40,
    Do.SEND: 15,
    Do.ASK: 15,
    Do.STOP: 2,
    Do.DRAIN: 2,
    Do.KILL: 4,
    Do.PAUSE: 2,
    Do.RESUME: 2,
    Do.TERMINATE: 1,
    Do.RESTART: 1,
    Do.OUTAGE: 2,
    Do.RECOVERY: 3,
    Do.CRASH: 2,
    Do.REBOOT: 1,
    Do.LOOK: 1,
    Do.PUBLISH: 4,
    Do.FOLLOW: 2,
    Do.UNFOLLOW: 1,
}
_STRATEGIES = ("one_for_one", "one_for_one", "one_for_all", "rest_for_one")


_RULES: tuple[tuple[FaultPoint, FaultAction, float], ...] = (
    (FaultPoint.RECEIVE, FaultAction.RAISE, 0.2),
    (FaultPoint.RECEIVE, FaultAction.DELAY, 0.3),
    (FaultPoint.RECEIVE, FaultAction.CANCEL, 0.1),
    (FaultPoint.RECEIVE, FaultAction.HANG, 0.1),
    (FaultPoint.MAILBOX_PUT, FaultAction.DROP, 0.2),
    (FaultPoint.MAILBOX_GET, FaultAction.DROP, 0.2),
    (FaultPoint.MAILBOX_PUT, FaultAction.RAISE, 0.2),
    (FaultPoint.MAILBOX_PUT, FaultAction.DUPLICATE, 0.2),
    (FaultPoint.MAILBOX_GET, FaultAction.DUPLICATE, 0.2),
    (FaultPoint.MAILBOX_PUT, FaultAction.REORDER, 0.3),
    (FaultPoint.MAILBOX_GET, FaultAction.REORDER, 0.3),
    (FaultPoint.REPLY, FaultAction.RAISE, 0.3),
    (FaultPoint.REPLY, FaultAction.DELAY, 0.3),
    (FaultPoint.REPLY, FaultAction.CANCEL, 0.2),
    (FaultPoint.CHECKPOINT, FaultAction.RAISE, 0.2),
    (FaultPoint.STOP, FaultAction.RAISE, 0.3),
    (FaultPoint.STOP, FaultAction.DELAY, 0.5),
    (FaultPoint.STOP, FaultAction.CANCEL, 0.2),
    (FaultPoint.START, FaultAction.RAISE, 0.2),
    (FaultPoint.START, FaultAction.DELAY, 0.5),
    (FaultPoint.START, FaultAction.CANCEL, 0.1),
    (FaultPoint.SPAWN, FaultAction.RAISE, 0.2),
    (FaultPoint.SPAWN, FaultAction.DELAY, 0.5),
    (FaultPoint.PUBLISH, FaultAction.RAISE, 0.3),
    (FaultPoint.PUBLISH, FaultAction.DELAY, 0.3),
    (FaultPoint.TIMER, FaultAction.DELAY, 0.5),
    (FaultPoint.TIMER, FaultAction.DROP, 0.3),
    (FaultPoint.STORE_APPEND, FaultAction.RAISE, 0.2),
    (FaultPoint.STORE_APPEND, FaultAction.REJECT, 0.2),
    (FaultPoint.STORE_APPEND, FaultAction.FULL, 0.2),
    (FaultPoint.STORE_APPEND, FaultAction.DELAY, 0.2),
    (FaultPoint.STORE_COMMITTED, FaultAction.RAISE, 0.2),
    (FaultPoint.STORE_COMMITTED, FaultAction.DELAY, 0.2),
    (FaultPoint.STORE_READ, FaultAction.RAISE, 0.3),
    (FaultPoint.STORE_READ, FaultAction.REJECT, 0.3),
    (FaultPoint.STORE_READ, FaultAction.DELAY, 0.3),
)
"""What goes wrong, and how often at most."""

_OF_MESSAGES = (FaultPoint.RECEIVE, FaultPoint.REPLY, FaultPoint.MAILBOX_PUT, FaultPoint.MAILBOX_GET)


def generate(seed: int, steps: int = STEPS, *, has_faults: bool = True) -> Program:
    """The program of a seed; the same for ever, in this version of the package."""
    chance = Random(f"program {seed}")
    parts = tuple(_team(chance, f"t{n}", depth=2) for n in range(chance.choice((1, 1, 2))))
    durabilities = (Kind.MIRRORED, Kind.DURABLE)
    virtual = tuple((chance.choice(durabilities), f"k{n}") for n in range(chance.choice((0, 0, 1, 2))))
    workers = [path for path, part in paths_of(parts) if part.kind is not Kind.TEAM]
    teams = [path for path, part in paths_of(parts) if part.kind is Kind.TEAM]
    workers += [f"{kind}-virtual/{key}" for kind, key in virtual]
    durable = [path for path, part in paths_of(parts) if part.kind is Kind.DURABLE]
    durable += [f"{kind}-virtual/{key}" for kind, key in virtual if kind is Kind.DURABLE]
    followers = tuple((chance.choice(list(Follows)), f"f{n}") for n in range(chance.choice((0, 1, 2))))
    program: list[Step] = []
    for n in range(steps):
        program.append(_step(chance, str(n), workers, teams, durable, followers, program))
    faults = str(_plan(chance, seed)) if has_faults and chance.random() < _FAULTY else ""
    return Program(
        seed=seed, parts=parts, virtual=virtual, followers=followers, steps=tuple(program), faults=faults
    )


def _plan(chance: Random, seed: int) -> FaultPlan:
    rules: list[Rule] = []
    for point, action, most in chance.sample(_RULES, chance.randint(1, 4)):
        seconds = chance.choice((0.01, 0.3, 2.0)) if action is FaultAction.DELAY else None
        probability = round(chance.uniform(0.01, most), 3)
        # What the runtime tells an actor of is no message that the witness knows.
        message_type = "Job" if point in _OF_MESSAGES else "*"
        rules.append(
            Rule(
                point=point,
                action=action,
                message_type=message_type,
                seconds=seconds,
                probability=probability,
            )
        )
    return FaultPlan(seed=seed, rules=tuple(rules))


def _team(chance: Random, name: str, depth: int) -> Part:
    children: list[Part] = []
    for _ in range(chance.randint(1, 3)):
        if depth > 1 and chance.random() < 0.25:
            children.append(_team(chance, f"{name}{len(children)}", depth - 1))
        else:
            children.append(_worker(chance, f"w{len(children)}"))
    return Part(
        name=name,
        kind=Kind.TEAM,
        strategy=chance.choice(_STRATEGIES),
        max_restarts=chance.choice((0, 1, 2, 3, 5, 20)),
        within=chance.choice((1.0, 5.0, 60.0)),
        backoff=chance.choice((0.0, 0.0, 0.5)),
        children=tuple(children),
    )


def _worker(chance: Random, name: str) -> Part:
    return Part(
        name=name,
        kind=chance.choice((Kind.VOLATILE, Kind.MIRRORED, Kind.DURABLE, Kind.DURABLE)),
        restart=chance.choice(("permanent", "permanent", "transient", "temporary")),
        attempts=chance.choice((1, 1, 2)),
        is_tight=chance.random() < 0.15,
    )


def _step(
    chance: Random,
    id_: str,
    workers: list[str],
    teams: list[str],
    durable: list[str],
    followers: tuple[tuple[Follows, str], ...],
    before: list[Step],
) -> Step:
    again = [step for step in before if step.has_id]
    if again and chance.random() < _AGAIN:
        return msgspec.structs.replace(chance.choice(again), do=chance.choice((Do.SEND, Do.ASK)))
    do = chance.choices(list(_DOES), list(_DOES.values()))[0]
    wait = chance.choice((0.0, 0.0, 0.0, 0.0, 0.001, 0.3, 2.0))
    if do in (Do.OUTAGE, Do.RECOVERY, Do.CRASH, Do.REBOOT, Do.LOOK):
        return Step(do=do, wait=wait)
    if do is Do.PUBLISH:
        return Step(do=do, task=Task(id_, fails=chance.choice((0, 0, 0, 1, 2, 3))), wait=wait)
    if do in (Do.FOLLOW, Do.UNFOLLOW):
        return Step(do=do, to=chance.choice([name for _, name in followers] or ["nobody"]), wait=wait)
    everybody = [*workers, *teams]
    if do not in (Do.TELL, Do.SEND, Do.ASK):
        return Step(do=do, to=chance.choice(everybody if chance.random() < 0.2 else workers), wait=wait)
    way = chance.choices(list(_WAYS), list(_WAYS.values()))[0]
    task = Task(
        id=id_,
        way=way,
        to=chance.choice(workers) if way in (Way.RELAY, Way.RELAY_FAIL, Way.ASK, Way.WATCH) else "",
        seconds=chance.choice((0.0, 0.1, 1.0, 3.0)) if way is not Way.NOTE else 0.0,
    )
    timeout = chance.choice((2.0, 30.0)) if do is Do.ASK else chance.choice((None, None, 1.0))
    to = chance.choice(workers)
    return Step(
        do=do,
        to=to,
        task=task,
        has_id=do is not Do.TELL and to in durable and way is not Way.REFUSE and chance.random() < _WITH_ID,
        timeout=None if do is Do.TELL else timeout,
        wait=wait,
    )
