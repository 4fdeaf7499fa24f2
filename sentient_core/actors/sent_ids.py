"""Messages that are sent under ids: each is applied once, however often it is sent.

An id is *under way* from before it is looked up until what became of its message is committed; so two tries
never both find that the store knows nothing. Meanwhile its `UnderWay` stands in the message's entry where an
asker's slot would, and gives the outcome to everybody who has sent the message and waits. Afterwards the
store alone knows of it: what is kept here is as much as is under way. An ask of a durable turn is kept until
the message is settled for which it was asked, so it need not be looked up when that is tried again.

Looking up goes by batches: one query at a time, for all that was wanted meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio

from sentient_core.errors import MessageIdConflict, StoreUnavailable
from sentient_core.store.outcomes import Outcome, OutcomeKind, id_key, memo_name

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.ref import ActorRef
    from sentient_core.backend import Backend, Slot
    from sentient_core.store.outcomes import IdKey
    from sentient_core.store.protocols import Journal
    from sentient_core.store.records import Key, SentAs

__all__ = ["SentIds", "UnderWay"]

T = TypeVar("T")

MOST_AT_ONCE = 500
"""Ids that one query looks up."""

_WayKey: TypeAlias = "tuple[str, str, Key | None]"


class UnderWay:
    """An id whose message is on its way; a `Slot` that has any number of waiters."""

    __slots__ = (
        "_backend",
        "_deciding",
        "_give",
        "_has_failed",
        "_waiters",
        "is_accepted",
        "is_asked",
        "is_settled",
        "not_known",
        "owner",
        "sent_as",
    )

    def __init__(self, backend: Backend, sent_as: SentAs, owner: OpenTurn | None = None) -> None:
        self._backend = backend
        self._waiters: dict[Slot[Any], None] = {}
        self._deciding: list[Slot[None]] = []
        self._give: Callable[[Slot[Any]], object] | None = None
        self._has_failed = False
        self.not_known: StoreUnavailable | None = None
        """Why the store could not be asked about it, if that is why nobody sends it."""
        self.sent_as: SentAs = sent_as
        self.owner: OpenTurn | None = owner
        """The open turn that sends the message, if one does."""
        self.is_asked: bool = False
        """Somebody waits for the outcome, or has: of a message that is sent nobody wants a reply."""
        self.is_settled: bool = False
        """What became of the message is in the journal's hands."""
        self.is_accepted: bool = False
        """Its message is pending, or was. False: whoever made this tries to send it."""

    @property
    def is_done(self) -> bool:
        return self._give is not None

    @property
    def has_failed(self) -> bool:
        """The outcome is that the message was not handled to its end."""
        return self._has_failed

    @property
    def is_awaited(self) -> bool:
        """Somebody waits for the outcome."""
        return any(not waiter.is_done for waiter in self._waiters)

    def join(self, waiter: Slot[Any]) -> None:
        """Give that slot the outcome, too."""
        self.is_asked = True
        if self._give is not None:
            self._give(waiter)
        else:
            self._waiters[waiter] = None

    def leave(self, waiter: Slot[Any]) -> None:
        """That slot is nobody's any more."""
        self._waiters.pop(waiter, None)

    def set(self, value: Any) -> bool:
        """Always taken: where nobody waits any more, the store keeps it."""
        return self._bring(lambda waiter: waiter.set(value))

    def fail(self, error: BaseException) -> bool:
        if self.is_settled:
            self._has_failed = True
            return self._bring(lambda waiter: waiter.fail(error))
        # Who waits now is told that it does not come; the message is pending: who asks later waits for it.
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.fail(error)
        return True

    def answer_with(self, error: Exception) -> None:
        """The outcome is an exception that is a reply."""
        self._bring(lambda waiter: waiter.fail(error))

    def accept(self) -> None:
        """The message is in the journal's hands."""
        self.is_accepted = True
        self.owner = None
        self.decide()

    def decide(self) -> None:
        """Whether it is accepted is known now: wake those who waited for that."""
        deciding, self._deciding = self._deciding, []
        for slot in deciding:
            slot.set(None)

    async def decided(self) -> None:
        """Return when it is known whether the message is accepted."""
        slot: Slot[None] = self._backend.slot()
        self._deciding.append(slot)
        await slot

    def abandon(self) -> Sequence[Any]:
        return ()

    async def wait(self) -> Any:
        slot: Slot[Any] = self._backend.slot()
        self.join(slot)
        try:
            return await slot
        finally:
            self.leave(slot)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.wait().__await__()

    def _bring(self, give: Callable[[Slot[Any]], object]) -> bool:
        if self._give is None:
            self._give = give
            waiters, self._waiters = self._waiters, {}
            for waiter in waiters:
                give(waiter)
        return True


class SentIds:
    """The ids of one system that are under way."""

    __slots__ = (
        "_asked",
        "_askers",
        "_backend",
        "_is_ending",
        "_is_looking",
        "_journal",
        "_looked_up",
        "_tasks",
        "_wanted",
        "_ways",
    )

    def __init__(
        self, backend: Backend, journal: Journal, tasks: TaskGroup, is_ending: Callable[[], bool]
    ) -> None:
        self._backend = backend
        self._is_ending = is_ending
        self._journal = journal
        self._tasks = tasks
        self._ways: dict[_WayKey, UnderWay] = {}
        self._asked: dict[Key, list[UnderWay]] = {}
        """What durable turns have asked, by the messages in hand, until these are settled."""
        self._askers: dict[Slot[Any], Callable[[], Exception]] = {}
        """Who waits for an outcome, with what he is told if it does not come any more."""
        self._wanted: dict[IdKey, Slot[Outcome | None]] = {}
        self._looked_up: dict[IdKey, Slot[Outcome | None]] = {}
        """Those of `_wanted` that the store is asked about now."""
        self._is_looking = False

    def __len__(self) -> int:
        return len(self._ways)

    def begin(self, sent: SentAs, turn: OpenTurn | None) -> UnderWay | None:
        """Have an id under way that the store knows nothing of; the message is the caller's to send.

        None: it is under way already.
        """
        key = (sent.path, sent.id, sent.asker)
        if key in self._ways:
            return None
        way = self._ways[key] = UnderWay(self._backend, sent, turn)
        return way

    async def claim(
        self, sent: SentAs, message: object, ref: ActorRef[Any], turn: OpenTurn | None
    ) -> UnderWay | Outcome:
        """What is known of an id: its outcome, or that it is under way, from now on at the latest.

        One that is not accepted is the caller's to send, or to `let_go`. While the store is away it waits,
        for an id of a caller's no longer than for room. Raises MessageIdConflict, StoreUnavailable, Fenced.
        """
        key = (sent.path, sent.id, sent.asker)
        while True:
            way = self._ways.get(key)
            if way is not None and not way.is_accepted:
                if turn is not None and way.owner is turn:
                    return way
                await way.decided()
                if way.not_known is not None:  # who comes behind has waited for the same
                    raise StoreUnavailable(str(way.not_known)) from way.not_known
                continue
            if way is not None and not (way.has_failed and sent.asker is not None):
                if way.sent_as.digest != sent.digest:
                    raise MessageIdConflict(message, ref, sent.id)
                return way
            way = self._ways[key] = UnderWay(self._backend, sent, turn)  # before it is looked up
            try:
                found = await self._known(sent)
            except BaseException as error:
                way.not_known = error if isinstance(error, StoreUnavailable) else None
                self.let_go(way)
                raise
            if way.is_accepted:
                continue  # whoever lives there has found it among its messages meanwhile
            if found is None or (found.kind is OutcomeKind.DEAD and sent.asker is not None):
                return way
            if found.digest != sent.digest:
                self.let_go(way)
                raise MessageIdConflict(message, ref, sent.id)
            if found.kind is OutcomeKind.PENDING:
                way.accept()
                return way
            self.let_go(way)
            return found

    def adopt(self, sent: SentAs) -> UnderWay:
        """The id of a message that was accepted before, and is in somebody's mailbox from now on."""
        key = (sent.path, sent.id, sent.asker)
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = UnderWay(self._backend, sent)
        way.accept()
        return way

    def let_go(self, way: UnderWay) -> None:
        """Its message was not accepted: whoever else has sent it may try."""
        if not way.is_accepted:
            self._forget(way)
            way.decide()

    def await_outcome(self, reply: Slot[Any], instead: Callable[[], Exception]) -> None:
        """Somebody waits from now on, until `forget_asker`; `instead`: what he gets when the system ends."""
        self._askers[reply] = instead

    def forget_asker(self, reply: Slot[Any]) -> None:
        """He waits no longer."""
        self._askers.pop(reply, None)

    def close(self) -> None:
        """The system has ended, and its last commits are done: who still waits is told that nothing comes.

        His message may be in the store alone, where no mailbox that is given up has it.
        """
        askers, self._askers = self._askers, {}
        for reply, instead in askers.items():
            reply.fail(instead())

    def keep(self, way: UnderWay) -> None:
        """A durable turn has asked that."""
        if way.sent_as.asker is not None:
            self._asked.setdefault(way.sent_as.asker, []).append(way)

    def settled(self, asker: Key) -> None:
        """A message is settled for which something was asked."""
        for way in self._asked.pop(asker, ()):
            if way.is_done:
                self._forget(way)

    def leaves(self, way: UnderWay, instead: Callable[[], Exception] | None = None) -> None:
        """What became of its message has just been handed to the journal.

        `instead`: what those get who still wait when that is committed.
        """
        way.is_settled = True
        if instead is not None or way.sent_as.asker is None or way.sent_as.asker not in self._asked:
            self._journal.when_committed(_Leaving(self._forget, way, instead))

    def trouble_with(self, sent: SentAs) -> StoreUnavailable | None:
        """What keeps an id from being looked up; None: somebody else sends its message."""
        way = self._ways.get((sent.path, sent.id, sent.asker))
        is_looked_up = way is None or id_key(sent) in self._wanted or id_key(sent) in self._looked_up
        return StoreUnavailable(_cannot_look_up(sent)) if is_looked_up else None

    async def memos(self, key: Key) -> Mapping[str, Outcome]:
        """What the handling of a message has come to before. Waits while the store is away.

        Raises StoreUnavailable, Fenced, both when the system ends.
        """
        return await self._answered(lambda: self._journal.memos(key), lambda: True)

    def _forget(self, way: UnderWay) -> None:
        sent = way.sent_as
        key = (sent.path, sent.id, sent.asker)
        if self._ways.get(key) is way:
            del self._ways[key]

    async def _known(self, sent: SentAs) -> Outcome | None:
        """What the store knows of it."""
        if sent.asker is not None:
            return (await self.memos(sent.asker)).get(memo_name(sent))
        slot: Slot[Outcome | None] = self._backend.slot()
        self._wanted[id_key(sent)] = slot
        if not self._is_looking:
            looking = self._look_up()
            try:
                self._tasks.start_soon(lambda: looking, name="sentient-core ids")
            except (
                RuntimeError
            ) as error:  # its task group is over: the system has ended while this one waited
                looking.close()
                del self._wanted[id_key(sent)]
                raise StoreUnavailable("the system has ended") from error
            self._is_looking = True
        patience = self._journal.room_patience
        with anyio.move_on_after(patience):
            return await slot
        raise StoreUnavailable(
            f"{_cannot_look_up(sent)}, for {patience:g} s now (JournalOptions.room_patience); it was not sent"
        )

    async def _look_up(self) -> None:
        try:
            while self._wanted:
                slots = {key: self._wanted.pop(key) for key in [*islice(self._wanted, MOST_AT_ONCE)]}
                self._looked_up = slots
                try:
                    found = await self._outcomes(slots)
                except Exception as error:  # noqa: BLE001 - it is theirs who wait, whatever it is
                    for slot in slots.values():
                        slot.fail(error)
                else:
                    for key, slot in slots.items():
                        slot.set(found.get(key))
        finally:
            self._is_looking = False
            for slot in [*self._looked_up.values(), *self._wanted.values()]:
                slot.fail(StoreUnavailable("the system has ended"))
            self._looked_up = {}
            self._wanted = {}

    async def _outcomes(self, slots: Mapping[IdKey, Slot[Outcome | None]]) -> Mapping[IdKey, Outcome]:
        """What the store knows of these ids; while it is away, it is asked again while somebody waits."""
        return await self._answered(
            lambda: self._journal.outcomes([*slots]),
            lambda: any(not slot.is_done for slot in slots.values()),
        )

    async def _answered(self, ask: Callable[[], Awaitable[T]], is_wanted: Callable[[], bool]) -> T:
        delay = 0.05
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                if self._is_ending() or not is_wanted():
                    raise
            await anyio.sleep(delay)
            delay = min(2 * delay, 1.0)


def _cannot_look_up(sent: SentAs) -> str:
    return f"the store does not answer, so whether {sent.id!r} was sent to '{sent.path}' before is not known"


class _Leaving:
    """A `Waiter` for the commit of an outcome."""

    __slots__ = ("_forget", "_instead", "_way")

    def __init__(
        self, forget: Callable[[UnderWay], None], way: UnderWay, instead: Callable[[], Exception] | None
    ) -> None:
        self._forget = forget
        self._way = way
        self._instead = instead

    def set(self, _value: None) -> None:
        self._forget(self._way)
        if self._instead is not None and not self._way.is_done:
            self._way.fail(self._instead())

    def fail(self, error: BaseException) -> None:
        self._forget(self._way)
        if not self._way.is_done:
            self._way.fail(error)
