"""The books of a store: what has become of each message, whatever is in rows and whatever was pruned."""

from __future__ import annotations

from random import Random

import msgspec

from sentient_core.store import JournalOptions
from sentient_core.store.audit import Audit
from sentient_core.store.records import Accepted, LetterRedriven
from sentient_core.store.retention import Retention
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.reference import Reference
from sentient_core.testing.store_conformance.samples import dead_letter, event

__all__ = ["ALL_ACCOUNTS", "AuditConformance", "check_audit"]

ALL_ACCOUNTS = Retention(
    events_age=None, settled_letters_age=None, settled_letters_bytes=None, ended_age=None, accounts_age=0
)


def check_audit(audit: Audit, reference: Reference) -> None:
    """The audit counts as many messages as the reference has had, and has."""
    assert audit.is_balanced, audit
    assert sum(actor.sent for actor in audit.actors) == reference.accepted
    assert sum(actor.pending for actor in audit.actors) == len(reference.pending)


class AuditConformance(Conformance):
    """The books of a store: what has become of each message, whatever is in rows."""

    async def test_the_store_has_them_whatever_is_projected(self, place: Place, seed: int) -> None:
        chance = Random(seed)
        reference = Reference(chance)
        for start in range(3):
            store = await place.restart() if start else place.store
            journal = await store.open_journal("bank")
            reference.epoch = journal.epoch
            for _ in range(60):
                journal.append(reference.turn())
                if chance.random() < 0.1:
                    await journal.flush()
            await journal.committed()

            check_audit(await store.audit("bank"), reference)
            await journal.close(0)

    async def test_pruned_or_not_it_is_the_same_audit(self, place: Place, seed: int) -> None:
        chance = Random(seed)
        reference = Reference(chance)
        windows = 0
        for start in range(3):
            store = await place.restart() if start else place.store
            journal = await store.open_journal("bank", options=JournalOptions(retention=None))
            reference.epoch = journal.epoch
            for _ in range(30):
                journal.append(reference.turn())
                if chance.random() < 0.3:
                    await journal.flush()
                if chance.random() < 0.1:
                    await journal.committed()
                    audit = await store.audit("bank")
                    windows += (await journal.prune(ALL_ACCOUNTS)).accounts.rows
                    assert await store.audit("bank") == audit

            await journal.committed()
            check_audit(await store.audit("bank"), reference)
            await journal.close(0)
        assert windows > 3

    async def test_a_redriven_message_is_counted_once_also_when_its_accounts_are_pruned(
        self,
        place: Place,
    ) -> None:
        journal = await place.store.open_journal("bank", options=JournalOptions(retention=None))
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        journal.append(reference.accept("a"))
        journal.append(dead_letter(1, recipient="a", reason="failed", was_pending=True))
        await journal.flush()
        (letter,) = await place.store.dead_letters("bank")
        assert letter.was_pending
        await journal.prune(ALL_ACCOUNTS)

        resent = Accepted(event(1, target="a"), attempts=2)
        journal.append(LetterRedriven(1, 1, 2, event(2, target="a"), resent, letter.reason))
        await journal.flush()

        (actor,) = (await place.store.audit("bank")).actors
        assert (actor.sent, actor.dead_lettered, actor.pending) == (1, 0, 1)
        await journal.close(5)

    async def test_a_forgotten_actor_leaves_the_audit(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        for path in ("a", "a", "b"):
            journal.append(reference.accept(path))
        await journal.flush()

        await journal.forget("a")

        audit = await place.store.audit("bank")
        assert audit.is_balanced, audit
        assert [(actor.path, actor.pending) for actor in audit.actors] == [("b", 1)]
        await journal.close(5)

    async def test_young_accounts_stay(self, place: Place) -> None:
        journal = await place.store.open_journal("bank", options=JournalOptions(retention=None))
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        journal.append(reference.accept("a"))
        await journal.flush()

        assert (await journal.prune(Retention())).accounts.rows == 0
        assert (
            await journal.prune(msgspec.structs.replace(Retention(), accounts_age=None))
        ).accounts.rows == 0
        await journal.close(5)
