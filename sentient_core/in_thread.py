"""An actor system for a program that is not async: it runs in a thread of its own, with an event loop."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio

from sentient_core.actors.from_thread import FromThread
from sentient_core.backend import Backend, current_backend
from sentient_core.errors import ActorStopped, InvalidArgument, SystemClosed

if TYPE_CHECKING:
    from sentient_core.system import ActorSystem

__all__ = ["BackendName", "SystemThread"]

BackendName = Literal["asyncio", "trio"]


class SystemThread:
    """What `ActorSystem.in_thread` returns: a context manager, used once, that runs the system.

    Whatever ends the block, a Ctrl-C included, ends the system in order; a second Ctrl-C leaves it
    behind as it is. The thread is a daemon, so that it then goes with the program.
    """

    def __init__(self, system: ActorSystem, backend: BackendName, options: dict[str, Any] | None) -> None:
        if backend not in ("asyncio", "trio"):
            raise InvalidArgument(f"backend must be 'asyncio' or 'trio', not {backend!r}")
        self._system = system
        self._backend = backend
        self._options = options
        self._loop: Future[tuple[Backend, anyio.CancelScope]] = Future()
        self._started: Future[FromThread] = Future()
        self._ended: Future[None] = Future()
        self._exit: BaseException | None = None
        self._thread = Thread(target=self._main, name=f"sentient-core system {system.name}", daemon=True)

    def __enter__(self) -> FromThread:
        """Start the system; raises whatever keeps it from starting."""
        self._thread.start()
        try:
            return self._started.result()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        failure = self._ended.exception()
        if failure is None:
            return
        if error is None or isinstance(error, SystemClosed | ActorStopped):  # what the failure has led to
            raise failure
        error.add_note(f"The actor system '{self._system.name}' has failed as well: {failure!r}")

    def _end(self) -> None:
        """Have the system end in order and wait for it."""
        backend, scope = self._loop.result()
        with suppress(RuntimeError):  # its loop has ended by itself
            backend.call_threadsafe(scope.cancel)
        self._ended.exception()
        self._thread.join()

    def _main(self) -> None:
        try:
            anyio.run(self._serve, backend=self._backend, backend_options=self._options)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            if not self._loop.done():
                self._loop.set_exception(error)
            if not self._started.done():
                self._started.set_exception(error)
            self._ended.set_exception(error)
        else:
            if self._exit is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(self._exit)

    async def _serve(self) -> None:
        try:
            with anyio.CancelScope() as scope:
                self._loop.set_result((current_backend(), scope))
                async with self._system as system:
                    self._started.set_result(system.from_thread)
                    await anyio.sleep_forever()
        except* (SystemExit, KeyboardInterrupt) as group:
            # Of a handler. It goes on where the block ends, and alone; here it would upset the event loop.
            self._exit = _first(group)
        if not self._started.done():
            raise SystemClosed(self._system.name, "start it")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return (
        _first(cast("BaseExceptionGroup[BaseException]", error))
        if isinstance(error, BaseExceptionGroup)
        else error
    )
