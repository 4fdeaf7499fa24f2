"""What the tail knows of messages sent under ids: where the records are that are not in rows yet."""

from __future__ import annotations

from sentient_core.store.outcomes import IdKey, id_key, memo_key, memo_name, outcome_of
from sentient_core.store.records import AnyRecord, DeadLetterRecord, Forgotten, Key, Noted, Settled
from sentient_core.store.tail_inboxes import Place

__all__ = ["TailOutcomes"]


class TailOutcomes:
    """The places of the last records about ids. Belongs to the store thread."""

    def __init__(self) -> None:
        self.ids: dict[IdKey, Place] = {}
        self.memos: dict[Key, dict[str, Place]] = {}
        self._keys: dict[int, list[IdKey | tuple[Key, str]]] = {}
        """What an entry is about, for when it is projected."""

    def note(self, record: AnyRecord, epoch: int, place: Place) -> None:
        """A record of an entry of this epoch."""
        if isinstance(record, Noted):
            self._note_memo(memo_key(record, epoch), record.name, place)
            return
        if isinstance(record, Forgotten):
            self.ids = {key: at for key, at in self.ids.items() if key[0] != record.path}
            self.memos = {key: names for key, names in self.memos.items() if key[0] != record.path}
            return
        if isinstance(record, Settled):
            if record.has_memos:
                self.memos.pop((record.path, record.epoch or epoch, record.seq), None)
            return
        if isinstance(record, DeadLetterRecord) and record.has_memos:
            self.memos.pop((record.recipient, record.epoch or epoch, record.seq), None)
        known = outcome_of(record)
        if known is None:
            return
        sent = known[0]
        if sent.asker is not None:
            self._note_memo(sent.asker, memo_name(sent), place)
        else:
            self.ids[id_key(sent)] = place
            self._keys.setdefault(place[0], []).append(id_key(sent))

    def forget(self, number: int) -> None:
        """This entry is in its rows; those before it are forgotten."""
        for about in self._keys.pop(number, ()):
            first, name = about
            if isinstance(first, str):
                if self.ids.get((first, name), (number + 1,))[0] <= number:
                    del self.ids[first, name]
                continue
            names = self.memos.get(first)
            if names is not None and names.get(name, (number + 1,))[0] <= number:
                del names[name]
                if not names:
                    del self.memos[first]

    def _note_memo(self, key: Key, name: str, place: Place) -> None:
        self.memos.setdefault(key, {})[name] = place
        self._keys.setdefault(place[0], []).append((key, name))
