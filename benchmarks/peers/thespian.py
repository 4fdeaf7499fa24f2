"""thespian, its simple base: all actors in the caller's thread, run while it sends or waits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from thespian.actors import Actor, ActorAddress, ActorSystem

from benchmarks.peers.meters import Bytes, Meter, Rate

__all__ = ["WORKLOADS"]


class Counter(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802 - thespian's name
        if message == "how many":
            self.send(sender, self.found)
        elif isinstance(message, int):
            self.found += 1


class Clerk(Actor):
    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802
        if isinstance(message, int):
            self.send(sender, message)


@dataclass
class Play:
    following: ActorAddress
    hops: int


class Player(Actor):
    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802
        if isinstance(message, Play):
            self.following = message.following
            self.left = message.hops
        elif message == "ball" and self.left:
            self.left -= 1
            self.send(self.following, message)


@dataclass
class More:
    target: ActorAddress
    left: int


class Sender(Actor):
    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802
        if isinstance(message, More):
            for number in range(min(100, message.left)):
                self.send(message.target, number)
            if message.left > 100:
                self.send(self.myAddress, More(message.target, message.left - 100))


@dataclass
class Explore:
    first: int
    leaves: int


class Node(Actor):
    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802
        if isinstance(message, int):
            self.total += message
            self.awaited -= 1
            if not self.awaited:
                self.send(self.report, self.total)
        elif isinstance(message, Explore):
            if message.leaves == 1:
                self.send(sender, message.first)
                return
            self.report, self.awaited, self.total = sender, 10, 0
            each = message.leaves // 10
            for place in range(10):
                self.send(self.createActor(Node), Explore(message.first + place * each, each))


def _tell(system: ActorSystem, count: int) -> float:
    counter = system.createActor(Counter)
    rate = Rate()
    for number in range(count):
        system.tell(counter, number)
    found = rate.of(count)
    assert system.ask(counter, "how many", 10) == count
    return found


def _ask(system: ActorSystem, count: int) -> float:
    clerk = system.createActor(Clerk)
    rate = Rate()
    for number in range(count):
        assert system.ask(clerk, number, 10) == number
    return rate.of(count)


def _ring(players: int, system: ActorSystem, count: int) -> float:
    refs = [system.createActor(Player) for _ in range(players)]
    for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
        system.tell(ref, Play(following, count // players))
    rate = Rate()
    system.tell(refs[0], "ball")
    return rate.of(count)


def _fan_in(system: ActorSystem, count: int) -> float:
    counter = system.createActor(Counter)
    senders = [system.createActor(Sender) for _ in range(100)]
    rate = Rate()
    for sender in senders:
        system.tell(sender, More(counter, count // 100))
    found = rate.of(count // 100 * 100)
    assert system.ask(counter, "how many", 10) == count // 100 * 100
    return found


def _spawn(meter: type[Meter], system: ActorSystem, count: int) -> float:
    started = meter()
    actors = [system.createActor(Clerk) for _ in range(count)]
    found = started.of(count)
    assert system.ask(actors[-1], 7, 10) == 7
    return found


def _skynet(system: ActorSystem, leaves: int) -> float:
    rate = Rate()
    assert system.ask(system.createActor(Node), Explore(0, leaves), 60) == leaves * (leaves - 1) // 2
    return rate.of((leaves * 10 - 1) // 9)


def _run(workload: Any, count: int) -> float:
    system = ActorSystem("simpleSystemBase")
    try:
        return workload(system, count)
    finally:
        system.shutdown()


WORKLOADS = {
    "tell": partial(_run, _tell),
    "ask": partial(_run, _ask),
    "ping-pong": partial(_run, partial(_ring, 2)),
    "fan-in": partial(_run, _fan_in),
    "ring": partial(_run, partial(_ring, 500)),
    "spawn": partial(_run, partial(_spawn, Rate)),
    "skynet": partial(_run, _skynet),
    "idle": partial(_run, partial(_spawn, Bytes)),
}
