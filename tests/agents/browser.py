"""A real browser for tests: Chromium without a window, which prints the page as it has come to be."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import anyio
import pytest
from anyio import to_thread

__all__ = ["find_browser", "opened"]

VARIABLE = "SENTIENT_TEST_CHROMIUM"
_SECONDS = 60.0


def find_browser() -> str:
    """The browser's program: as the environment says, or on PATH. Skips the test when there is none."""
    named = os.environ.get(VARIABLE)
    for name in (named,) if named is not None else ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    assert named is None, f"{VARIABLE}={named} is no program that can be run"
    pytest.skip(f"no browser: install Debian's `chromium`, or set {VARIABLE}")


async def opened(url: str) -> str:
    """What the page is in a browser, as HTML, once it is loaded."""
    program = find_browser()

    def run() -> str:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            done = subprocess.run(
                [
                    *(
                        program,
                        "--headless",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-quic",
                        "--no-first-run",
                    ),
                    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
                    *(f"--user-data-dir={profile}", "--dump-dom", url),
                ],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

    with anyio.fail_after(_SECONDS + 10):
        return await to_thread.run_sync(run)
