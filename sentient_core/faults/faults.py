"""A plan at work in one run: who came by how often, and what was done to whom."""

from __future__ import annotations

import os
import signal
from collections import Counter
from threading import Lock

import anyio
import msgspec

from sentient_core.errors import FaultInjected, StoreUnavailable
from sentient_core.faults.chance import chance
from sentient_core.faults.plan import FaultPlan, Rule
from sentient_core.faults.points import STORE_POINTS, FaultAction, FaultPoint

__all__ = ["Faults", "Injected", "die", "suffer"]

_PATIENCE = 1e9
"""Seconds that stand for ever, where something has to be waited for."""


class Injected(msgspec.Struct, frozen=True):
    """A fault that was injected. `str` of it is a line for people."""

    point: FaultPoint
    action: FaultAction
    actor: str
    """The actor's path; empty at the points of a store."""
    message_type: str
    nth: int
    """The how manieth of what the rule means this was, for this actor."""
    rule: int
    """Which of the plan's rules has struck, from 0."""
    seconds: float = 0.0
    """Of a delay."""
    reason: str = ""

    def __str__(self) -> str:
        who = f" of '{self.actor}'" if self.actor else ""
        what = f" with {self.message_type}" if self.message_type else ""
        seconds = f" {self.seconds:g} s" if self.seconds else ""
        return f"{self.point} {self.nth}{who}{what}: {self.action}{seconds} (rule {self.rule})"

    def error(self) -> FaultInjected | StoreUnavailable:
        """What is raised by it."""
        if self.point in STORE_POINTS:
            why = self.reason or "the store is away"
            return StoreUnavailable(f"{why}, says the fault plan at {self.point} {self.nth}")
        return FaultInjected(self.point, self.actor, self.message_type, self.nth, self.reason)


class Faults:
    """The faults of one actor system, or of one store: `system.faults`.

    Whoever comes by is *decided* of, and what is done to him is *noted*: at most points in one go (`choose`),
    at the others where it turns out whether it can be done. So what is listed is what was done. Points are
    come by on the loop's thread, on the store's, and on those that send messages.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan: FaultPlan = plan
        self.is_paused: bool = False
        self._rules: dict[FaultPoint, list[tuple[int, Rule]]] = {}
        for number, rule in enumerate(plan.rules):
            self._rules.setdefault(rule.point, []).append((number, rule))
        self._seen: Counter[tuple[int, str]] = Counter()
        self._struck: Counter[int] = Counter()
        self._injected: list[Injected] = []
        self._counting = Lock()

    @property
    def injected(self) -> tuple[Injected, ...]:
        """What was injected by now, in order."""
        return tuple(self._injected)

    @property
    def idle(self) -> tuple[Rule, ...]:
        """Rules that have struck nobody by now: where a path or a message's type is misspelt, for one."""
        struck = {fault.rule for fault in self._injected}
        return tuple(rule for number, rule in enumerate(self.plan.rules) if number not in struck)

    def pause(self) -> None:
        """Let nothing go wrong for now: while a run warms up or heals. Who comes by is not counted."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on where it was paused."""
        self.is_paused = False

    def has(self, point: FaultPoint) -> bool:
        """The plan has rules for this point."""
        return point in self._rules

    def choose(self, point: FaultPoint, actor: str = "", message_type: str = "") -> Injected | None:
        """Somebody comes by: what is done to him, which is noted with that. None: nothing."""
        fault = self.decide(point, actor, message_type)
        if fault is not None:
            self.note(fault)
        return fault

    def decide(self, point: FaultPoint, actor: str = "", message_type: str = "") -> Injected | None:
        """Somebody comes by: what is to be done to him, if that can be done. None: nothing.

        To be followed by `note` when it is done, or by `withdraw`.
        """
        rules = self._rules.get(point)
        if rules is None or self.is_paused:
            return None
        if not actor and point not in STORE_POINTS:  # the root, which is nobody's
            return None
        chosen: Injected | None = None
        with self._counting:
            for number, rule in rules:
                if not rule.means(actor, message_type):
                    continue
                key = number, actor
                self._seen[key] = nth = self._seen[key] + 1
                if chosen is None and self._strikes(number, rule, actor, nth):
                    self._struck[number] += 1
                    chosen = Injected(
                        point, rule.action, actor, message_type, nth, number, rule.seconds or 0.0, rule.reason
                    )
        return chosen

    def note(self, fault: Injected) -> None:
        """What was decided is done."""
        self._injected.append(fault)

    def withdraw(self, fault: Injected) -> None:
        """What was decided could not be done: it does not count among the `times` of its rule."""
        with self._counting:
            self._struck[fault.rule] -= 1

    async def pass_by(self, point: FaultPoint, actor: str = "", message_type: str = "") -> None:
        """Come by where one can wait. Raises FaultInjected, or StoreUnavailable at a store's point."""
        fault = self.choose(point, actor, message_type)
        if fault is not None:
            await suffer(fault)

    def __repr__(self) -> str:
        paused = ", paused" if self.is_paused else ""
        idle = f"{len(self.idle)} of {len(self.plan.rules)} rules idle"
        return f"<Faults of seed {self.plan.seed}: {len(self._injected)} injected, {idle}{paused}>"

    def _strikes(self, number: int, rule: Rule, actor: str, nth: int) -> bool:
        if rule.nth is not None and nth != rule.nth:
            return False
        if rule.times is not None and self._struck[number] >= rule.times:
            return False
        return rule.probability == 1.0 or chance(self.plan.seed, number, actor, nth) < rule.probability


async def suffer(fault: Injected) -> None:
    """What `raise`, `delay`, `hang` and `kill` mean where one can wait."""
    if fault.action is FaultAction.RAISE:
        raise fault.error()
    if fault.action is FaultAction.DELAY:
        await anyio.sleep(fault.seconds)
    elif fault.action is FaultAction.HANG:
        await anyio.sleep(_PATIENCE)
    elif fault.action is FaultAction.KILL:
        die()


def die() -> None:
    """End the process as `kill -9` does: nothing is closed, flushed or told."""
    os.kill(os.getpid(), signal.SIGKILL)
