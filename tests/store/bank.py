"""A process for tests: an actor system on a database server, whose clerk notes a number after the other.

`python -m tests.store.bank URL BACKEND` prints `committed N` and ends as services do, with an exit code.
"""

from __future__ import annotations

import sys

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, SentientError, handles
from sentient_core.store import SurrealStore
from tests.store.server import PASSWORD, USER


class Note(msgspec.Struct, frozen=True):
    """A number to be noted."""

    number: int


class Clerk(Actor):
    """Notes numbers."""

    @handles
    def note(self, message: Note) -> None:
        """Its being there is the note: every message is an event."""


async def main(url: str) -> int:
    """Work until the system ends."""
    code = 1
    async with (
        SurrealStore(url, username=USER, password=PASSWORD, call_timeout=5.0) as store,
        ActorSystem("bank", store=store) as system,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(write, system)
        code = await system.run_until_signal()
        tasks.cancel_scope.cancel()
    return int(code)


async def write(system: ActorSystem) -> None:
    """Say what is committed, one by one."""
    clerk = await system.spawn(Clerk, name="clerk")
    number = 0
    while True:
        number += 1
        try:
            await clerk.send(Note(number))
            await system.flush()
        except SentientError:  # the system ends, and says by its exit code why
            await anyio.sleep_forever()
        print(f"committed {number}", flush=True)  # noqa: T201 - it is what the test reads


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1], backend=sys.argv[2]))
