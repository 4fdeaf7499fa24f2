"""A program without `async`: several threads count the words of texts, one actor keeps the tally.

    python -m examples.threads

The actor system runs in a thread of its own. Every thread of the program uses it by plain calls, and none
needs a lock: the tally is the state of an actor, which handles one message at a time.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from sentient_core import Actor, ActorRef, ActorSystem, FromThread, Request, handles

TEXTS = {
    "a proverb": "A watched pot never boils.",
    "a rhyme": "Row, row, row your boat, gently down the stream.",
    "a rule": "Never row a boat without a boat.",
    "a riddle": "What has a bed and never sleeps? A stream.",
}


class Words(msgspec.Struct, frozen=True):
    """How often each word stands in one text."""

    text: str
    counts: dict[str, int]


class MostCommon(Request[list[tuple[str, int]]], frozen=True):
    """Ask for the most common words."""

    how_many: int


class Tally(Actor):
    class State(msgspec.Struct):
        texts: list[str] = []
        counts: dict[str, int] = {}

    state: State

    @handles
    def add(self, message: Words) -> None:
        self.state.texts.append(message.text)
        for word, count in message.counts.items():
            self.state.counts[word] = self.state.counts.get(word, 0) + count

    @handles
    def most_common(self, message: MostCommon) -> list[tuple[str, int]]:
        ranking = sorted(self.state.counts.items(), key=lambda item: (-item[1], item[0]))
        return ranking[: message.how_many]


def count(system: FromThread, tally: ActorRef[Tally], text: str) -> int:
    """Count the words of one text, in whichever thread; returns how many there are."""
    words = [word.strip(".,?").lower() for word in TEXTS[text].split()]
    system.tell(tally, Words(text, dict(Counter(words))))  # goes on at once
    return len(words)


def main() -> None:
    """Count all texts in four threads."""
    with ActorSystem("threads", store="mem://").in_thread() as system, ThreadPoolExecutor(4) as pool:
        tally = system.spawn(Tally, name="tally")

        for text, words in zip(TEXTS, pool.map(partial(count, system, tally), TEXTS), strict=True):
            print(f"{text} has {words} words")

        # The messages of those threads are in the mailbox before this one: they were told before.
        for word, times in system.ask(tally, MostCommon(3), timeout=5.0):
            print(f"'{word}' stands there {times} times")

    print("The system has ended, and its thread with it.")


if __name__ == "__main__":
    main()
