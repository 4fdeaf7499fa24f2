"""To ask until there is an answer: the sender's half of getting over a crash."""

from __future__ import annotations

from typing import Any, TypeVar

from sentient_core import ActorRef, HandlerFailed, Request

__all__ = ["ask_again"]

R = TypeVar("R")

PATIENCE = 60.0
"""Seconds for one try: bounds the wait for an actor that hangs; one that crashes answers at once."""

MOST_TRIES = 40


async def ask_again(ref: ActorRef[Any], message: Request[R]) -> R:
    """Ask; when the actor crashes with the message in hand, ask its next incarnation.

    The message may so be handled more than once, the last time completely: handle it so that this does
    no harm. Raises what `ask` raises, HandlerFailed after the 40th try.
    """
    tries = 1
    while True:
        try:
            return await ref.ask(message, timeout=PATIENCE)
        except HandlerFailed:
            # The ref is good for all incarnations: this waits in the mailbox until the next one is up.
            if tries == MOST_TRIES:
                raise
            tries += 1
