"""The finished site on loopback, for a browser."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from examples.site.errors import PortUnusable

__all__ = ["SiteServer"]


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Nothing: the terminal belongs to the report."""

    def end_headers(self) -> None:
        # The next run may change what is there.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class SiteServer:
    """Serves a folder. Takes its port at once, so that a wrong one is found before the work; 0: any.

    Whoever comes before `serve_until_interrupted` waits for it.
    """

    def __init__(self, folder: Path, port: int) -> None:
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
        except OSError as error:
            where = f"127.0.0.1:{port}"
            raise PortUnusable(
                f"cannot listen on {where}: {error.strerror}. Choose another --port"
            ) from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def serve_until_interrupted(self) -> None:
        """Answer requests until Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()
