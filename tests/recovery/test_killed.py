"""A process dies again and again while it takes up what it has left: each message has its effect once."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import ClassVar

import anyio

from sentient_core import MailboxOptions, handles
from sentient_core.store import SurrealStore
from tests.conftest import ONCE
from tests.recovery.books import Book, Fan, Lines, SendTo, Write, system_on

COUNT = 300


class Mortal(Book, tag="mortal"):
    """Takes its process along at one line, before that is committed."""

    mailbox = MailboxOptions(capacity=8)
    deadly: ClassVar[int] = -1
    gate: ClassVar[anyio.Event | None] = None

    @handles
    async def write(self, message: Write) -> None:
        if Mortal.gate is not None:
            await Mortal.gate.wait()
        if message.line == Mortal.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.state.lines.append(message.line)


@ONCE
async def test_nothing_is_lost_doubled_or_out_of_order(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    for deadly in (0, 5, 6, 50, 200, COUNT - 1):
        with anyio.fail_after(60):
            child = await anyio.run_process(
                [sys.executable, "-P", "-c", _CHILD, url, str(deadly)], check=False
            )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    async with SurrealStore(url) as store, system_on(store) as system:
        recovered = await system.recover([Mortal, Fan])
        assert dict(recovered.skipped) == {}
        assert await system.get("desk").ask(Lines(), timeout=10) == list(range(COUNT))
        assert await system.get("mortal/v").ask(Lines(), timeout=10) == list(range(COUNT))
        audit = await system.audit()
        assert audit.is_balanced, str(audit)
        assert system.dead_letters.total == 0


_CHILD = """
import sys
from anyio import run
from tests.recovery.test_killed import go_on_and_die
run(go_on_and_die, sys.argv[1], int(sys.argv[2]))
"""


async def go_on_and_die(url: str, deadly: int) -> None:
    """In a child: goes on where the one before has died, until it comes to a line."""
    async with SurrealStore(url) as store, system_on(store) as system:
        Mortal.deadly = deadly
        Mortal.gate = anyio.Event()
        if deadly == 0:
            fan = await system.spawn(Fan, name="fan")
            book = await system.spawn(Mortal, name="desk")
            lines = tuple(range(COUNT))
            await fan.send(SendTo(book, lines))
            await fan.send(SendTo(await system.get_or_spawn(Mortal, "v"), lines))
            await system.flush()
        await system.recover([Mortal, Fan])
        Mortal.gate.set()
        await anyio.sleep_forever()
