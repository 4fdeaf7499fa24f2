"""Wrapped messages: the handler gets what is inside, and nobody else sees the wrapper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.actors import delivery
from sentient_core.actors.attempts import PutBack
from sentient_core.actors.ref import cell_of
from sentient_core.actors.special import (
    Special,
    came_in,
    inside,
    is_discarded_at_end,
    kept_of,
    plain,
    tries_of,
    without_asker,
)
from sentient_core.mailbox import DeadLetterReason
from tests.probes import Gate, Log, Pass, Recorder, Say, letters, running

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.mailbox.envelope import Entry


class _Opening(Special):
    def opens(self, cell: Cell, entry: Entry) -> bool:
        return True


class _Closed(Special):
    def opens(self, cell: Cell, entry: Entry) -> bool:
        delivery.dead(cell, entry, DeadLetterReason.DROPPED, "it does not open")
        return False


class _Kept(_Opening):
    is_kept = True


class _Fleeting(_Opening):
    is_discarded_at_end = True


def test_plain_takes_every_wrapper_off() -> None:
    assert plain((_Opening(_Closed("m")), None, None, None)) == ("m", None, None, None)
    assert plain(("m", None, None, None)) == ("m", None, None, None)


def test_what_is_kept_of_a_message_is_its_outermost_wrapper_that_is_kept() -> None:
    kept = _Kept(_Kept("m"))
    entry = inside((_Opening(kept), None, None, None))
    assert kept_of(entry) is kept  # while it stands in it

    opened = inside(inside(entry))

    assert opened == ("m", None, None, None)
    assert kept_of(opened) is came_in(opened) is kept
    assert kept_of(plain((_Opening(kept), None, None, None))) is kept
    assert kept_of(without_asker(opened)) is kept


def test_what_is_discarded_at_the_end_is_known_and_not_kept() -> None:
    fleeting = _Fleeting("m")
    opened = inside((fleeting, None, None, None))

    assert came_in(opened) is fleeting
    assert kept_of(opened) is None
    assert came_in(inside((_Opening("m"), None, None, None))) is None


def test_tries_are_those_of_whichever_wrapper_has_some() -> None:
    tried = PutBack("m", ValueError(), 3, None)

    assert tries_of((_Opening(tried), None, None, None)) == 3
    assert tries_of(plain((_Kept(tried), None, None, None))) == 3
    assert tries_of((_Opening("m"), None, None, None)) == tries_of(("m", None, None, None)) == 0


def test_one_wrapper_that_is_discarded_is_enough() -> None:
    assert is_discarded_at_end((_Opening(_Fleeting("m")), None, None, None))
    assert not is_discarded_at_end((_Opening("m"), None, None, None))


async def test_the_message_inside_is_handled_in_its_place() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log)

        for message in (Say("1"), _Opening(_Opening(Say("2"))), Say("3")):
            ref.tell(message)
        await ref.drain()

        assert log.lines[1:4] == ["1", "2", "3"]
        assert letters(system) == []


async def test_one_that_does_not_open_has_settled_itself() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log)

        for message in (_Closed(Say("1")), _Opening(_Closed(Say("2"))), Say("3")):
            ref.tell(message)
        await ref.drain()

        assert log.lines[1:2] == ["3"]
        assert letters(system) == [(Say("1"), "dropped"), (Say("2"), "dropped")]
        assert cell_of(ref).handled == 1


async def test_at_the_end_the_message_is_a_dead_letter_without_its_wrapper_or_none_at_all() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        for message in (_Opening(Say("1")), _Fleeting(Say("2"))):
            ref.tell(message)

        ref.stop()
        gate.open.set()
        await ref.stop()

        assert letters(system) == [(Say("1"), "stopped")]


async def test_nobody_handles_the_message_inside() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())

        ref.tell(_Opening(3.5))
        await ref.drain()

        assert letters(system) == [(3.5, "unhandled")]
