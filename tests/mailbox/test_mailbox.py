"""The mailbox by itself, against a plain model, and its statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import anyio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentient_core.actors.ref import cell_of
from sentient_core.mailbox import Mailbox, MailboxOptions, Overflow, Warmth
from sentient_core.mailbox.mailbox import MOST_WARM
from sentient_core.mailbox.overflow import Room
from tests.probes import Add, Gate, Log, Pass, Recorder, Say, Total, VolatileCounter, running


class _Slot:
    """What waits in line, without an event loop."""

    def __init__(self) -> None:
        self.is_done = False

    def set(self, value: None) -> bool:
        if self.is_done:
            return False
        self.is_done = True
        return True

    def fail(self, error: BaseException) -> bool:
        return self.set(None)

    def __await__(self) -> Generator[Any, Any, None]:
        raise NotImplementedError

    async def wait(self) -> None:
        """Never called here."""

    def abandon(self) -> tuple[None, ...]:
        raise NotImplementedError


class MailboxModel(RuleBasedStateMachine):
    """Puts, waits, cancellations and takes in any order: nothing is lost, doubled or overtaken."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox = Mailbox(MailboxOptions(capacity=3), Warmth(), is_mirrored=False)
        self.queued: list[int] = []
        self.line: list[tuple[int, _Slot]] = []
        self.next = 0

    def _entry(self) -> Any:
        self.next += 1
        return (self.next, None, None, None)

    @rule()
    def send(self) -> None:
        entry = self._entry()
        room = self.mailbox.room(can_wait=True)
        if room is Room.TAKE:
            assert not self.line
            self.mailbox.put(entry)
            self.queued.append(entry[0])
        else:
            assert room is Room.WAIT
            slot = _Slot()
            self.mailbox.wait_for_room(entry, slot)
            self.line.append((entry[0], slot))

    @rule()
    def tell(self) -> None:
        entry = self._entry()
        room = self.mailbox.room(can_wait=False)
        assert (room is Room.TAKE) == (len(self.queued) < 3 and not self.line)
        if room is Room.TAKE:
            self.mailbox.put(entry)
            self.queued.append(entry[0])

    @precondition(lambda self: self.queued)
    @rule()
    def take(self) -> None:
        queue = self.mailbox.queue
        assert queue is not None
        assert queue.popleft()[0] == self.queued.pop(0)
        admitted = [entry[0] for entry in self.mailbox.admit(lambda: 0.0)]
        expected: list[object] = []
        while self.line and len(self.queued) < 3:
            message, slot = self.line.pop(0)
            if slot.is_done and message not in admitted:
                continue  # cancelled before
            self.queued.append(message)
            expected.append(message)
        assert admitted == expected

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.line) - 1))
        _, slot = self.line.pop(position)
        slot.is_done = True
        self.mailbox.leave_line(slot)

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancelled_but_still_in_line(self, data: st.DataObject) -> None:
        """Its slot is done, its task has not run yet."""
        position = data.draw(st.integers(0, len(self.line) - 1))
        self.line[position][1].is_done = True

    @invariant()
    def numbers_are_right(self) -> None:
        statistics = self.mailbox.statistics(0, 0.0)
        assert statistics.depth == len(self.queued) <= statistics.capacity
        assert statistics.waiting == len(self.line)


TestMailboxModel = MailboxModel.TestCase
TestMailboxModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


async def test_statistics_of_a_mailbox() -> None:
    class Small(Recorder):
        mailbox = MailboxOptions(capacity=3, overflow=Overflow.BACKPRESSURE)

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Small, Log(), gate)
        assert (ref.statistics().depth, ref.statistics().high_water) == (0, 0)

        ref.tell(Pass())
        await gate.reached.wait()
        for n in range(3):
            ref.tell(Say(str(n)))
        seen = ref.statistics()

        assert (seen.depth, seen.waiting, seen.capacity, seen.high_water) == (3, 0, 3, 3)
        gate.open.set()
        await ref.ask(Say("x"), timeout=1)
        assert (ref.statistics().depth, ref.statistics().high_water) == (0, 3)


async def test_few_idle_actors_hold_a_queue() -> None:
    async with running() as system:
        refs = [await system.spawn(VolatileCounter) for _ in range(MOST_WARM + 100)]
        for ref in refs:
            ref.tell(Add())
            await anyio.lowlevel.checkpoint()
        await refs[-1].drain()

        assert sum(cell_of(ref).mailbox.queue is not None for ref in refs) <= MOST_WARM
        assert [await ref.ask(Total(), timeout=1) for ref in refs[:3]] == [1, 1, 1]


async def test_a_queue_in_use_is_kept() -> None:
    warmth = Warmth()
    busy = Mailbox(MailboxOptions(), warmth, is_mirrored=False)
    busy.put((1, None, None, None))

    for _ in range(3 * MOST_WARM):
        Mailbox(MailboxOptions(), warmth, is_mirrored=False).new_queue()

    assert busy.depth == 1


async def test_a_mailbox_that_was_closed_and_opened_again_does_not_lose_its_new_queue() -> None:
    warmth = Warmth()
    again = Mailbox(MailboxOptions(), warmth, is_mirrored=False)
    again.put((1, None, None, None))
    again.close()
    again.reopen()
    for _ in range(MOST_WARM - 1):
        Mailbox(MailboxOptions(), warmth, is_mirrored=False).put((0, None, None, None))

    again.put((2, None, None, None))

    assert again.depth == 1


async def test_a_look_for_empty_mailboxes_ends_where_all_are_in_use() -> None:
    class InUse(deque[Any]):
        looks = 0

        def __len__(self) -> int:
            InUse.looks += 1
            return 1

    warmth = Warmth()
    for _ in range(3 * MOST_WARM):
        mailbox = Mailbox(MailboxOptions(), warmth, is_mirrored=False)
        mailbox.new_queue()
        mailbox.queue = InUse()
    before = InUse.looks

    warmth.cool(10 * MOST_WARM)

    assert InUse.looks - before < 100
