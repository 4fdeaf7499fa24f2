"""A password or the like that no log line, traceback or dump shows by accident."""

from __future__ import annotations

from typing import NoReturn, Self

__all__ = ["Secret"]


class Secret:
    """Holds a text that only `reveal()` gives away: `repr`, `str` and formatting say `***`.

    It is equal to that text. It cannot be pickled, or encoded by msgspec or json, so it does not reach a
    store or another process either.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return self._text == (other._text if isinstance(other, Secret) else other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")
