"""The web service as it is run: a process with uvicorn in it, asked over loopback."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from examples.service import service

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0


class Served:
    """The service in a process of its own."""

    def __init__(self, store: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-m", "examples.service", f"--store={store}", "--port=0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self._port()
        self._rest: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """One request: status and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def hang_up(self, method: str, path: str) -> None:
        """Make a request and go away without waiting for the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as client:
            client.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def end(self, number: signal.Signals) -> tuple[str, str]:
        """Send a signal; what it wrote to stdout and stderr until its end."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return out, "".join(self._rest)

    def close(self) -> None:
        """Whatever state it is in."""
        self.process.kill()
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _port(self) -> int:
        assert self.process.stderr is not None
        lines: list[str] = []
        for line in self.process.stderr:
            lines.append(line)
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found[1])
        self.process.communicate(timeout=TIMEOUT)
        raise AssertionError(f"it did not start:\n{''.join(lines)}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._rest.extend(self.process.stderr)


@contextmanager
def served(store: str) -> Generator[Served, None, None]:
    it = Served(store)
    try:
        yield it
    finally:
        it.close()


def test_it_asks_actors_and_says_how_it_is() -> None:
    with served("mem://") as books:
        assert books.ask("GET", "/health") == (200, {"status": "running", "reasons": [], "books": 0})
        assert books.ask("POST", "/books/paris/Ada") == (200, 1)
        assert books.ask("POST", "/books/paris/Bob") == (200, 2)
        assert books.ask("POST", "/books/rome/Cid") == (200, 1)
        assert books.ask("GET", "/books/paris") == (200, ["Ada", "Bob"])
        assert books.ask("GET", "/health")[1]["books"] == 2
        status, body = books.ask("GET", "/books/$")
        assert (status, "cannot be a name" in body["error"]) == (400, True)


def test_a_client_that_disconnects_ends_only_its_own_ask() -> None:
    name = "A" * 50  # half a second's writing
    with served("mem://") as books:
        books.hang_up("POST", f"/books/paris/{name}")

        give_up = time.monotonic() + TIMEOUT
        while name not in books.ask("GET", "/books/paris")[1]:
            assert time.monotonic() < give_up, "the actor did not go on"

        assert books.ask("POST", "/books/paris/Bob") == (200, 2)
        assert books.ask("GET", "/health")[0] == 200
        out, _ = books.end(signal.SIGTERM)
        assert "A client has gone; its book is written all the same." in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_the_books_are_there_again(
    number: signal.Signals, tmp_path: Path
) -> None:
    store = f"surrealkv://{tmp_path / 'books.db'}"
    with served(store) as books:
        books.ask("POST", "/books/paris/Ada")
        out, err = books.end(number)

        assert out.splitlines()[-1] == "The books are closed."
        assert "Application shutdown complete" in err
        assert "Traceback" not in err.partition("KeyboardInterrupt")[0]
        assert books.process.returncode in {-number, 128 + number, 1, 0}

    with served(store) as books:
        assert books.ask("POST", "/books/paris/Bob") == (200, 2)
        assert books.ask("GET", "/books/paris") == (200, ["Ada", "Bob"])
        books.process.kill()
        books.process.wait(TIMEOUT)

    with served(store) as books:
        assert books.ask("GET", "/books/paris") == (200, ["Ada", "Bob"])


async def test_while_the_system_does_not_run_it_is_not_ready() -> None:
    """A probe that comes before the lifespan has begun."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/health",
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    await service("mem://")(scope, receive, send)

    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["reasons"] == ["it has not been entered yet"]
