"""`pipe_to_self`: an async function beside an actor, whose result comes back as a message.

It runs in a task of the system's, in a cancel scope of its own that ends with the incarnation: the actor's
mailbox is served meanwhile, and nothing of an old incarnation acts for the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isasyncgenfunction, isawaitable, iscoroutine, isgeneratorfunction
from typing import TYPE_CHECKING, Any, cast

import anyio

from sentient_core.actors import delivery
from sentient_core.actors.blocking import blocks
from sentient_core.actors.escaped import parted, stray
from sentient_core.causes import in_a_line
from sentient_core.errors import InvalidArgument, UncopyableMessage, UnencodableMessage
from sentient_core.mailbox import DeadLetterReason

if TYPE_CHECKING:
    from sentient_core.actors.incarnation import Incarnation

__all__ = ["Pipe", "check_pipe"]


class Pipe:
    """One function at work beside an actor."""

    __slots__ = ("_args", "_fn", "_life", "_on_error", "_scope")

    def __init__(
        self,
        life: Incarnation,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        self._life = life
        self._fn = fn
        self._args = args
        self._on_error = on_error
        # Shielded like the workers: when the program is cancelled, the actors are stopped in order.
        self._scope = anyio.CancelScope(shield=True)

    def start(self) -> None:
        """Run it; the task inherits the actor's context variables from the caller's turn.

        Of a durable turn, when that has ended well: one that fails has started nothing. `fn` is not called
        before the turn is committed, so that what it does to the outside is never ahead of the store.
        """
        cell = self._life.cell
        turn = delivery.open_turn()
        if turn is not None:
            turn.when_closed(self.start)
            return
        self._life.pipes[self] = None
        cell.runtime.tasks.start_soon(self._run, name=f"sentient-core pipe of {cell.path}")

    def cancel(self) -> None:
        """The incarnation is over."""
        self._scope.cancel()

    async def _run(self) -> None:
        life = self._life
        if life.is_over:
            return
        with self._scope:
            try:
                if life.cell.inbox is not None:
                    await life.cell.runtime.mirror.journal.committed()
                result = await _awaitable(self._fn, self._fn(*self._args))
            except Exception as error:  # noqa: BLE001 - the supervision boundary: it is the actor's failure
                self._failed(error)
            except BaseException as error:  # noqa: BLE001 - what is not the actor's goes on
                if self._scope.cancel_called or not life.cell.runtime.backend.absorb_cancellation(error):
                    raise self._passes_on(error) from None
                self._failed(stray(error))
            else:
                self._send(result)
        life.pipes.pop(self, None)

    def _failed(self, error: Exception) -> None:
        if self._on_error is None:
            self._life.fail(error, "pipe_to_self")
            return
        try:
            message = self._on_error(error)
        except Exception as raised:  # noqa: BLE001 - as above
            self._life.fail(raised, "pipe_to_self")
        else:
            self._send(message)

    def _send(self, message: object) -> None:
        cell = self._life.cell
        if message is None or self._life.is_over:
            return
        try:
            # Of this actor, in the conversation of the message that the task was started for.
            entry = delivery.new_entry(cell, message, None)
        except (UncopyableMessage, UnencodableMessage) as error:
            self._life.fail(error, "pipe_to_self")
            return
        if cell.mailbox.is_open:
            delivery.record(cell, entry)
            delivery.put_anyway(cell, entry)
        else:
            delivery.record_refused(cell, entry)
            delivery.dead(cell, entry, DeadLetterReason.STOPPED, "the actor is draining")

    def _passes_on(self, error: BaseException) -> BaseException:
        """What of an exception is not the actor's own."""
        failures, others = parted(error)
        if failures is not None:
            self._life.cell.log().warning("raised while it was cancelled", error=in_a_line(failures))
        return others


def check_pipe(fn: Any, on_error: Any) -> None:
    """Raise InvalidArgument for what `pipe_to_self` cannot run, as far as it shows before it is called."""
    if isawaitable(fn):
        if iscoroutine(fn):
            fn.close()  # it will not be awaited, which is no mistake of its own
        raise InvalidArgument(
            f"pipe_to_self takes functions, not {fn!r}. Pass the function and its arguments: "
            "pipe_to_self(fetch, url)"
        )
    for given in (fn, fn if on_error is None else on_error):
        if not callable(given):
            raise InvalidArgument(f"pipe_to_self takes functions, not {given!r}")
    if blocks(fn) or isgeneratorfunction(fn) or isasyncgenfunction(fn):
        raise _not_async(fn)


def _awaitable(fn: object, returned: Any) -> Awaitable[Any]:
    if hasattr(returned, "__await__") or isawaitable(returned):
        return cast("Awaitable[Any]", returned)
    raise _not_async(fn)


def _not_async(fn: object) -> InvalidArgument:
    return InvalidArgument(
        f"pipe_to_self takes async functions, and {fn!r} is none. For work that blocks: "
        "await self.run_sync(fn, ...), or pipe_to_self(self.run_sync, fn, ...)"
    )
