"""Golden histories: new code is given what a run got from outside, and has to do what was done then.

Design note. A replay starts the same actors on an empty store in memory, sends them what came from outside at
the same times of the loop's clock, and compares actor by actor: each actor's turns are in an order, those of
different actors are not. Ids and times of the wall clock are no part of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel

from sentient_core.actors.ref import cell_of
from sentient_core.actors.stored_letter import decoded
from sentient_core.errors import InvalidArgument, NotRedrivable, UnknownActor
from sentient_core.store import MemoryStore
from sentient_core.system import ActorSystem, runtime_of
from sentient_core.testing.history import Diverged, History, Input, compare
from sentient_core.testing.recorded_store import RecordedStore

__all__ = ["record_history", "replay_history"]

Play: TypeAlias = Callable[[ActorSystem], Awaitable[object]]

_ASK_SECONDS = 1e6
_LOOK_SECONDS, _MOST_LOOK_SECONDS = 0.001, 1.0
"""Between two looks whether all is quiet: at first, and at most. Of virtual time there may be hours."""
_MOST_PASSES = 1_000


async def record_history(start: Play, drive: Play, *, name: str = "golden") -> History:
    """Run a system in memory: `start` spawns actors, `drive` sends to them; return what the durable ones did.

    ::

        history = await record_history(start, drive)
        history.save("tests/golden/bank.json")

    Begins with an empty store, and ends when nothing is left to do. Raises InvalidArgument for a run in which
    no durable actor has handled anything: replayed, it would never diverge.
    """
    store = RecordedStore(MemoryStore())
    async with ActorSystem(name, store=store) as system:
        await start(system)
        await drive(system)
        await _quiet(system)
    return _telling(store.history)


async def replay_history(history: History | str | Path, start: Play, *, name: str = "golden") -> History:
    """Give new code what a history has from outside; raise Diverged at the first turn that is another one.

    ::

        await replay_history("tests/golden/bank.json", start)

    `start` has to spawn the same actors at the same paths. What came from outside comes at the same times of
    the loop's clock: under `virtual_clock` that costs nothing. What else the turns depend on (random numbers,
    the wall clock, `once` with the world outside) has to be the same as well, or not to show in states and
    messages. Returns what the new code did. Raises InvalidArgument for a history without a turn.
    """
    __tracebackhide__ = True
    golden = _telling(history if isinstance(history, History) else History.load(history))
    store = RecordedStore(MemoryStore())
    async with ActorSystem(name, store=store) as system:
        begin = anyio.current_time()
        await start(system)
        unfit: Diverged | None = None
        async with anyio.create_task_group() as asks:
            for number, given in enumerate(golden.inputs, 1):
                await _sleep_until(begin + given.at)
                try:
                    _send(system, given, asks.start_soon)
                except Diverged as error:
                    unfit = error
                    break
                await _accepted(store.history, number)
            if unfit is None:
                await _sleep_until(begin + golden.lasted)
                await _quiet(system)
            asks.cancel_scope.cancel()
        if unfit is not None:
            raise unfit
    compare(golden.turns, store.history.turns)
    return store.history


def _telling(history: History) -> History:
    if not history.turns:
        raise InvalidArgument(
            "this history has no turn, so any code does the same: recorded is what durable actors handle, "
            'and by default actors are mirrored (durability = "durable")'
        )
    return history


async def _sleep_until(time: float) -> None:
    """On a real clock it may be over already."""
    await anyio.sleep(max(0.0, time - anyio.current_time()))


def _send(system: ActorSystem, given: Input, run: Callable[..., object]) -> None:
    try:
        ref = system.get(given.target)
        blueprint = cell_of(ref).blueprint
        message = decoded(given.message_type, given.exact, blueprint, runtime_of(system, "replay").codec)
    except UnknownActor as error:
        raise Diverged(_no_more(given, str(error))) from error
    except NotRedrivable as error:
        why = f"{error.why}. Stored bytes are read as what an @handles of it takes; on_receive names no type"
        raise Diverged(_no_more(given, why)) from error
    if given.is_ask:
        run(_ask, ref, message)
    else:
        ref.tell(message)


def _no_more(given: Input, why: str) -> str:
    return f"{given.message_type} {given.message} cannot be given to '{given.target}' any more: {why}"


async def _ask(ref: Any, message: object) -> None:
    try:
        await ref.ask(message, timeout=_ASK_SECONDS)
    except Exception:  # noqa: BLE001 - what comes of it is in the turns
        return


async def _accepted(history: History, number: int) -> None:
    """An ask is under way in a task of its own: what comes behind it has to wait until it has come."""
    for _ in range(_MOST_PASSES):
        if len(history.inputs) >= number:
            return
        await anyio.lowlevel.checkpoint()


async def _quiet(system: ActorSystem) -> None:
    """Return when no actor has anything to do, and all of it is in the store."""
    runtime = runtime_of(system, "wait until it is quiet")
    seconds = _LOOK_SECONDS
    while runtime.dispatcher.busy or any(cell.mailbox.queue for cell in runtime.registry):
        await anyio.sleep(seconds)
        seconds = min(2 * seconds, _MOST_LOOK_SECONDS)
    await system.flush()
