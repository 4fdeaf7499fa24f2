"""Exceptions and messages in words, for errors and dead letters.

Of an exception, whatever it is, this never raises, and the text can be encoded and stored.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias, cast

__all__ = ["MOST_CAUSES", "Link", "chain", "class_sent", "in_a_line", "kind_of", "last_lines"]

MOST_CAUSES = 10
"""Links that a chain of causes is cut to."""

_MOST_CHARACTERS = 500

Link: TypeAlias = dict[str, str]
"""One exception of a chain: its `type`, by name, and its `message`."""


def in_a_line(error: BaseException) -> str:
    """Type and text, at most 500 characters."""
    return _encodable(f"{type(error).__name__}: {_text(error)}"[:_MOST_CHARACTERS])


def chain(error: BaseException | None) -> list[Link]:
    """How an exception came about, outermost first: it, what it was raised from, and so on.

    Follows `__cause__`, else `__context__` unless that is suppressed. A group stands there as what it
    holds, each with its own causes behind it. No exception comes twice, a message has at most 500
    characters, and of a longer chain there are the first `MOST_CAUSES` and a link that says so.
    None has no causes.
    """
    links: list[Link] = []
    for one in _unrolled(error):
        if len(links) == MOST_CAUSES:
            links.append({"type": "...", "message": "and more"})
            break
        links.append(
            {"type": _encodable(type(one).__name__), "message": _encodable(_text(one)[:_MOST_CHARACTERS])}
        )
    return links


def last_lines(error: BaseException) -> str:
    """The innermost frames of its traceback and the text, at most 4,000 characters."""
    nearest = list(islice(_unrolled(error), MOST_CAUSES + 1))
    try:
        # All causes are formatted before any is left out: quadratic where a failure climbs a deep tree.
        if len(nearest) > MOST_CAUSES:
            text = "\nwhich led to:\n\n".join(map(_frames_and_text, reversed(nearest)))
        else:
            text = "".join(traceback.format_exception(error, limit=-8))
    except Exception:  # noqa: BLE001 - as above
        return in_a_line(error)
    return _encodable(text[-4_000:])


def _frames_and_text(error: BaseException) -> str:
    """One exception, without its causes."""
    return f"{''.join(traceback.format_tb(error.__traceback__, limit=-8))}{in_a_line(error)}\n"


def _unrolled(error: BaseException | None) -> Iterator[BaseException]:
    met: set[int] = set()
    to_come = [error]
    while to_come:
        one = to_come.pop()
        if one is None or id(one) in met:
            continue
        met.add(id(one))
        # A cause that is set suppresses the context.
        to_come.append(one.__cause__ if one.__suppress_context__ else one.__context__)
        if isinstance(one, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", one)
            to_come.extend(reversed(group.exceptions))
        else:
            yield one


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:  # noqa: BLE001 - the text is made by the user's code
        return f"(its text raised {type(raised).__name__})"


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
