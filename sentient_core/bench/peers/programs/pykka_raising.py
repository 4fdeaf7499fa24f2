"""A pykka worker that raises now and then, started again by its parent, which is written by hand.

A pykka actor ends with an exception that nobody is told of but itself, and its queue ends with it. Here its
`on_failure` tells the parent, which senders know in its place. By default the parent hands each message on at
once. In the variant `keeps` it hands on the next one when the one before is done, so that none waits where it
can be lost, at the price of a message back for each.
"""

from __future__ import annotations

import importlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child, Jobs

__all__ = ["run"]

_pykka: Any = importlib.import_module("pykka")
_TIMEOUT = 60.0
_FAILED, _DONE, _SETTLED = "failed", "done", "settled"


class _Worker(_pykka.ThreadingActor):  # type: ignore[misc]
    """Does jobs, and raises at some."""

    def __init__(self, jobs: Jobs, parent: Any, *, tells: bool) -> None:
        _pykka.ThreadingActor.__init__(self)
        self._jobs = jobs
        self._parent = parent
        self._tells = tells

    def on_receive(self, message: Any) -> None:
        if isinstance(message, int):
            self._jobs.handle(message)
        else:
            self._jobs.resumed()
            if message is not _SETTLED:
                message.set(None)  # the future of one who waits until all is settled
        if self._tells:
            self._parent.tell(_DONE)

    def on_failure(self, *_: object) -> None:
        self._parent.tell(_FAILED)


class _ForwardingParent(_pykka.ThreadingActor):  # type: ignore[misc]
    """Starts the worker again, and hands on what comes meanwhile; what waited with the worker is gone."""

    def __init__(self, jobs: Jobs) -> None:
        _pykka.ThreadingActor.__init__(self)
        self._jobs = jobs
        self._waiting: list[int] = []
        self._worker: Any = None

    def on_start(self) -> None:
        self._worker = _Worker.start(self._jobs, self.actor_ref, tells=False)

    def on_receive(self, message: Any) -> Any:
        if message is _SETTLED:
            return self._worker.ask(_SETTLED, block=False)
        if message is _FAILED:
            self.on_start()
            waiting, self._waiting = self._waiting, []
            for number in waiting:
                self._hand_on(number)
        else:
            self._hand_on(message)
        return None

    def _hand_on(self, number: int) -> None:
        try:
            self._worker.tell(number)
        except _pykka.ActorDeadError:
            self._waiting.append(number)


class _KeepingParent(_pykka.ThreadingActor):  # type: ignore[misc]
    """Starts the worker again, and keeps what it is not at work on."""

    def __init__(self, jobs: Jobs) -> None:
        _pykka.ThreadingActor.__init__(self)
        self._jobs = jobs
        self._waiting: deque[Any] = deque()
        self._is_busy = False
        self._worker: Any = None

    def on_start(self) -> None:
        self._worker = _Worker.start(self._jobs, self.actor_ref, tells=True)

    def on_receive(self, message: Any) -> Any:
        answer = None
        if message is _FAILED:
            self.on_start()
            self._is_busy = False
        elif message is _DONE:
            self._is_busy = False
        elif message is _SETTLED:
            answer = _pykka.ThreadingFuture()
            self._waiting.append(answer)
        else:
            self._waiting.append(message)
        if self._waiting and not self._is_busy:
            self._is_busy = True
            self._worker.tell(self._waiting.popleft())
        return answer


def run(child: Child) -> dict[str, Any]:
    """Do all jobs, and return what became of them."""
    jobs = child.jobs()
    cls: Any = _KeepingParent if child.plan.variant == "keeps" else _ForwardingParent
    parent = cls.start(jobs)
    for batch in jobs.batches():
        for number in batch:
            parent.tell(number)
        _settle(parent)
        time.sleep(jobs.pause)
    return jobs.result()


def _settle(parent: Any) -> None:
    while True:
        try:
            parent.ask(_SETTLED, timeout=_TIMEOUT).get(timeout=_TIMEOUT)
        except _pykka.ActorDeadError:  # it waited with a worker that has raised
            continue
        return
