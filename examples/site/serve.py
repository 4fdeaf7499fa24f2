"""The finished site on loopback, for a browser."""

from __future__ import annotations

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
    """Serves a folder. Takes its port at once, so that a wrong one is found before the work; 0: any."""

    def __init__(self, folder: Path, port: int) -> None:
        handler = partial(_Handler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler, bind_and_activate=False)
        self._server.daemon_threads = True
        try:
            self._server.server_bind()
        except OSError as error:
            self._server.server_close()
            raise PortUnusable(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror}. Choose another --port"
            ) from error

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def serve_until_interrupted(self) -> None:
        """Answer requests until Ctrl-C."""
        self._server.server_activate()
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()
