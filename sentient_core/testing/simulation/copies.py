"""Which copy of a message it is, where the plan of faults doubles messages: each has an end of its own.

A copy is another message with an id of its own, and the same content. Here it goes by the name of the first
one with a mark: `7`, `7'`, `7''`. Copies of a message to a volatile actor have no ids; they are told apart
by who has come to an end.
"""

from __future__ import annotations

from collections import Counter

from sentient_core.testing.simulation.messages import Books, Message

__all__ = ["Copies"]


class Copies:
    """The copies of all messages."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._ids: dict[str, list[str | None]] = {}
        """The ids of a message's copies, the first one's first; None: not known, or it has none."""
        self._more: Counter[str] = Counter()
        """How many copies there may be of an actor's messages that were not seen yet."""
        self._waiting: set[str] = set()
        """Actors that a copy is just sent to, before the first one is handled."""
        self._in_hand: dict[str, str] = {}

    def may_be_one_more(self, path: str) -> None:
        """The plan doubles a message of an actor: the copy is sent, and then the first one is handled."""
        self._more[path] += 1
        self._waiting.add(path)

    def is_sent(self, path: str) -> None:
        """A copy that was just made has been sent by now, if there was one."""
        self._waiting.discard(path)

    def begun(self, path: str, id_: str, message_id: str | None, attempt: int) -> str:
        """The name of the copy that a handler is called with."""
        self._waiting.discard(path)
        if message_id is None and attempt > 1 and self._has_in_hand(path, id_):
            return self._in_hand[path]
        name = self._with_id(path, id_, message_id) if message_id else self._without(path, id_)
        self._in_hand[path] = name
        return name

    def dead(self, path: str, id_: str, message_id: str | None, *, is_refused: bool) -> str:
        """The name of the copy that is a dead letter. `is_refused`: there was no room for it, or no actor."""
        if is_refused and path in self._waiting:
            self._waiting.discard(path)
            self._ids.setdefault(id_, [None])
            return self._another(path, id_, message_id)
        if message_id:
            return self._with_id(path, id_, message_id)
        return self._in_hand[path] if self._has_in_hand(path, id_) else self._without(path, id_)

    def known(self, id_: str, message_id: str | None) -> str:
        """The name of a copy that was seen before."""
        ids = self._ids.get(id_, [])
        return _name(id_, ids.index(message_id) if message_id in ids else 0)

    def _with_id(self, path: str, id_: str, message_id: str) -> str:
        ids = self._ids.setdefault(id_, [])
        if message_id in ids:
            return _name(id_, ids.index(message_id))
        if not ids or ids[0] is None:
            ids[:1] = [message_id]
            return id_
        return self._another(path, id_, message_id) if self._more[path] else id_

    def _without(self, path: str, id_: str) -> str:
        ids = self._ids.setdefault(id_, [None])
        for number in range(len(ids)):
            message = self._books.find(_name(id_, number))
            if message is None or self._is_open(message):
                return _name(id_, number)
        return self._another(path, id_, None) if self._more[path] else id_

    def _has_in_hand(self, path: str, id_: str) -> bool:
        name = self._in_hand.get(path, "")
        return name.rstrip("'") == id_ and not self._books[name].ends

    def _is_open(self, message: Message) -> bool:
        return not message.ends and (message.begun_in != self._books.run or message.is_stashed)

    def _another(self, path: str, id_: str, message_id: str | None) -> str:
        self._more[path] -= 1
        self._ids[id_].append(message_id)
        name = _name(id_, len(self._ids[id_]) - 1)
        self._books.is_doubled(id_, name)
        return name


def _name(id_: str, number: int) -> str:
    return id_ + "'" * number
