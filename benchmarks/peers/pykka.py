"""pykka: a thread per actor."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pykka

from benchmarks.peers.meters import Bytes, Meter, Rate

__all__ = ["WORKLOADS"]


class Counter(pykka.ThreadingActor):
    def __init__(self, expected: int, done: threading.Event) -> None:
        super().__init__()
        self.left = expected
        self.done = done

    def on_receive(self, message: Any) -> Any:
        self.left -= 1
        if not self.left:
            self.done.set()
        return message


class Player(pykka.ThreadingActor):
    def __init__(self, hops: int, done: threading.Event) -> None:
        super().__init__()
        self.left = hops
        self.done = done
        self.following: pykka.ActorRef | None = None

    def on_receive(self, message: Any) -> None:
        if isinstance(message, pykka.ActorRef):
            self.following = message
        elif not self.left:
            self.done.set()
        else:
            self.left -= 1
            self.following.tell(message)


class Sender(pykka.ThreadingActor):
    def __init__(self, target: pykka.ActorRef, count: int, chunk: int) -> None:
        super().__init__()
        self.target = target
        self.left = count
        self.chunk = chunk

    def on_receive(self, message: Any) -> None:
        for number in range(min(self.chunk, self.left)):
            self.target.tell(number)
        self.left -= self.chunk
        if self.left > 0:
            self.actor_ref.tell(message)


class Node(pykka.ThreadingActor):
    def __init__(self, report: pykka.ActorRef, first: int, leaves: int) -> None:
        super().__init__()
        self.report = report
        self.first = first
        self.leaves = leaves
        self.awaited = 10
        self.total = 0

    def on_receive(self, message: Any) -> None:
        if isinstance(message, int):
            self.total += message
            self.awaited -= 1
            if not self.awaited:
                self.report.tell(self.total)
        elif self.leaves == 1:
            self.report.tell(self.first)
        else:
            each = self.leaves // 10
            for place in range(10):
                Node.start(self.actor_ref, self.first + place * each, each).tell(message)


def _tell(count: int) -> float:
    done = threading.Event()
    counter = Counter.start(count, done)
    rate = Rate()
    for number in range(count):
        counter.tell(number)
    done.wait()
    return _ended(rate.of(count))


def _ask(count: int) -> float:
    counter = Counter.start(-1, threading.Event())
    rate = Rate()
    for number in range(count):
        counter.ask(number, timeout=10)
    return _ended(rate.of(count))


def _ring(players: int, count: int) -> float:
    done = threading.Event()
    refs = [Player.start(count // players, done) for _ in range(players)]
    for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
        ref.tell(following)
    rate = Rate()
    refs[0].tell("ball")
    done.wait()
    return _ended(rate.of(count))


def _fan_in(count: int) -> float:
    done = threading.Event()
    each = count // 100
    counter = Counter.start(each * 100, done)
    senders = [Sender.start(counter, each, 100) for _ in range(100)]
    rate = Rate()
    for sender in senders:
        sender.tell("more")
    done.wait()
    return _ended(rate.of(each * 100))


def _spawn(meter: type[Meter], count: int) -> float:
    started = meter()
    for _ in range(count):
        Counter.start(-1, None)
    return _ended(started.of(count))


def _skynet(leaves: int) -> float:
    done = threading.Event()
    found = Counter.start(1, done)
    rate = Rate()
    Node.start(found, 0, leaves).tell("explore")
    done.wait()
    return _ended(rate.of(len(pykka.ActorRegistry.get_all()) - 1))


def _ended(found: float) -> float:
    pykka.ActorRegistry.stop_all()
    return found


WORKLOADS = {
    "tell": _tell,
    "ask": _ask,
    "ping-pong": partial(_ring, 2),
    "fan-in": _fan_in,
    "ring": partial(_ring, 500),
    "spawn": partial(_spawn, Rate),
    "skynet": _skynet,
    "idle": partial(_spawn, Bytes),
}
