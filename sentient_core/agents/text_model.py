"""What agents ask for words, where they are given somebody to ask. None of them needs it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["TextModel"]


class TextModel(Protocol):
    """A language model, or whatever else answers in words: a class of yours around any client."""

    async def complete(self, prompt: str, /) -> str:
        """The answer to a prompt, as plain text.

        Called from within a task, on its event loop. It may be cancelled at any await; after a restart it may
        be asked the same again. What it raises fails the task.
        """
        ...
