"""A database server for tests: found, started on a free port with a database of its own, ended."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from sentient_core.store import SurrealStore

VARIABLE = "SENTIENT_TEST_SURREAL"
USER, PASSWORD = "root", "S3cret-of-the-tests"

_START_SECONDS = 20.0


def find_program() -> str:
    """The server's program: as the environment says, or on PATH. Skips the test when there is none.

    A variable that names nothing is an error: who sets it wants these tests.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        found = shutil.which(named)
        assert found is not None, f"{VARIABLE}={named} is no program that can be run"
        return found
    found = shutil.which("surreal")
    if found is None:
        pytest.skip(f"no SurrealDB server: put `surreal` on PATH, or set {VARIABLE}")
    return found


class Server:
    """One server process. It can be killed and started again, on the same port and database."""

    def __init__(self, directory: Path, *options: str, is_on_disk: bool = True, **environment: str) -> None:
        self._program = find_program()
        self._directory = directory
        self._options = options
        self._place = f"surrealkv://{directory}/served" if is_on_disk else "memory"
        self._environment = environment
        self._databases = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def url(self, scheme: str = "ws") -> str:
        """Its address."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def store(self, scheme: str = "ws", **settings: Any) -> SurrealStore:
        """A store on it, with the rights of its owner."""
        arguments: dict[str, Any] = {"username": USER, "password": PASSWORD} | settings
        return SurrealStore(self.url(scheme), **arguments)

    def fresh_database(self) -> str:
        """The name of a database nobody has used."""
        return f"test{next(self._databases)}"

    def start(self) -> None:
        """Return when it takes connections."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    *("start", "--no-banner", "--log", "error", "--user", USER, "--pass", PASSWORD),
                    *("--bind", f"127.0.0.1:{self.port}"),
                    *self._options,
                    self._place,
                ],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                assert self._process.poll() is None, (self._directory / "server.log").read_text()
                assert time.monotonic() < end, "the server does not listen"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it as `kill -9` does. Of one that has ended: nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def start_again(self) -> None:
        """Return when it takes connections again, after `kill`.

        A kill can leave half a record in its log, behind which it writes on, and where its next start stops
        reading (SurrealDB 3.2.5; see `Engine`). It ends the log when it ends in order: so it does that once.
        """
        self.start()
        health = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)
        health.request("GET", "/health")
        health.getresponse()
        health.close()
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        assert process.wait(_START_SECONDS) == 0
        self.start()

    def pause(self) -> None:
        """Connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on as if nothing had been."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that no authority has signed, and its key. Skipped without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program that makes a certificate")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
