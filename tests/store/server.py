"""A database server for tests: the benchmark's, with what tests want of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentient_core.bench.server import PASSWORD, USER, DatabaseServer, server_program
from sentient_core.store import SurrealStore

__all__ = ["PASSWORD", "USER", "Server", "find_program", "make_certificate"]


def find_program() -> str:
    """The server's program: as the environment says, or on PATH. Skips the test when there is none.

    A variable that names nothing is an error: who sets it wants these tests.
    """
    found = server_program()
    if found is None:
        pytest.skip("no SurrealDB server: put `surreal` on PATH, or set SENTIENT_TEST_SURREAL")
    return found


class Server(DatabaseServer):
    """One server process. It can be killed and started again, on the same port and database."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        super().__init__(find_program(), directory, *options, **environment)

    def store(self, scheme: str = "ws", **settings: Any) -> SurrealStore:
        """A store on it, with the rights of its owner."""
        arguments: dict[str, Any] = {"username": USER, "password": PASSWORD} | settings
        return SurrealStore(self.url(scheme), **arguments)


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
