"""The finished site is served on loopback until somebody ends it."""

from __future__ import annotations

import re
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.examples.process import Site


@pytest.mark.parametrize("options", [[], ["--kill"]], ids=["plainly", "killed"])
def test_the_site_is_served_until_ctrl_c(source: Path, out: Path, options: list[str]) -> None:
    with Site(source, out, "asyncio", "--seed=1").started("--serve", *options) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found:
                break
        else:
            raise AssertionError("it was not served")
        with urllib.request.urlopen(f"{found[0]}guide/chapter-1.html", timeout=10) as answer:
            assert answer.read() == (out / "guide" / "chapter-1.html").read_bytes()
            assert answer.headers["Content-Type"] == "text/html"
        process.send_signal(signal.SIGTERM if options else signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == (143 if options else 0)
    assert errors == ""
