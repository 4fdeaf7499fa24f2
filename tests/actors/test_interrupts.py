"""KeyboardInterrupt and SystemExit are nobody's failure: they end the program, and never hang it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.long import few

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
import anyio
from sentient_core import Actor, ActorSystem, MemoryStore, handles

class Raiser(Actor):
    kill_grace = 0.02

    def __init__(self, error, given_up):
        self.error = error
        self.given_up = given_up

    @handles
    def sync(self, message: int) -> None:
        raise self.error

    @handles
    async def suspended(self, message: str) -> None:
        await anyio.sleep(0.01)
        raise self.error

    @handles
    async def abandoned(self, message: bytes) -> None:
        with anyio.CancelScope(shield=True):
            await self.given_up.wait()
        raise self.error

    @handles
    def harmless(self, message: float) -> None:
        pass

class Other(Actor):
    def on_start(self):
        print("other started", flush=True)

    async def on_stop(self):
        await anyio.sleep(0.01)
        print("other stopped", flush=True)

async def main(backend, error, message):
    async with ActorSystem("test", store=MemoryStore()) as system:
        await system.spawn(Other, name="other")
        given_up = anyio.Event()
        ref = await system.spawn(Raiser, error, given_up, name="raiser", restart="permanent")
        if message is not None:
            ref.tell(message)
            ref.tell(2.0)  # the actor has more to do when the first one ends the program
        if isinstance(message, bytes):
            await anyio.sleep(0.01)
            await ref.kill()
            given_up.set()
        print("ready", flush=True)
        await anyio.sleep(60)
    print("not reached", flush=True)

errors = {"exit": SystemExit(7), "interrupt": KeyboardInterrupt()}
messages = {"sync": 1, "suspended": "x", "abandoned": b"x", "none": None}
backend, error, message = sys.argv[1:]
anyio.run(main, backend, errors[error], messages[message], backend=backend)
"""


def _start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"the program hangs; it wrote:\n{out}\n{err}")


WAYS = [
    ("asyncio", "sync", "exit"),
    ("trio", "sync", "interrupt"),
    ("asyncio", "suspended", "interrupt"),
    ("trio", "suspended", "exit"),
    ("asyncio", "sync", "interrupt"),
    ("trio", "sync", "exit"),
    ("asyncio", "suspended", "exit"),
    ("trio", "suspended", "interrupt"),
]


@pytest.mark.parametrize(("backend", "where", "error"), few(WAYS, 4))
def test_what_ends_the_program_is_not_supervised(backend: str, where: str, error: str) -> None:
    process = _start(backend, error, where)

    out, err = _end(process)

    assert process.returncode != 0
    assert "not reached" not in out
    assert ("SystemExit" if error == "exit" else "KeyboardInterrupt") in err or process.returncode == 7
    kind = "SystemExit" if error == "exit" else "KeyboardInterrupt"
    assert f"{kind} ended the program while handling it" in out + err
    assert "killed" not in out + err
    assert out.count("other started") == 1
    assert "other stopped" in out, "the other actors were not stopped in order"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", ["exit", "interrupt"])
def test_what_ends_the_program_in_an_abandoned_handler_does_so(backend: str, error: str) -> None:
    process = _start(backend, error, "abandoned")

    out, err = _end(process)

    assert process.returncode != 0
    assert "not reached" not in out
    assert ("SystemExit" if error == "exit" else "KeyboardInterrupt") in err or process.returncode == 7
    assert "HandlerAbandoned" in out + err
    assert "other stopped" in out, "the other actors were not stopped in order"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_stops_the_actors_in_order(backend: str) -> None:
    process = _start(backend, "exit", "none")
    assert process.stdout is not None
    while "ready" not in process.stdout.readline():
        pass

    process.send_signal(signal.SIGINT)
    out, err = _end(process)

    assert "KeyboardInterrupt" in err
    assert "other stopped" in out
