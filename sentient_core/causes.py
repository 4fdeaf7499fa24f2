"""Exceptions and messages in words, for errors and dead letters.

Of an exception, whatever it is, this never raises, and the text can be encoded and stored.
"""

from __future__ import annotations

import traceback

__all__ = ["class_sent", "in_a_line", "kind_of", "last_lines"]


def in_a_line(error: BaseException) -> str:
    """Type and text, at most 500 characters."""
    try:
        text = str(error)
    except Exception as raised:  # noqa: BLE001 - the text is made by the user's code
        text = f"(its text raised {type(raised).__name__})"
    return _encodable(f"{type(error).__name__}: {text}"[:500])


def last_lines(error: BaseException) -> str:
    """The innermost frames of its traceback and the text, at most 4,000 characters."""
    try:
        text = "".join(traceback.format_exception(error, limit=-8))
    except Exception:  # noqa: BLE001 - as above
        return in_a_line(error)
    return _encodable(text[-4_000:])


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def kind_of(message: object) -> str:
    """What an error calls a message: its type, and which method a call of a proxy was for."""
    if isinstance(message, type):
        return f"the class {message.__qualname__}"
    words = getattr(type(message), "__sentient_words__", None)
    return str(words(message)) if callable(words) else type(message).__qualname__


def class_sent(message: object) -> str:
    """What to say to who sent a class; nothing of any other message."""
    if not isinstance(message, type):
        return ""
    name = message.__qualname__
    return f"you sent the class {name}: send {name}(...)"
