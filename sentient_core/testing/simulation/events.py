"""The events of a simulation: what was published, and what everybody who follows has got of it.

An event that was committed comes to whoever follows from before it, once and in the order of its source; one
whose publishing has failed, with its turn or by itself, comes to nobody. Who follows under a name goes on
where it was, over deaths of the process: what it has had shortly before may come again; nothing is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sentient_core.testing.simulation.messages import Books, Message
from sentient_core.testing.simulation.program import Follows

__all__ = ["Events", "Following", "Published"]


class Published:
    """One event, and what is known of it."""

    def __init__(self, id_: str, source: str, turn: Message | None) -> None:
        self.id: str = id_
        self.source: str = source
        self.turn: Message | None = turn
        """The message of the durable turn that it is a part of."""
        self.begun: int = 0
        """When it was published, as a number of the order in which things happened."""
        self.returned: int = 0
        """When `publish_event` has returned; 0: it has not."""
        self.is_committed: bool = False
        self.is_refused: bool = False
        """Who published it was told that nothing has happened."""
        self.may_be_gone: str = ""
        """Why it need not be there."""

    @property
    def is_void(self) -> bool:
        """It must not be seen."""
        return self.is_refused or (self.turn is not None and not self.turn.handled)

    def __str__(self) -> str:
        facts = ["committed"] if self.is_committed else ["returned"] if self.returned else ["published"]
        facts += [self.may_be_gone] if self.may_be_gone else []
        return f"event {self.id} of {self.source} ({', '.join(facts)})"


class Following:
    """One who follows, from when it subscribes until that ends."""

    def __init__(self, name: str, kind: Follows, begun: int) -> None:
        self.name: str = name
        self.kind: Follows = kind
        self.begun: int = begun
        self.is_over: bool = False
        """It has unsubscribed."""
        self.seen: list[str] = []
        self.tries: dict[str, int] = {}
        """How often it was called with an event."""
        self.newest: dict[str, Published] = {}
        """Of each source, what was published last of what it has got."""


class Events:
    """All events. `complain` is told of what must not be."""

    def __init__(self, complain: Callable[[str], None], books: Books) -> None:
        self._complain = complain
        self._books = books
        self._events: dict[str, Published] = {}
        self._moment = 0
        self._had: dict[str, set[str]] = {}
        """What followed under a name, by whichever process."""
        self._settled: dict[str, set[str]] = {}
        """What of that does not come again."""
        self._first: dict[str, int] = {}
        """When somebody followed first under a name."""
        self._begun: set[str] = set()
        """The names that the store knows."""

    def publishes(self, id_: str, source: str, turn: str | None) -> None:
        """Somebody publishes an event: in a durable turn, which may be run again, or at once."""
        event = self._events.get(id_)
        if event is None:
            event = self._events[id_] = Published(id_, source, None if turn is None else self._books[turn])
        self._moment += 1
        event.begun, event.returned, event.is_refused, event.may_be_gone = self._moment, 0, False, ""

    def returns(self, id_: str) -> None:
        """`publish_event` has returned."""
        event = self._events[id_]
        self._moment += 1
        event.returned = self._moment
        event.is_committed = event.turn is None

    def fails(self, id_: str, *, is_refused: bool) -> None:
        """It has raised. `is_refused`: nothing has happened; else that is not known."""
        event = self._events[id_]
        event.is_refused, event.may_be_gone = is_refused, "its outcome is not known"

    def follows(self, name: str, kind: Follows) -> Following:
        """Somebody begins to follow."""
        self._moment += 1
        self._first.setdefault(name, self._moment)
        return Following(name, kind, self._moment)

    def has_begun(self, name: str, *, is_so: bool) -> None:
        """Somebody who follows ends. `is_so`: it had come to it; else the store does not know its name."""
        if is_so:
            self._begun.add(name)
        elif name not in self._begun:
            self._first.pop(name, None)

    def comes(self, following: Following, id_: str, fails: int) -> bool:
        """It is called with an event. True: it is to fail with it, as it does the first `fails` times."""
        event = self._events.get(id_)
        name = following.name
        if event is None:
            self._complain(f"{name} gets the event {id_}, which nobody has published")
            return False
        if following.is_over:
            self._complain(f"{name} gets the {event}, and has unsubscribed before")
        if event.is_void:
            self._complain(f"{name} gets the {event}, which was not published in the end")
        tries = following.tries.get(id_, 0)
        if id_ in following.seen:
            self._complain(f"{name} gets the {event} once more")
        elif following.kind is Follows.NAMED and id_ in self._settled.get(name, ()):
            self._complain(f"{name} gets the {event} again, which it had before it was last quiet")
        if tries > 2:
            self._complain(f"{name} gets the {event} for the {tries + 1}th time, and has failed with it")
        before = following.newest.get(event.source)
        if before is not None and event.returned and event.returned < before.begun:
            self._complain(f"{name} gets the {event} behind the {before}")
        following.newest[event.source] = event
        self._begun.add(name)
        event.is_committed = True  # what is seen is in the store
        following.tries[id_] = tries + 1
        if tries < fails:
            return True
        self._has(following, id_)
        return False

    def is_dead(self, following: Following, id_: str) -> None:
        """It has failed with an event at every try, or ended when it had failed: that is a dead letter."""
        if id_ in following.seen or not following.tries.get(id_, 0):
            self._complain(
                f"the event {id_} is a dead letter of {following.name}, which has not failed with it"
            )
        self._has(following, id_)

    def _has(self, following: Following, id_: str) -> None:
        following.seen.append(id_)
        self._had.setdefault(following.name, set()).add(id_)

    def commit(self) -> None:
        """All that was published is committed, but for what may have gone with a process that died before."""
        for event in self._events.values():
            if event.returned and not event.may_be_gone and not event.is_void:
                event.is_committed = True

    def restored(self, path: str, known: Collection[str]) -> None:
        """A durable actor came back with these messages in its state, after a death of the process."""
        for event in self._events.values():
            if event.turn is None or event.turn.to != path:
                continue
            if event.turn.id in known:
                event.is_committed = True
            elif event.is_committed:
                self._complain(f"the {event} was seen, and its turn was not committed when the process died")

    def crash(self) -> None:
        """The process has died."""
        for event in self._events.values():
            if not event.is_committed:
                event.may_be_gone = "not committed when the process died"

    def look(self, followings: Sequence[Following], history: Sequence[str]) -> None:
        """All is quiet. `history`: all events that the store has."""
        twice = {id_ for id_ in history if history.count(id_) > 1}
        for id_ in sorted(twice):
            self._complain(f"the event {id_} stands in the history more than once")
        for event in self._events.values():
            if event.is_void and event.id in history:
                self._complain(f"the {event} stands in the history, and was not published in the end")
            if self._is_wanted(event) and event.id not in history:
                self._complain(f"the {event} does not stand in the history")
        for following in followings:
            is_named = following.kind is Follows.NAMED
            seen = self._had.get(following.name, set()) if is_named else set(following.seen)
            since = self._first[following.name] if is_named else following.begun
            for event in self._events.values():
                is_for_it = following.kind is Follows.HISTORY or event.begun > since
                if is_for_it and self._is_wanted(event) and event.id not in seen:
                    self._complain(f"{following.name} follows, and has not got the {event}")
            if is_named:
                self._settled[following.name] = set(seen)

    def _is_wanted(self, event: Published) -> bool:
        return event.is_committed and not event.is_void
