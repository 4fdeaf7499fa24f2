"""`sentient checkpoint verify`: whether today's code loads every checkpoint that is stored."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from typing import Any

import click
import msgspec

from sentient_core.actors import Actor
from sentient_core.actors.checkpoints import RejectedCheckpoint, restore
from sentient_core.actors.ref import cell_of
from sentient_core.cli.app import actor_classes, of_app
from sentient_core.cli.opening import systems_in, to_read
from sentient_core.cli.options import as_json, at_store, of_system, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.codec import Codec
from sentient_core.store import MemoryStore
from sentient_core.store.engine import Engine
from sentient_core.store.every_checkpoint import CheckpointReader, StoredCheckpoint
from sentient_core.store.records import Checkpoint
from sentient_core.store.views import moment
from sentient_core.system import ActorSystem

__all__ = ["Failure", "Verdict", "verify"]


class Failure(msgspec.Struct, frozen=True):
    """A checkpoint that cannot be loaded, and why."""

    system: str
    path: str
    checkpoint_id: str
    kind: str | None
    """Of its actor: the tag of a class."""
    schema_version: int | None
    taken: str
    """UTC."""
    reason: str


class Verdict(msgspec.Struct):
    """What there is to say of all of them."""

    checkpoints: int = 0
    failed: int = 0
    ignored: int = 0
    """Not looked at, as it was asked for."""
    versions: dict[str, Counter[int]] = {}
    """How many there are by their actor's kind and their schema_version, those ignored left out."""
    failures: list[Failure] = []
    """As many as are to be shown."""


@click.command()
@of_app
@click.option(
    "--ignore", "ignored", metavar="KIND", multiple=True, help="Leave out actors whose class has this tag."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="Failures to show."
)
@of_system
@at_store
@as_json
@runs
async def verify(
    apps: tuple[str, ...],
    ignored: tuple[str, ...],
    limit: int,
    system: str | None,
    place: Place,
    is_json: bool,
) -> int:
    """Load every checkpoint of a store as today's code would, and list those that fail.

    That is: all of every actor, not only the newest, those that a killed process has left in its journal
    included; with their digests, by way of upcasters, into the State of the class. No actor is started.
    Exit code 1 if one fails: a gate before a release. An actor whose class the code does not have
    fails, too, unless it is left out by --ignore.
    """
    classes = actor_classes(apps)
    reporter = Reporter()
    verdict = Verdict(versions={}, failures=[])
    async with to_read(place, reporter, one_moment=True) as engine:
        names = await systems_in(engine, system)
        with reporter.step("verifying"), redirect_stdout(sys.stderr):
            async with AsyncExitStack() as stack:
                codecs = {name: await stack.enter_async_context(_codec_of(name)) for name in names}
                judge = _Judge(codecs, classes, frozenset(ignored), limit, verdict)
                await _read_all(CheckpointReader(engine, codecs), engine, judge, reporter)
    if is_json:
        print_json(verdict)
    else:
        _print(verdict, reporter)
    return 1 if verdict.failed else 0


class _Judge:
    """Judges checkpoints, one by one."""

    def __init__(
        self,
        codecs: Mapping[str, Codec],
        classes: Iterable[type[Actor]],
        ignored: Collection[str],
        most_shown: int,
        verdict: Verdict,
    ) -> None:
        self._codecs = codecs
        self._classes = sorted(classes, key=lambda cls: (cls.__module__, cls.__qualname__))
        self._ignored = ignored
        self._most_shown = most_shown
        self._verdict = verdict

    def take(self, stored: StoredCheckpoint) -> None:
        """One more of them."""
        verdict, checkpoint = self._verdict, stored.checkpoint
        verdict.checkpoints += 1
        if stored.kind in self._ignored:
            verdict.ignored += 1
            return
        if checkpoint is not None:
            kind = stored.kind or checkpoint.tag
            verdict.versions.setdefault(kind, Counter())[checkpoint.schema_version] += 1
        why = self._why_not(stored)
        if why is None:
            return
        verdict.failed += 1
        if len(verdict.failures) < self._most_shown:
            verdict.failures.append(
                Failure(
                    system=stored.system,
                    path=stored.path,
                    checkpoint_id=stored.checkpoint_id,
                    kind=stored.kind,
                    schema_version=None if checkpoint is None else checkpoint.schema_version,
                    taken="" if checkpoint is None else f"{moment(checkpoint.at):%Y-%m-%d %H:%M:%S}",
                    reason=why,
                )
            )

    def _why_not(self, stored: StoredCheckpoint) -> str | None:
        """None: a class of today loads it."""
        checkpoint = stored.checkpoint
        if checkpoint is None:
            return stored.why_not
        if stored.kind is None:
            candidates = [cls for cls in self._classes if checkpoint.tag in cls.__blueprint__.state_tags]
        else:
            candidates = [cls for cls in self._classes if stored.kind in cls.__blueprint__.kinds]
        reasons: list[str] = []
        for cls in candidates:
            try:
                self._load(cls, self._codecs[stored.system], checkpoint)
            except RejectedCheckpoint as error:
                reasons.append(f"{cls.__qualname__}: {error}" if len(candidates) > 1 else str(error))
            else:
                return None
        return "; ".join(reasons) or _nobody(stored.kind, checkpoint.tag)

    def _load(self, cls: type[Actor], codec: Codec, checkpoint: Checkpoint) -> None:
        if not cls.__blueprint__.has_state:
            raise RejectedCheckpoint(
                f"{cls.__qualname__} declares no State: its actors start without this one"
            )
        restore(codec, checkpoint, cls.__blueprint__)


def _nobody(kind: str | None, tag: str) -> str:
    if kind is None:
        return f"there is no row of its actor, and no class in the code has a State '{tag}'"
    return (
        f"the code has no actor class '{kind}'. Name the module that has it by --app; if it has another name "
        f"today: class ...(..., aliases=('{kind}',)); if it is gone: --ignore {kind}"
    )


@asynccontextmanager
async def _codec_of(system: str) -> AsyncGenerator[Codec]:
    """What reads the states of a system. A ref in one becomes a ref to an actor that does not live."""
    async with ActorSystem(system, store=MemoryStore(), watchdog=None) as running:
        ref = await running.spawn(_Reader)
        yield cell_of(ref).runtime.codec


class _Reader(Actor[Any]):
    durability = "volatile"


async def _read_all(reader: CheckpointReader, engine: Engine, judge: _Judge, reporter: Reporter) -> None:
    count = 0
    while page := await engine.thread.run(reader.page):
        for stored in page:
            judge.take(stored)
        count += len(page)
        reporter.rows("checkpoints", count)


def _print(verdict: Verdict, reporter: Reporter) -> None:
    if verdict.failures:
        columns = ("system", "path", "checkpoint", "class", "version", "taken (UTC)", "why it fails")
        print_table("checkpoints that cannot be loaded", columns, [_row(found) for found in verdict.failures])
        click.echo()
    if verdict.failed > len(verdict.failures):
        reporter.say(f"{verdict.failed - len(verdict.failures):,} more failed: show them by --limit")
    for kind, versions in sorted(verdict.versions.items()):
        counts = ", ".join(f"{count:,} of version {version}" for version, count in sorted(versions.items()))
        click.echo(f"{kind}: {counts}")
    ignored = f", {verdict.ignored:,} ignored" if verdict.ignored else ""
    click.echo(f"{verdict.checkpoints:,} checkpoints, {verdict.failed:,} cannot be loaded{ignored}")


def _row(failure: Failure) -> tuple[str, ...]:
    return (
        failure.system,
        failure.path,
        failure.checkpoint_id,
        failure.kind or "",
        "" if failure.schema_version is None else str(failure.schema_version),
        failure.taken,
        failure.reason,
    )
