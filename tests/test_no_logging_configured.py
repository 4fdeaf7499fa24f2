"""A library configures nothing: whoever imports it keeps its own logging, threads and event loop."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, TypeAlias

import pytest

PROBE = """
import asyncio, json, logging, signal, sys, threading, warnings

import structlog

def picture():
    return {
        "root handlers": [repr(handler) for handler in logging.root.handlers],
        "root level": logging.root.level,
        "disabled": logging.root.manager.disable,
        "structlog": structlog.is_configured(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "hooks": [
            sys.excepthook is sys.__excepthook__,
            sys.unraisablehook is sys.__unraisablehook__,
            threading.excepthook is threading.__excepthook__,
        ],
        "SIGINT": repr(signal.getsignal(signal.SIGINT)),
        "SIGTERM": repr(signal.getsignal(signal.SIGTERM)),
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
    }

before = picture()
import sentient_core
after = picture()
handlers = {
    name: [repr(handler) for handler in logger.handlers if not isinstance(handler, logging.NullHandler)]
    for name, logger in logging.root.manager.loggerDict.items()
    if name.startswith("sentient_core") and isinstance(logger, logging.Logger)
}
print(json.dumps([before, after, handlers, sorted(sys.modules)]))
"""


Probe: TypeAlias = tuple[dict[str, Any], dict[str, Any], dict[str, list[str]], list[str]]


@pytest.fixture(scope="module")
def probe() -> Probe:
    """The process before and after `import sentient_core`, its loggers' handlers, all modules loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", PROBE], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    before, after, handlers, modules = json.loads(done.stdout)
    return before, after, handlers, modules


def test_importing_changes_nothing_in_the_process(probe: Probe) -> None:
    before, after, _, _ = probe

    assert after == before


def test_importing_adds_no_handler_to_our_loggers(probe: Probe) -> None:
    _, _, handlers, _ = probe

    assert not any(handlers.values())


def test_importing_loads_neither_the_sdk_nor_tools(probe: Probe) -> None:
    _, _, _, modules = probe

    # The SDK takes half a second: it is loaded when a database is opened, if at all. The rest belongs to the
    # extras (so does rich, but structlog loads it when it is there).
    heavy = {"surrealdb", "aiohttp", "click", "jinja2", "pytest", "hypothesis"}
    assert heavy & set(modules) == set()
