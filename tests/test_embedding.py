"""A system inside of somebody else's program: it comes, works and goes, and changes nothing around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

PROBE = """
import asyncio, json, logging, signal, sys, threading

import anyio, structlog
from sentient_core import Actor, ActorSystem, Request, handles

class Ask(Request[int], frozen=True):
    pass

class Answers(Actor):
    @handles
    def answer(self, message: Ask) -> int:
        return 42

    @handles
    def fail(self, message: str) -> None:
        raise ValueError(message)

def wakeup_fd():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd

def policy():
    # Asking for it in public is deprecated. asyncio makes the default one when it first needs it.
    found = getattr(asyncio.events, "_event_loop_policy", None)
    return "default" if found is None or "Default" in type(found).__name__ else repr(found)

def picture():
    return {
        "signals": {str(number): repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "wake-up of signals": wakeup_fd(),
        "root handlers": [repr(handler) for handler in logging.root.handlers],
        "root level": logging.root.level,
        "loggers": sorted(name for name in logging.root.manager.loggerDict if name.startswith("sentient")),
        "structlog": structlog.is_configured(),
        "policy": policy(),
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook)],
        "switch interval": sys.getswitchinterval(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }

async def embed(store):
    async with ActorSystem("guest", store=store) as system:
        ref = await system.spawn(Answers, name="a")
        ref.tell("fails once")
        assert await ref.ask(Ask(), timeout=10) == 42
        await system.flush()
        during.update(picture())

def in_thread(store, backend):
    with ActorSystem("guest", store=store).in_thread(backend=backend) as guest:
        assert guest.ask(guest.spawn(Answers, name="a"), Ask(), timeout=10) == 42
        during.update(picture())

how, backend, store = sys.argv[1:]
during = {}

async def program():
    before = picture()
    await embed(store)
    return before, picture()

if how == "inside":
    before, after = anyio.run(program, backend=backend)
else:
    anyio.run(anyio.sleep, 0, backend=backend)  # what the event loop does by itself
    before = picture()
    in_thread(store, backend)
    after = picture()
print(json.dumps([before, during, after]), file=sys.stderr)
"""


@pytest.mark.parametrize("how", ["inside", "in a thread"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_process_is_afterwards_as_it_was_before(how: str, backend: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", PROBE, how, backend, f"surrealkv://{tmp_path / 'db'}"],
        cwd=ROOT,
        env=os.environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    before, during, after = _pictures(done.stderr)

    assert after == before
    assert {**during, "threads": before["threads"]} == before, "not even while it runs"


def _pictures(text: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    before, during, after = json.loads(text.splitlines()[-1])
    return before, during, after
