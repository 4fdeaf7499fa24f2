"""Agents that call a model, which is at times too busy, at times unreachable, and costs money.

    python -m examples.agents

What goes wrong says what is to be done about it: a busy model is asked again after the time it names, an
unreachable one with longer and longer waits; a document that nobody can digest is quarantined, and the agent
goes on with the next one; where the money is spent the agent pauses until somebody grants more. No message
is lost, nobody who asked notices more than a delay, and the tree shows how all of them are.
"""

from __future__ import annotations

import anyio
import msgspec
import structlog

from sentient_core import (
    Actor,
    ActorSystem,
    Backoff,
    BudgetExceeded,
    ChildSpec,
    DeadLetterFilter,
    HandlerFailed,
    Poison,
    RateLimited,
    Request,
    Supervisor,
    Transient,
    handles,
)


class Model:
    """A stand-in for a model behind an API: it fails as such things fail, always in the same way."""

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self.calls = 0

    async def summary(self, text: str) -> str:
        await anyio.sleep(0.001)
        self.calls += 1
        if self.calls == 2:
            raise RateLimited(retry_after=0.05)
        if self.calls in (4, 5):
            raise Transient("the connection was reset")
        if "\0" in text:
            raise Poison("this is no text")
        if self.credit == 0:
            raise BudgetExceeded("the credit is used up")
        self.credit -= 1
        return text.split(".", maxsplit=1)[0]


class Summarize(Request[str], frozen=True):
    """Ask for the gist of a document."""

    text: str


class Summarizer(Actor):
    class State(msgspec.Struct):
        done: int = 0

    state: State

    def __init__(self, model: Model) -> None:
        self.model = model

    @handles
    async def summarize(self, message: Summarize) -> str:
        summary = await self.model.summary(message.text)
        self.state.done += 1
        await self.checkpoint()
        return summary


async def main() -> None:
    """Some documents, and a model that is in a bad mood."""
    model = Model(credit=4)

    class Desk(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=10, within=5.0, backoff=Backoff(first=0.01, most=1.0))
        children = (ChildSpec(Summarizer, name="reader", args=(model,)),)

    async with ActorSystem("agents", store="mem://") as system:
        await system.spawn(Desk, name="desk")
        reader = system.get("desk/reader")
        for text in ("Ants work. A lot.", "Bees dance. In eights.", "\0\1\2", "Cats sleep. By day."):
            try:
                print(f"-> {await reader.ask(Summarize(text), timeout=5.0)}")
            except HandlerFailed as error:
                print(f"-> none, since {error.__cause__}")

        async with system.alerts.follow() as alerts:
            reader.tell(Summarize("Dogs bark. At cats."))  # the last that the credit is good for
            reader.tell(Summarize("Eels swim. Far away."))
            alert = await anext(alerts)
        print(
            f"{alert.alert}: {alert.cause}. {reader.statistics().depth} document waits; the tree of agents:"
        )
        print(system.tree())

        model.credit += 10
        reader.resume()
        print(f"-> {await reader.ask(Summarize('Foxes are back. And clever.'), timeout=5.0)}")
        await system.flush()
        [quarantined] = await system.dead_letters.list(DeadLetterFilter(reason="quarantined"))
        print(f"In quarantine: {quarantined.message_type}, {quarantined.cause}")
        print(f"Incarnation {reader.incarnation}, {model.calls} calls, nothing lost.")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # what is printed is enough here
    anyio.run(main)
