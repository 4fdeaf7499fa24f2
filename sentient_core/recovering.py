"""`ActorSystem.recover`: durable actors that nobody has spawned yet in this start of the process.

Those that their supervisors declare come with them. The others are found by what the store knows of them:
where they lived, the tag of their class, and whether somebody spawned them or their messages did. What
their `__init__` takes is in the code, not in the store; so one that needs arguments is the program's to
spawn, and is told of instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.causes import in_a_line
from sentient_core.codec import tag_of
from sentient_core.errors import InvalidArgument, InvalidCall, NameTaken
from sentient_core.paths import is_anonymous
from sentient_core.store.protocols import Store
from sentient_core.store.records import DurableActor, Origin
from sentient_core.store.unfinished import actors_with_tasks
from sentient_core.supervisor.children import Children
from sentient_core.supervisor.spec import ChildSpec, Restart
from sentient_core.supervisor.virtual import check_arguments, virtual_ref

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime

__all__ = ["DormantActor", "Recovered", "Recovery", "RecoveryProgress", "classes_by_tag", "dormant_actors"]

ACTORS_AT_ONCE = 10_000
MESSAGES_AT_ONCE = 100_000
"""Of at most so many together is in memory what they have left, before they are started."""

_UP = (CellStatus.RUNNING, CellStatus.PAUSED)


class DormantActor(msgspec.Struct, frozen=True):
    """A durable actor that the store knows, and nobody has spawned since the system started."""

    path: str
    kind: str | None
    """Tag of its class; None: only its messages are known."""
    pending: int
    """Messages that wait for it, as far as is known."""


class RecoveryProgress(msgspec.Struct, frozen=True):
    """How far a recovery has come."""

    done: int
    """Actors started, activated or skipped."""
    total: int
    pending: int
    """Messages that those which were started have taken up."""


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery came to."""

    started: int
    """Actors that had been spawned, and are again."""
    activated: int
    """Virtual actors that have something to do."""
    pending: int
    """Messages that waited for them."""
    skipped: Mapping[str, str]
    """Why actors are still dormant, by path."""


def dormant_actors(runtime: Runtime) -> list[DormantActor]:
    """`ActorSystem.dormant`."""
    registry = runtime.registry
    return [
        DormantActor(path, None if actor is None else actor.kind, registry.pending_counts.get(path, 0))
        for path, actor in registry.dormant().items()
    ]


def classes_by_tag(given: Iterable[type[Actor]] | None) -> dict[str, list[type[Actor]]]:
    """Actor classes by their tags: those given, else all that are imported. Raises InvalidArgument."""
    if given is not None and not hasattr(given, "__iter__"):
        raise InvalidArgument(f"recover takes several actor classes, [Account, ...], not {given!r}")
    classes: Iterable[type[Actor]] = _imported() if given is None else [ChildSpec(cls).cls for cls in given]
    found: dict[str, list[type[Actor]]] = {}
    for cls in classes:
        found.setdefault(tag_of(cls), []).append(cls)
    for tag, same in found.items():
        if given is not None and len(same) > 1:
            names = " and ".join(cls.__qualname__ for cls in same)
            raise InvalidArgument(f"{names} have the same tag, {tag!r}: give one of them")
    return found


class Recovery:
    """One run of it."""

    def __init__(
        self,
        root: Cell,
        family_of: Callable[[Cell], Children],
        classes: Mapping[str, list[type[Actor]]],
        timed: Iterable[str],
        store: Store,
        progress: Callable[[RecoveryProgress], object] | None,
    ) -> None:
        self._root = root
        self._runtime = root.runtime
        self._registry = root.runtime.registry
        self._family_of = family_of
        self._classes = classes
        self._timed = frozenset(timed)
        """Paths with durable timers."""
        self._store = store
        self._progress = progress
        self._started = self._activated = self._pending = self._done = self._total = 0
        self._skipped: dict[str, str] = {}

    async def run(self) -> Recovered:
        """Start what can be started, parents before their children."""
        found = {
            path: actor
            for path, actor in self._registry.dormant().items()
            if actor is None or actor.origin is not Origin.VIRTUAL or self._has_to_do(path)
        }
        self._total = len(found)
        self._runtime.recoveries += 1
        try:
            with self._runtime.mirror.journal.postponed_rows():
                await self._start_all(found)
            with_tasks = await self._with_tasks()
            self._total += len(with_tasks)
            await self._start_all(with_tasks)
        finally:
            self._runtime.recoveries -= 1
            self._runtime.adoption.forget_ahead()
        return Recovered(
            started=self._started,
            activated=self._activated,
            pending=self._pending,
            skipped=dict(sorted(self._skipped.items())),
        )

    async def _start_all(self, found: Mapping[str, DurableActor | None]) -> None:
        levels: dict[int, list[str]] = {}
        for path in found:
            levels.setdefault(path.count("/"), []).append(path)
        for _, paths in sorted(levels.items()):
            for some in self._parts(paths):
                await self._recover_all({path: found[path] for path in some})

    async def _with_tasks(self) -> dict[str, DurableActor]:
        """The virtual actors still dormant that have tasks to go on with, which no message tells them of.

        What the store has of tasks is known when all rows are written; so these come behind the others.
        """
        asleep = {
            path: actor
            for path, actor in self._registry.dormant().items()
            if actor is not None and actor.origin is Origin.VIRTUAL and path not in self._skipped
        }
        if not any(self._may_have_tasks(kind) for kind in {actor.kind for actor in asleep.values()}):
            return {}
        await self._runtime.mirror.journal.flush()
        paths = await actors_with_tasks(self._store, self._runtime.system.name)
        return {path: actor for path, actor in asleep.items() if path in paths}

    def _may_have_tasks(self, kind: str) -> bool:
        """Actors of this tag see for themselves what there is to do, once they are awake; or nobody knows."""
        classes = self._classes.get(kind, [])
        return not classes or any(cls.__blueprint__.at_ready is not None for cls in classes)

    def _parts(self, paths: Iterable[str]) -> Iterator[list[str]]:
        """Paths in parts that may be in memory together."""
        part: list[str] = []
        messages = 0
        for path in paths:
            pending = self._registry.pending_counts.get(path, 0)
            if part and (len(part) >= ACTORS_AT_ONCE or messages + pending > MESSAGES_AT_ONCE):
                yield part
                part, messages = [], 0
            part.append(path)
            messages += pending
        if part:
            yield part

    async def _recover_all(self, actors: Mapping[str, DurableActor | None]) -> None:
        """Read what all of them have left, then start them all."""
        limits: dict[int, list[str]] = {}
        for path, actor in actors.items():
            classes = (
                [] if actor is None or actor.origin is Origin.DECLARED else self._classes.get(actor.kind, [])
            )
            if len(classes) == 1:
                limits.setdefault(classes[0].__blueprint__.mailbox.capacity, []).append(path)
        for limit, paths in limits.items():
            await self._runtime.adoption.read_ahead(paths, limit)
        async with anyio.create_task_group() as tasks:
            for path, actor in actors.items():
                tasks.start_soon(self._recover, path, actor)

    def _has_to_do(self, path: str) -> bool:
        return path in self._registry.pending_counts or path in self._timed

    async def _recover(self, path: str, actor: DurableActor | None) -> None:
        pending = self._registry.pending_counts.get(path, 0)
        if self._registry.find(path) is None:  # else somebody else has spawned it meanwhile
            try:
                why = await self._start(path, actor)
            except NameTaken:
                why = None
            except Exception as error:  # noqa: BLE001 - as for a supervisor: whatever a start may raise
                why = f"it did not start: {in_a_line(error)}"
            if why is not None:
                self._skipped[path] = why
                pending = 0
        self._pending += pending
        self._done += 1
        if self._progress is not None:
            self._progress(RecoveryProgress(self._done, self._total, self._pending))

    async def _start(self, path: str, actor: DurableActor | None) -> str | None:
        """Start one; says why not."""
        if is_anonymous(path):
            return "the runtime made its name, so nobody can be spawned under it again"
        if actor is None:
            return "the store does not know its class"
        if actor.is_over:
            return "it had ended for good, with messages left"
        if actor.origin is Origin.DECLARED:
            return "its supervisor declares it, or did: it starts with that"
        if actor.origin is Origin.VIRTUAL:
            return self._activate(path, actor)
        return await self._spawn(path, actor)

    async def _spawn(self, path: str, actor: DurableActor) -> str | None:
        above, _, name = path.rpartition("/")
        parent = self._registry.find(above) if above else self._root
        if parent is None or parent.status not in _UP:
            return f"its parent '{above}' is not there"
        family = self._family_of(parent)
        if family.template is not None and tag_of(family.template.cls) == actor.kind:
            spec = family.template.of_pool(name, (), {})
        else:
            cls = self._class_of(actor)
            if isinstance(cls, str):
                return cls
            spec = ChildSpec(cls, name=name, restart=Restart.TRANSIENT)
        try:
            check_arguments(spec.cls, spec.args, dict(spec.kwargs))
        except InvalidCall as error:
            return f"its arguments are in the code alone: spawn it ({error})"
        await family.spawn(spec)
        self._started += 1
        return None

    def _activate(self, path: str, actor: DurableActor) -> str | None:
        cls = self._class_of(actor)
        if isinstance(cls, str):
            return cls
        try:
            ref = virtual_ref(self._family_of(self._root), cls, path.rpartition("/")[2], (), {})
        except InvalidCall as error:
            return f"its arguments are in the code alone: get_or_spawn it ({error})"
        cell = self._registry.get(ref.path)
        if cell.inbox is not None:
            cell.inbox.unread.is_there = True
            if not cell.scheduled:
                self._runtime.dispatcher.schedule(cell)
        self._activated += 1
        return None

    def _class_of(self, actor: DurableActor) -> type[Actor] | str:
        """The class of a stored actor, or why there is none."""
        classes = self._classes.get(actor.kind, [])
        if not classes:
            return f"no class with the tag {actor.kind!r} is known: import it, or give it to recover"
        if len(classes) > 1:
            names = ", ".join(f"{cls.__module__}.{cls.__qualname__}" for cls in classes)
            return f"several classes have the tag {actor.kind!r} ({names}): give the right one to recover"
        if not classes[0].__blueprint__.is_durable:
            return f"{classes[0].__qualname__} is not durable any more"
        return classes[0]


def _imported() -> list[type[Actor]]:
    """Every durable class of actors that there is in this process, each once."""
    seen: dict[type[Actor], None] = {}
    below = type.__subclasses__(Actor)
    while below:
        cls = below.pop()
        if cls not in seen:
            seen[cls] = None
            below += type.__subclasses__(cls)
    return [cls for cls in seen if cls.__blueprint__.is_durable]
