"""Plays a program on a real system, under a schedule that its seed decides, and looks on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import trio
from anyio.abc import TaskGroup

from sentient_core.actors.ref import ActorRef
from sentient_core.causes import in_a_line
from sentient_core.config import Settings
from sentient_core.errors import (
    ActivationFailed,
    CommitTimeout,
    FaultInjected,
    Fenced,
    HandlerFailed,
    SentientError,
)
from sentient_core.events import AgentEvent
from sentient_core.faults import FaultPlan
from sentient_core.faults.faults import Injected
from sentient_core.logs import LogLevel
from sentient_core.mailbox import DeadLetter, DeadLetterReason
from sentient_core.store import MemoryStore
from sentient_core.store.protocols import JournalOptions
from sentient_core.system import ActorSystem, runtime_of
from sentient_core.testing.simulation.cast import (
    Failed,
    Job,
    Read,
    Refused,
    publish,
    spec_of,
    virtual_class,
)
from sentient_core.testing.simulation.determinism import deterministic
from sentient_core.testing.simulation.following import Followers
from sentient_core.testing.simulation.listening import ListenedFaults
from sentient_core.testing.simulation.messages import Message, Origin
from sentient_core.testing.simulation.program import Do, Kind, Part, Program, Step, Task, paths_of
from sentient_core.testing.simulation.witness import Process, Witness, current_process

__all__ = ["Outcome", "play"]

_NAME = "simulated"
_OPTIONS = JournalOptions(tail_bytes=20_000, room_patience=20.0)
_SETTINGS = Settings(log_level=LogLevel.CRITICAL)
_QUIET_SECONDS = 200.0
"""After so long nothing of a program is under way any more: waits, timers, backoffs, timeouts."""
_MOST_SECONDS = 100_000.0
_MOST_STARTS = 50
_REFUSED = (DeadLetterReason.FULL, DeadLetterReason.STOPPED)
"""What may become of a message as it is sent."""
_ENDS = (Do.CRASH, Do.REBOOT)
_OUTSIDE = "outside"


class Outcome(msgspec.Struct, frozen=True):
    """What came of a program."""

    program: Program
    complaints: tuple[str, ...]
    """What must not have been; empty: nothing."""
    trace: tuple[str, ...]
    """What has happened, in order: virtual seconds, then what."""

    @property
    def is_well(self) -> bool:
        return not self.complaints


def play(program: Program) -> Outcome:
    """Play a program from its beginning. The same program has the same outcome.

    It has the process to itself meanwhile, and runs an event loop of its own.
    """
    with deterministic(program.seed) as clock:
        witness = Witness(program, clock.current_time)
        try:
            trio.run(_Player(program, witness).run, clock=clock)
        except Exception as error:  # noqa: BLE001 - what escapes from the runtime is what is looked for
            witness.complain(f"{in_a_line(error)} came out of the system")
    return Outcome(program, tuple(witness.complaints), tuple(witness.trace))


class _Player:
    def __init__(self, program: Program, witness: Witness) -> None:
        self._program = program
        self._witness = witness
        self._store = MemoryStore()

    async def run(self) -> None:
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        has_crashed = False
        with anyio.move_on_after(_MOST_SECONDS) as patience:
            for steps in _processes(self._program.steps):
                process = _Life(self._program, self._witness, self._store, has_crashed=has_crashed)
                await process.live(steps)
                has_crashed = process.has_crashed
                if self._witness.complaints:
                    return
        if patience.cancelled_caught:
            self._witness.complain("it does not come to an end")
        tasks = trio.lowlevel.current_statistics().tasks_living - tasks_before
        if tasks:
            self._witness.complain(f"{tasks} tasks are left")


def _processes(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps of each process; the last one looks at everything, and ends in order."""
    processes: list[list[Step]] = [[]]
    for step in steps:
        processes[-1].append(step)
        if step.do in _ENDS:
            processes.append([])
    processes[-1] += [Step(do=Do.LOOK), Step(do=Do.REBOOT)]
    if len(processes) > 1 or not any(step.do is Do.CRASH for step in steps):
        processes.append([Step(do=Do.LOOK), Step(do=Do.REBOOT)])
    return processes


class _Life:
    """One process: it enters a system, takes steps, and ends in order or not."""

    def __init__(self, program: Program, witness: Witness, store: MemoryStore, *, has_crashed: bool) -> None:
        self._program = program
        self._witness = witness
        self._store = store
        self._process = Process(witness, has_hidden_ends=bool(program.faults))
        self._after_crash = has_crashed
        self.has_crashed: bool = False
        self._waiting: set[str] = set()
        """Messages whose senders wait for an answer."""
        self._answered = anyio.Event()
        """Set with each answer."""
        self._followers: Followers | None = None

    async def live(self, steps: Sequence[Step]) -> None:
        witness = self._witness
        witness.begins_process()
        witness.note(f"process {witness.books.run} begins")
        current_process.set(self._process)
        system = ActorSystem(
            _NAME,
            store=self._store,
            settings=_SETTINGS,
            journal=_OPTIONS,
            watchdog=None,
        )
        if self._program.faults:
            plan = FaultPlan.from_toml(self._program.faults)
            system.faults = ListenedFaults(plan, self._on_fault, self._on_no_fault)
        _let_go_wrong(system, goes=False)
        async with anyio.create_task_group() as callers:
            try:
                async with system:
                    await self._begin(system)
                    for step in steps:
                        await self._take(system, callers, step)
                        if witness.complaints:
                            break
            except Fenced:
                if not self.has_crashed:
                    raise
            if not self.has_crashed and not witness.complaints:
                await self._ended()
            callers.cancel_scope.cancel()

    async def _begin(self, system: ActorSystem) -> None:
        runtime_of(system, "simulate").chance.seed(self._program.seed)
        process, witness = self._process, self._witness
        if self._after_crash:
            letters = await system.dead_letters.list(limit=100_000)
            witness.books.letters_restored(
                {witness.copies.known(_id_of(letter.payload), letter.message_id) for letter in letters}
            )
        system.dead_letters.subscribe(self._on_letter)
        self._process.backlog = runtime_of(system, "simulate").mirror.journal.backlog
        _let_go_wrong(system, goes=True)
        self._followers = Followers(self._program, process, system)
        self._followers.begin()
        for kind, key in self._program.virtual:
            ref = await system.get_or_spawn(virtual_class(kind), key)
            process.refs[ref.path] = ref
        for part in self._program.parts:
            await self._start(system, part)

    async def _start(self, system: ActorSystem, part: Part) -> None:
        """What is pending may keep a part from starting, as often as it fails its actor."""
        for tries in range(_MOST_STARTS):
            _let_go_wrong(system, goes=tries < _MOST_STARTS // 2)
            try:
                await system.start_child(spec_of(part))
            except (SentientError, Failed) as error:
                self._witness.note(f"{part.name} does not start: {type(error).__name__}")
                self._witness.lives.forget(part.name)
                for path, _ in paths_of((part,)):  # what had started has ended for good
                    self._witness.books.gone_timers(path)
                await anyio.sleep(1.0)  # the store may be away for a while
            else:
                break
        _let_go_wrong(system, goes=True)

    def _on_letter(self, letter: DeadLetter) -> None:
        if self._process.is_over or letter.reason is DeadLetterReason.LATE_REPLY:
            return
        if isinstance(letter.message, AgentEvent) and self._followers is not None:
            self._followers.is_dead(letter.message.event_id, letter.recipient)
        if isinstance(letter.message, Job):
            id_ = letter.message.task.id
            is_full = letter.reason is DeadLetterReason.FULL
            is_volatile = (
                self._witness.parts[letter.recipient].kind is Kind.VOLATILE
            )  # its letter's id is new
            message_id = None if is_volatile else letter.message_id
            is_refused = letter.reason in _REFUSED
            id_ = self._witness.copies.dead(letter.recipient, id_, message_id, is_refused=is_refused)
            self._witness.note(f"{id_} to {letter.recipient} is a dead letter: {letter.reason}")
            # In an outage the letter of what was not accepted may find no room either.
            has_row = not is_full and not self._process.is_store_away
            self._witness.is_dead(letter.recipient, id_, has_row=has_row)

    def _on_fault(self, fault: Injected) -> None:
        if not self._process.is_over:
            self._witness.suffers(fault)

    def _on_no_fault(self, path: str) -> None:
        if not self._process.is_over:
            self._witness.looks_over(path)

    async def _take(self, system: ActorSystem, callers: TaskGroup, step: Step) -> None:
        """One step, and what is to be so behind it."""
        self._witness.note(f"> {step}")
        await self._do(system, callers, step)
        if self._process.is_over:
            await anyio.sleep_forever()  # the system is cancelled, since another start owns its records
        await anyio.sleep(step.wait)
        self._look_at_tree(system)

    async def _do(self, system: ActorSystem, callers: TaskGroup, step: Step) -> None:
        do = step.do
        if do is Do.PUBLISH and step.task is not None:
            callers.start_soon(self._publish, system, step.task)
        elif step.task is not None:
            self._send(callers, step, step.task)
        elif do is Do.OUTAGE:
            self._store.pause()
        elif do is Do.RECOVERY:
            self._store.resume()
        elif do is Do.REBOOT:
            _let_go_wrong(system, goes=False)
            self._store.resume()
        elif do is Do.CRASH:
            self._store.is_paused = False  # and nothing that it has not committed ever is
            _let_go_wrong(system, goes=False)
            await self._store.open_journal(_NAME)
            self._process.is_over = self.has_crashed = True
            if self._followers is not None:
                self._followers.end()
            self._witness.crash()
        elif do is Do.LOOK:
            await self._look(system)
        elif do in (Do.FOLLOW, Do.UNFOLLOW) and self._followers is not None:
            (self._followers.follow if do is Do.FOLLOW else self._followers.unfollow)(step.to)
        elif step.to in self._process.refs:
            await self._interfere(system, do, step.to)

    async def _interfere(self, system: ActorSystem, do: Do, path: str) -> None:
        ref, lives = self._process.refs[path], self._witness.lives
        above, _, name = path.rpartition("/")
        if do is Do.STOP:
            ref.stop()
        elif do is Do.DRAIN:
            ref.drain()
        elif do is Do.KILL:
            lives.is_killed(path, self._witness.now())
            if self._process.is_store_away and self._witness.parts[path].kind is Kind.TEAM:
                # Its start may have failed for the store, of which a killed one does not come to tell.
                lives.costs_nothing(path, self._witness.now())
            ref.kill()
        elif do is Do.PAUSE:
            ref.pause()
        elif do is Do.RESUME:
            ref.resume()
        elif above in self._process.refs and do in (Do.TERMINATE, Do.RESTART):
            team = self._process.refs[above]
            lives.costs_nothing(path, self._witness.now())
            try:
                with anyio.move_on_after(30.0):
                    if do is Do.TERMINATE:
                        lives.is_terminated(path, is_so=True)
                        await team.terminate_child(name)
                    else:
                        await team.restart_child(name)
                        lives.is_terminated(path, is_so=False)
            except (SentientError, Failed) as error:
                self._witness.note(f"{do} {path}: {type(error).__name__}")

    def _send(self, callers: TaskGroup, step: Step, task: Task) -> None:
        process, witness = self._process, self._witness
        if step.to not in process.refs:
            return
        ref, kind = process.refs[step.to], witness.parts[step.to].kind
        message = witness.books.sent(task.id, step.to, kind, Origin.OUTSIDE)
        message.has_id = step.has_id
        message_id = task.id if step.has_id else None
        if step.do is Do.TELL:
            try:
                ref.tell(Job(task, "", witness.next_number()))
            except FaultInjected:
                witness.books.is_refused(task.id)
        elif step.do is Do.SEND:
            sending = ref.send(Job(task), timeout=step.timeout, message_id=message_id)
            callers.start_soon(self._call, message, sending)
        else:
            job = Job(task, is_asked=not step.has_id)  # the same content, however it is sent under an id
            call = ref.ask(job, timeout=step.timeout or 30.0, message_id=message_id)
            callers.start_soon(self._call, message, call, True)

    async def _publish(self, system: ActorSystem, task: Task) -> None:
        with suppress(SentientError):  # the witness has been told
            await publish(self._process, system, f"{task.id}.published", _OUTSIDE, fails=task.fails)

    async def _call(self, message: Message, call: Awaitable[object], is_ask: bool = False) -> None:
        """Wait for the answer to a `send` or `ask`."""
        witness, id_ = self._witness, message.id
        self._waiting.add(id_)
        try:
            answer = await call
        except (SentientError, Refused) as error:
            if self._process.is_over:
                return
            witness.note(f"{id_} is answered by {type(error).__name__}")
            message.is_final = isinstance(error, Refused)
            message.is_asker_gone = True
            if isinstance(error, FaultInjected) and not message.has_id:
                witness.books.is_refused(id_)
            if isinstance(error, HandlerFailed) and not message.dead:
                witness.complain(f"who asked was told of a failure, and what has become of the {message}?")
            if not isinstance(error, CommitTimeout | HandlerFailed | Refused):
                message.may_be_gone = f"answered by {type(error).__name__}"
        else:
            if self._process.is_over:
                return
            witness.note(f"{id_} is answered")
            message.is_acknowledged = True
            message.may_be_gone = ""  # if a first try was refused, this one was not
            if is_ask and answer == id_ and not message.handled:
                witness.complain(f"who asked got an answer, and what has become of the {message}?")
        finally:
            self._waiting.discard(id_)
            self._answered.set()

    async def _look(self, system: ActorSystem) -> None:
        """Bring all to rest, and compare it with what is known."""
        witness, refs = self._witness, self._process.refs
        _let_go_wrong(system, goes=False)
        self._store.resume()
        for ref in refs.values():
            ref.resume()
        await anyio.sleep(_QUIET_SECONDS)
        ends = -1
        while (
            ends != witness.books.ended and not witness.complaints
        ):  # a virtual actor whose start has failed comes with a message
            ends = witness.books.ended
            for path, ref in refs.items():
                if not ref.is_alive:
                    witness.books.gone_timers(path)
                elif witness.parts[path].kind is not Kind.TEAM:
                    await self._read(path, ref)
            await anyio.sleep(10.0)
        audit = await system.audit()
        if not audit.is_balanced:
            witness.complain(f"the audit is not balanced: {audit}")
        witness.books.commit()
        for path, part in witness.parts.items():
            if part.kind is Kind.DURABLE:
                witness.states.commit(path)
        witness.books.balance(witness.now(), is_end=False)
        witness.events.commit()
        if self._followers is not None:
            await self._followers.look()
        witness.lives.look(lambda path: path in refs and refs[path].is_alive)
        _let_go_wrong(system, goes=True)
        runtime = runtime_of(system, "simulate")
        if runtime.dispatcher.busy:
            witness.complain(f"{runtime.dispatcher.busy} workers are busy, and all should be quiet")

    async def _read(self, path: str, ref: ActorRef[Any]) -> None:
        """Have it say what it knows, which it compares with what it should."""
        for _ in range(_MOST_STARTS):
            try:
                await ref.ask(Read(), timeout=60.0)
            except ActivationFailed:
                continue  # a bad start
            except SentientError as error:
                self._witness.complain(f"{path} is alive and does not answer: {in_a_line(error)}")
            return

    def _look_at_tree(self, system: ActorSystem) -> None:
        """What has to be so at any moment."""
        names = Counter(node.path for _, node in system.tree().walk())
        twice = [path for path, times in names.items() if times > 1]
        if twice:
            self._witness.complain(f"there are two of {', '.join(twice)}")
        for path, ref in self._process.refs.items():
            if not ref.is_alive:
                self._witness.books.gone_timers(path)

    async def _ended(self) -> None:
        """The system has ended in order."""
        witness = self._witness
        with anyio.move_on_after(60.0) as patience:
            while self._waiting:
                self._answered = anyio.Event()
                await self._answered.wait()
        if patience.cancelled_caught:
            who = ", ".join(sorted(self._waiting))
            witness.complain(f"the system has ended, and who sent {who} waits still")
        self._process.is_over = True
        witness.note(f"process {witness.books.run} has ended")
        witness.lives.ends_in_order()
        witness.books.commit()
        for path, part in witness.parts.items():
            if part.kind is Kind.DURABLE:
                witness.states.commit(path)
        witness.books.balance(witness.now(), is_end=True)
        witness.events.commit()
        if self._followers is not None:
            self._followers.end()


def _let_go_wrong(system: ActorSystem, *, goes: bool) -> None:
    """Let the plan of faults strike, or not for now."""
    if system.faults is not None:
        (system.faults.resume if goes else system.faults.pause)()


def _id_of(payload: Mapping[str, Any]) -> str:
    return str(payload["task"]["id"]) if "task" in payload else ""
