"""Who waits for room in a full mailbox, and with what."""

from __future__ import annotations

from collections.abc import Iterator

from sentient_core.backend import Slot
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.priority import priority_of

__all__ = ["Line"]


class Line:
    """Senders in the order in which they get room: by the priority of their messages, then as they came."""

    __slots__ = ("_by_priority",)

    def __init__(self) -> None:
        self._by_priority: dict[int, dict[Slot[None], Entry]] = {}
        """None of them is empty; there are few."""

    def __len__(self) -> int:
        return sum(map(len, self._by_priority.values()))

    def __bool__(self) -> bool:
        return bool(self._by_priority)

    def __iter__(self) -> Iterator[tuple[Entry, Slot[None]]]:
        for priority in sorted(self._by_priority, reverse=True):
            for slot, entry in self._by_priority[priority].items():
                yield entry, slot

    def join(self, entry: Entry, slot: Slot[None]) -> None:
        """Stand in line."""
        self._by_priority.setdefault(priority_of(entry), {})[slot] = entry

    def leave(self, slot: Slot[None]) -> None:
        """Give the place up; nothing happens if it is not there any more."""
        for priority, waiting in self._by_priority.items():
            if waiting.pop(slot, None) is not None:
                if not waiting:
                    del self._by_priority[priority]
                return

    def pop(self) -> tuple[Entry, Slot[None]]:
        """Take who is first out of the line, which must not be empty."""
        first, slot = next(iter(self))
        self.leave(slot)
        return first, slot
