"""A database server of one's own: found, started on a free port with a database on disk, harmed, ended."""

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
from typing import Self

from sentient_core.errors import StoreUnavailable

__all__ = ["PASSWORD", "USER", "VARIABLE", "DatabaseServer", "server_program", "server_version"]

VARIABLE = "SENTIENT_TEST_SURREAL"
"""The environment variable that names the program; else it is looked for on PATH."""
USER, PASSWORD = "root", "S3cret-of-the-tests"

_START_SECONDS = 20.0


def server_program() -> str | None:
    """The server's program: as the environment says, or on PATH. None if there is none.

    Raises StoreUnavailable for a variable that names nothing: who sets it wants that server.
    """
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or "surreal")
    if named is not None and found is None:
        raise StoreUnavailable(f"{VARIABLE}={named} is no program that can be run")
    return found


def server_version(program: str) -> str:
    """What it says of itself; `unknown` if it says nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's environment names
            [program, "version"], capture_output=True, text=True, timeout=_START_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().split(" ")[0] or "unknown"


class DatabaseServer:
    """One server process, as a context manager; it can be killed and started again, on its port and data.

    Starting blocks for a third of a second: call it from a thread where an event loop runs.
    """

    def __init__(self, program: str, directory: Path, *options: str, **environment: str) -> None:
        self._program = program
        self._directory = directory
        self._options = options
        # Never its `memory`: now and then that of 3.2 commits conflicting transactions (surrealdb#7473).
        self._place = f"surrealkv://{directory}/served"
        self._environment = environment
        self._databases = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._reserved: socket.socket = _bound()
        self.port: int = self._reserved.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reserved.close()

    def url(self, scheme: str = "ws") -> str:
        """Its address."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def fresh_database(self) -> str:
        """The name of a database nobody has used."""
        return f"test{next(self._databases)}"

    def start(self) -> None:
        """Return when it takes connections. Raises StoreUnavailable if it does not."""
        self._start(self.port)

    def kill(self) -> None:
        """End it as `kill -9` does. Of one that has ended: nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def start_again(self) -> None:
        """Return when it takes connections again, after `kill`.

        A kill can leave half a record in its log, behind which it writes on, and where its next start stops
        reading (SurrealDB 3.2.5; see `Engine`). It ends the log when it ends in order: so it does that once,
        at an address where nobody finds it.
        """
        with _bound() as aside:
            port: int = aside.getsockname()[1]
            self._start(port)
            health = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
            health.request("GET", "/health")
            health.getresponse()
            health.close()
            process, self._process = self._process, None
            if process is not None:
                process.terminate()
                if process.wait(_START_SECONDS) != 0:
                    raise StoreUnavailable(f"{self._program} did not end in order")
        self.start()

    def pause(self) -> None:
        """Connections stay, nothing is answered from the return of this call on."""
        process = self._signal(signal.SIGSTOP)
        # Where there is much to do, some of its threads go on for a while: wait until the last one stands.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def _start(self, port: int) -> None:
        path = self._directory / "server.log"
        with path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program that the user's environment names
                [
                    self._program,
                    *("start", "--no-banner", "--log", "error", "--user", USER, "--pass", PASSWORD),
                    *("--bind", f"127.0.0.1:{port}"),
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
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise StoreUnavailable(
                        f"{self._program} does not listen: {path.read_text(errors='replace')[-2000:]}"
                    ) from None
                time.sleep(0.01)
            else:
                return

    def _signal(self, number: signal.Signals) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise StoreUnavailable("the server is not running")
        self._process.send_signal(number)
        return self._process


def _bound() -> socket.socket:
    """A free port, and whoever else looks for one gets another as long as this socket is open.

    While the server is away, too: an outgoing connection may have taken the port by then, even one to the
    server, which is then connected to itself. A server listens beside the socket, since it does not.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    return found
