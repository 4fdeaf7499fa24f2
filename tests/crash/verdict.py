"""Does what was found after a crash match what was claimed before it? Says in words where it does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from tests.crash.dump import Found
from tests.crash.oracle import Claim, Intent
from tests.crash.workload import ATTEMPTS, BALANCE, ROUTER, WORKERS

__all__ = ["Verdict", "judge"]

_COUNTED = {"Note", "Transfer", "Credit", "Relay", "Delay", "Bad", "Flaky", "Bump", "Consult"}
"""Kinds that a worker counts when it has handled one."""


class Verdict(msgspec.Struct, frozen=True):
    """What was compared, and what is wrong."""

    wrong: list[str]
    acknowledged: int
    """Messages whose sender was told that they were accepted, or answered."""
    lost: int
    """Of these, those of which nothing is left."""
    doubled: int
    """Messages that were applied more than once."""


def judge(claims: Sequence[Claim], found: Found) -> Verdict:
    """Compare what was claimed with what was found when all had come to rest."""
    case = _Case(claims, found)
    wrong = [*case.lost(), *case.doubled()]
    lost, doubled = len(list(case.lost())), len(list(case.doubled()))
    wrong += [*case.unexpected(), *case.said(), *case.between(), *case.sums(), *case.rows()]
    return Verdict(wrong, len(case.accepted), lost, doubled)


class _Case:
    def __init__(self, claims: Sequence[Claim], found: Found) -> None:
        self.found = found
        self.intents: dict[int, Intent] = {}
        self.order: dict[tuple[str, str], list[int]] = defaultdict(list)
        """Numbers by target and sender, as they were sent."""
        self.routed: dict[str, list[int]] = defaultdict(list)
        """Numbers by sender, as they were sent to the router."""
        self.claims: dict[str, dict[int, object]] = defaultdict(dict)
        self.seen: list[tuple[int, str]] = []
        self.told: dict[int, set[str]] = defaultdict(set)
        """By number, what those were told who have asked, maybe again and again."""
        for claim in claims:
            if claim.what == "sending":
                intent = msgspec.convert(claim.detail, Intent)
                self.intents[claim.number] = intent
                self.order[intent.target, intent.sender].append(claim.number)
                self.routed[intent.sender].append(claim.number)
            elif claim.what == "seen":
                self.seen.append((claim.number, str(claim.detail)))
            else:
                self.claims[claim.what][claim.number] = claim.detail
            if claim.what in ("answered", "failed", "declined"):
                self.told[claim.number].add(f"{claim.what} {claim.detail}")
        self.accepted = {*self.claims["acknowledged"], *self.claims["answered"], *self.claims["failed"]}
        self.dead = {(death.recipient, death.n): death for death in found.deaths}

    def applied(self, path: str, by: str) -> list[int]:
        numbers: list[int] = self.found.states[path]["applied"].get(by, [])
        return numbers

    def lost(self) -> Iterator[str]:
        """What was acknowledged is applied, or a dead letter if its handler was to fail."""
        for n in sorted(self.accepted):
            intent = self.intents[n]
            if intent.fails >= ATTEMPTS:
                death = self.dead.get((intent.target, n))
                if death is None:
                    yield f"{intent.kind} {n} was accepted, and is no dead letter"
                elif (death.reason, death.tries) != ("quarantined", ATTEMPTS):
                    yield f"{intent.kind} {n} is dead as {death.reason} after {death.tries} tries"
            elif n not in self.applied(intent.target, intent.sender):
                yield f"{intent.kind} {n} to {intent.target} was accepted, and is lost"

    def doubled(self) -> Iterator[str]:
        """Nothing is applied twice, or applied and dead."""
        for path, state in self.found.states.items():
            for by, numbers in state["applied"].items():
                # The death of an asker has the question asked again, which is another message.
                if not by.startswith("ask:"):
                    yield from (f"{n} by {by} is applied twice by {path}" for n in _twice(numbers))
                    yield from (
                        f"{n} is applied by {path}, and dead" for n in numbers if (path, n) in self.dead
                    )
        yield from (
            f"{who} has two dead letters" for who in _twice([(d.recipient, d.n) for d in self.found.deaths])
        )

    def unexpected(self) -> Iterator[str]:
        """Whatever is applied was sent, in this order; what failed has left nothing; only such died."""
        for path, state in self.found.states.items():
            for by, numbers in state["applied"].items():
                if "harm" in by or any(n < 0 for n in numbers):
                    yield f"{path} has what a failed turn left: {by} {numbers[:5]}"
                elif by.startswith("s"):
                    sent = self.routed[by] if path == ROUTER else self.order[path, by]
                    if [n for n in sent if n in set(numbers)] != numbers:
                        yield f"{path} has not applied in order what {by} has sent: {numbers}, of {sent}"
            for n, attempt in state["attempts"].items():
                if attempt != self.intents[int(n)].fails + 1:
                    yield f"Flaky {n} went well at attempt {attempt}, not {self.intents[int(n)].fails + 1}"
        for (path, n), death in self.dead.items():
            intent = self.intents.get(n)
            if death.kind == "Refuse" and death.reason == "failed":
                continue  # who asked has died: nobody takes the exception as a reply
            if death.kind == "Seen" and death.reason == "stopped":
                continue  # of a last turn, committed when its target, which is not durable, had stopped
            if intent is None or intent.fails < ATTEMPTS:
                yield f"{death.kind} {n} to {path} died: {death.reason}"

    def said(self) -> Iterator[str]:
        """What askers were told, and what has left durable turns, is so."""
        for n, outcomes in self.told.items():
            if len(outcomes) > 1:
                yield f"{self.intents[n].kind} {n} had different outcomes: {sorted(outcomes)}"
        for n, answer in self.claims["answered"].items():
            intent = self.intents[n]
            state = self.found.states[intent.target]
            if intent.kind == "Bump" and state["bumps"][int(str(answer)) - 1 :][:1] != [n]:
                yield f"Bump {n} was answered {answer}, which it is not"
            if intent.kind == "Consult" and state["answers"].get(str(n), (0, None))[1] != answer:
                yield f"Consult {n} was answered {answer}, which its actor does not know"
        for n, path in self.seen:
            if not any(n in numbers for numbers in self.found.states[path]["applied"].values()):
                yield f"{path} has told others of {n}, and does not know it"

    def between(self) -> Iterator[str]:
        """What durable actors have sent each other was applied in this order, once."""
        states = self.found.states
        for path, state in states.items():
            for target, numbers in state["sent"].items():
                applied = self.applied(target, path)
                if applied != numbers:
                    yield f"{path} has sent {target} {numbers}, which has applied {applied}"
            if path == ROUTER:
                routed = {by: sorted(numbers) for by, numbers in state["applied"].items()}
                come = {
                    by: sorted(n for worker in WORKERS for n in self.applied(worker, by)) for by in routed
                }
                if routed != come:
                    yield f"the router has passed on {routed}, and workers have applied {come}"
            if sorted(self.applied(path, "timer")) != sorted(state["delayed"]):
                yield f"{path} has set timers for {state['delayed']}, and had {self.applied(path, 'timer')}"
            for n, (asked, answer) in state["answers"].items():
                if states[asked]["bumps"][answer - 1 :][:1] != [int(n)]:
                    yield f"{path} was told {answer} by {asked} for {n}, which it is not"

    def sums(self) -> Iterator[str]:
        """Money is neither made nor lost; sent = handled + dead."""
        total = sum(self.found.states[path]["balance"] for path in WORKERS)
        if total != BALANCE * len(WORKERS):
            yield f"the balances are {total} together"
        sent: Counter[str] = Counter()
        for path, kind, count in self.found.sent:
            if kind in _COUNTED:
                sent[path] += count
        dead = Counter(d.recipient for d in self.found.deaths if d.kind in _COUNTED)
        for path, state in self.found.states.items():
            if sent[path] != state["handled"] + dead[path]:
                yield f"{sent[path]} were sent to {path}: {state['handled']} handled, {dead[path]} dead"

    def rows(self) -> Iterator[str]:
        """The rows say what the actors say, and nothing is left over."""
        if not self.found.is_quiet:
            yield "it does not come to rest"
        if self.found.audit:
            yield self.found.audit
        if self.found.inbox:
            yield f"{len(self.found.inbox)} rows are left in the inbox: {self.found.inbox[:3]}"
        if self.found.journal:
            yield f"{self.found.journal} entries are left in the journal"
        for path, state in self.found.states.items():
            stored = self.found.stored[path]
            if stored != state and (stored or state["handled"]):
                yield f"the row of {path} says {stored}, the actor {state}"


def _twice(items: Sequence[object]) -> list[object]:
    return [item for item, count in Counter(items).items() if count > 1]
