"""Where an agent puts files that it makes and has them shown: a folder of this machine, served on loopback.

The original design speaks of a WebContainer, which is a Node.js inside of a browser and has no place in a
Python process. What an agent needs of it is small enough for a protocol: take files, serve them, say where.
`LocalSandbox` is that without any program besides this one; whoever has a real container writes a class with
`run_async` of their own.

It confines files, not code: nothing in them is run on this side. What the scripts of a page may do is the
business of the browser that opens it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

import anyio
from anyio import to_thread
from anyio.abc import SocketListener, TaskGroup, TaskStatus

from sentient_core.agents.confined import ConfinedDirectory
from sentient_core.agents.sandbox_paths import Parts, parts_of
from sentient_core.agents.serving import DirectoryServer
from sentient_core.errors import (
    InvalidArgument,
    InvalidSandboxRequest,
    SandboxClosed,
    SandboxFileTooLarge,
    SandboxUnusable,
    UnknownSandboxCommand,
)

__all__ = ["LocalSandbox", "SandboxTool"]

_FILE_BYTES = 16 * 2**20
_FILES = 1_000
_COMMANDS = ("serve",)
_LOOPBACK = "127.0.0.1"
_PAUSE_SECONDS = 0.1
_EXAMPLE = "{'files': {'index.html': '...'}, 'commands': ['serve']}"


class SandboxTool(Protocol):
    """What agents deploy with."""

    async def run_async(self, action: dict[str, Any], /) -> Mapping[str, Any]:
        """Put `action["files"]` (contents by path) in place, then run `action["commands"]` in their order.

        After the command `serve` the answer's `url` says where the files can be opened. It may be called
        again with the same: an agent that was killed meanwhile does.
        """
        ...


class LocalSandbox:
    """A sandbox in a directory, for one agent: its files are those of the last call that named them.

    ::

        async with LocalSandbox("site") as sandbox:
            answer = await sandbox.run_async({"files": {"index.html": "<p>Hello"}, "commands": ["serve"]})
            answer["url"]  # http://127.0.0.1:49152/, until the block ends, or `aclose`

    The directory is made if it is not there, and stays when the sandbox is closed; no other sandbox can use
    it meanwhile. `port` 0 takes a free one; with one of your own the address is the same after a restart of
    the process. A file may have `file_bytes`.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, port: int = 0, file_bytes: int = _FILE_BYTES
    ) -> None:
        self.directory: Path = Path(directory)
        self._port = _checked("port", port, 0, 65_535)
        self._file_bytes = _checked("file_bytes", file_bytes, 1, 2**40)
        self._confined: ConfinedDirectory | None = None
        self._tasks: TaskGroup | None = None
        self._server: TaskGroup | None = None
        self._has_ended = anyio.Event()
        """The server has, and every connection to it. Of each server its own."""
        self._one_at_a_time = anyio.Lock()
        self._is_closed = False
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"<LocalSandbox '{self.directory}': {self._url or 'not served'}>"

    @property
    def url(self) -> str | None:
        """Where the files are served. None: they are not."""
        return self._url

    async def __aenter__(self) -> Self:
        """Raises SandboxUnusable: the directory cannot be made or written, or another sandbox has it."""
        if self._tasks is not None or self._is_closed:
            raise SandboxClosed("it was entered before: make a new one")
        self._confined = await to_thread.run_sync(ConfinedDirectory, self.directory)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        await self.aclose()
        if self._tasks is None:
            return None
        # The body's own exception passes as it is; the task group sees cancellations alone.
        if error is None or isinstance(error, Exception):
            await self._tasks.__aexit__(None, None, None)
            return False
        return await self._tasks.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Serve no longer, and let go of the directory. Again: nothing. From any task of the same loop.

        Returns when every connection has ended and a `run_async` under way is through; nobody is waited for
        who only reads slowly.
        """
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                if self._server is not None:
                    self._server.cancel_scope.cancel()
                    await self._has_ended.wait()
                    self._server = self._url = None
                if self._confined is not None:
                    self._confined.close()
                    self._confined = None

    async def run_async(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Write `action["files"]`, contents (text or bytes) by path; with `"commands": ["serve"]` serve them.

        Returns `url` (None: nothing is served yet), `files` (the paths that were written) and `directory`.
        Calls wait for one another. Each file is replaced as a whole. A cancelled call may have written all or
        nothing. Before anything is written: InvalidSandboxRequest (with UnknownSandboxCommand,
        SandboxPathRefused, SandboxFileTooLarge below it), SandboxClosed outside of `async with`.
        SandboxUnusable: no room, no permission, or the port is taken.
        """
        files, commands = _read(action, self._file_bytes)
        async with self._one_at_a_time:
            if self._is_closed or self._confined is None or self._tasks is None:
                raise SandboxClosed("it is open within `async with LocalSandbox(...)`, until aclose()")
            if files:
                await to_thread.run_sync(self._confined.write, files)
            if "serve" in commands and self._server is None:
                self._url = await self._serve(self._confined, self._tasks)
        return {
            "url": self._url,
            "files": sorted("/".join(parts) for parts in files),
            "directory": str(self.directory),
        }

    async def _serve(self, confined: ConfinedDirectory, tasks: TaskGroup) -> str:
        try:
            bound = socket.create_server((_LOOPBACK, self._port))
        except OSError as error:
            where = f"{_LOOPBACK}:{self._port}"
            raise SandboxUnusable(where, error.strerror or str(error)) from error
        port: int = bound.getsockname()[1]
        server = DirectoryServer(confined, port)
        self._has_ended = anyio.Event()  # that of a start that was cancelled is set
        self._server = await tasks.start(self._run, bound, server, name="sentient-core sandbox")
        return f"http://{_LOOPBACK}:{port}/"

    async def _run(
        self, bound: socket.socket, server: DirectoryServer, *, task_status: TaskStatus[TaskGroup]
    ) -> None:
        try:
            listener = await SocketListener.from_socket(bound)
            async with listener, anyio.create_task_group() as connections:
                task_status.started(connections)
                while True:
                    try:
                        await listener.serve(server.answer, connections)
                    except OSError:
                        # Such as: no file descriptor left. The connections there are give theirs back.
                        await anyio.sleep(_PAUSE_SECONDS)
        finally:
            bound.close()
            self._has_ended.set()


def _read(action: object, file_bytes: int) -> tuple[dict[Parts, bytes], tuple[str, ...]]:
    """What is to be done, checked. Raises InvalidSandboxRequest."""
    if not isinstance(action, Mapping):
        raise InvalidSandboxRequest(f"it takes a mapping such as {_EXAMPLE}, not {_kind_of(action)}")
    action = cast("Mapping[object, object]", action)
    unknown = [key for key in action if key not in ("files", "commands")]
    if unknown:
        raise InvalidSandboxRequest(f"it knows no {unknown[0]!r}: it takes {_EXAMPLE}")
    files, commands = action.get("files", {}), action.get("commands", ())
    if not isinstance(files, Mapping):
        raise InvalidSandboxRequest(f"its files are contents by path, as in {_EXAMPLE}")
    if not isinstance(commands, list | tuple):
        raise InvalidSandboxRequest(f"its commands are a list, as in {_EXAMPLE}")
    for command in cast("list[object]", commands):
        if command not in _COMMANDS:
            raise UnknownSandboxCommand(command, _COMMANDS)
    given = cast("Mapping[object, object]", files)
    if len(given) > _FILES:
        raise InvalidSandboxRequest(f"it takes {_FILES} files in one call, and these are {len(given)}")
    contents = {parts_of(path): _content_of(path, content, file_bytes) for path, content in given.items()}
    return contents, tuple(cast("list[str]", commands))


def _content_of(path: object, content: object, most: int) -> bytes:
    if isinstance(content, str):
        try:
            content = content.encode()
        except UnicodeEncodeError as error:
            raise InvalidSandboxRequest(f"the content of {path!r} is no valid Unicode: {error}") from error
    if not isinstance(content, bytes | bytearray):
        raise InvalidSandboxRequest(f"the content of {path!r} is text or bytes, not {_kind_of(content)}")
    if len(content) > most:
        raise SandboxFileTooLarge(str(path), len(content), most)
    return bytes(content)


def _checked(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidArgument(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _kind_of(value: object) -> str:
    return type(value).__name__
