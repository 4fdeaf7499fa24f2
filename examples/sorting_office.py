"""A service that runs until it is told to end: a sorting office, which loses no parcel over its closing time.

    python -m examples.sorting_office --store surrealkv://parcels.db --parcels 100

Ctrl-C (or a SIGTERM, as systemd sends it) ends it in order: it goes on sorting for `--drain` seconds; what is
then still queued becomes dead letters. The next start sends those again before it takes new parcels. A second
Ctrl-C ends the sorting at once, a third one everything. The exit code says how it went (`ExitCode`), as in:

    [Service]
    ExecStart=python -m examples.sorting_office --store surrealkv:///var/lib/parcels --parcels 100
    Restart=on-failure
    RestartPreventExitStatus=86

86 is FENCED: another one has taken over, and the two must not take from each other for ever. Under a web
server, which waits for signals itself, enter and leave the system in its lifespan instead: see service.py.
"""

from __future__ import annotations

import argparse

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, DeadLetterFilter, DeadLetterReason, handles


class Parcel(msgspec.Struct, frozen=True):
    number: int


class Sorter(Actor):
    class State(msgspec.Struct):
        sorted: int = 0

    state: State

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_start(self) -> None:
        print(f"The office opens, with {self.state.sorted} parcels sorted so far.", flush=True)

    @handles
    async def sort(self, message: Parcel) -> None:
        print(f"Where does parcel {message.number} go?", flush=True)
        await anyio.sleep(self.seconds)
        self.state.sorted += 1

    def on_stop(self) -> None:
        print(f"The office closes, with {self.state.sorted} parcels sorted.", flush=True)


async def main(store: str, parcels: int, seconds: float, drain: float) -> int:
    """One day at the office; returns the exit code."""
    async with ActorSystem("parcels", store=store) as system:
        sorter = await system.spawn(Sorter, seconds, name="sorter")
        left = await system.dead_letters.redrive(DeadLetterFilter(reason=DeadLetterReason.STOPPED))
        print(f"{left.sent} parcels were left over.", flush=True)
        for number in range(parcels):
            sorter.tell(Parcel(number))
        return await system.run_until_signal(drain=drain)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", default="mem://")
    parser.add_argument("--parcels", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.02, help="per parcel")
    parser.add_argument("--drain", type=float, default=10.0)
    options = parser.parse_args()
    raise SystemExit(anyio.run(main, options.store, options.parcels, options.seconds, options.drain))
