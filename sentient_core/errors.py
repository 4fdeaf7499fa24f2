"""Every error the runtime raises, in one tree. Leaves carry the data; their text says what to do.

SentientError
├── InvalidArgument (ValueError)         a value that can never work: options, timeouts, names
│   ├── InvalidName                      an actor's or a system's name
│   ├── InvalidHandler                   a @handles method the dispatch table cannot take
│   ├── InvalidUpcaster                  an @upcast method that leads nowhere, or cannot be called
│   ├── InvalidChildSpec                 a child that no supervisor could start
│   │   ├── InvalidChildClass            it is no class of actors
│   │   ├── InvalidChildArguments        what its class is to be made with is no sequence, or no mapping
│   │   ├── InvalidRestart               of no known restart type
│   │   ├── InvalidShutdown              its grace is no time
│   │   ├── InvalidStartTimeout          its start deadline is no time
│   │   ├── InvalidSignificance          it is significant, and its end could never end its supervisor
│   │   └── DuplicateChild               two children of one name
│   ├── InvalidStrategy                  a supervisor's strategy that cannot work
│   │   ├── InvalidIntensity             its window, or the budget of a tree
│   │   ├── InvalidBackoff               its backoff, or a child's
│   │   └── InvalidDecision              its rules for failures, or a child's
│   ├── UnstorableRow                    what was to be written into a row cannot be stored
│   ├── InvalidStoreUrl                  a store address of an unknown or unusable form
│   ├── InvalidPage                      a task's input_data that no page can be made of
│   ├── InvalidSandboxRequest            what a sandbox cannot be asked for
│   │   ├── UnknownSandboxCommand        a command that it does not know
│   │   ├── SandboxPathRefused           a path that leads out of it, or that something is in the way of
│   │   └── SandboxFileTooLarge          more bytes than it takes in one file
│   ├── InvalidSetting                   a variable of the settings; carries its name
│   ├── InvalidEnvFile                   a file of settings that cannot be read
│   ├── UnknownEventType                 of an event: neither one of ours nor a name with a dot
│   ├── InvalidPayload (TypeError)       of an event: no store could hold it, or not give it back as it was
│   │   └── EventTooLarge                more bytes than the store takes in one record
│   ├── InvalidFaultPlan                 a plan of faults, or a rule of one, that means nothing
│   ├── InvalidCursor                    no text that an event bus has given out, or one of another store
│   ├── InvalidCall (TypeError)          arguments that a proxied method, or an __init__, does not take
│   ├── InvalidField                     a value that a field of a task, a state or an event cannot have
│   ├── UnstorableValue                  what no payload can hold; names its place
│   │   └── InvalidPayload (TypeError)   of an event
│   │       └── EventTooLarge            more bytes than the store takes in one record
│   ├── InvalidPatch                     a JSON Patch that is none, or cannot be applied; names the operation
│   ├── InvalidReplay                    a text that no simulation can be played from; names the line
│   ├── InvalidWorkflow                  steps that do not fit together
│   ├── DependencyCycle                  a step of a workflow would wait for itself
│   └── ForeignRef                       a ref of another actor system was used in this one
├── NameTaken                            the path is in use; carries the living ref
├── ActorLives                           what is stored of a path where somebody lives cannot be forgotten
├── BeingForgotten                       nobody can be spawned at a path while it is being forgotten
├── UnknownActor (LookupError)           no actor lives under this path
├── EmptyGroup (LookupError)             nobody is in a group that somebody was wanted from
├── SystemClosed                         the actor system has ended or has not been entered
├── WrongThread                          called on a thread that it is not for
├── SignalsUnavailable                   the operating system's signals cannot be waited for here
├── WaitTimeout (TimeoutError)           a thread has waited long enough; it was no ask or send
├── UnencodableMessage (TypeError)       a message that the store could not hold
│   └── MessageTooLarge                  more bytes than the store takes in one record
├── UnencodableState (TypeError)         a state that the store could not hold
│   └── StateTooLarge                    more bytes than its class allows, or than the store takes
├── TurnTooLarge                         all that a durable actor's turn leaves is more than the store takes
├── NotExposed (AttributeError)          a name that a proxy does not reach
├── NotHandedOver (TypeError)            a value that can be neither shared nor copied, at a proxy
├── UncopyableMessage (TypeError)        a message (or reply) of which isolation can make no copy
├── UnencodableResult (TypeError)        what was done once has a result that the store could not hold
├── MessageIdConflict                    a message was sent before under the same message_id, another one
│   └── TaskIdConflict                   an agent was given another task under the same task_id before
├── DeliveryError                        a message was not accepted, or an ask has no reply; carries the
│   │                                    message and the ref: what to catch around a `send` or an `ask`
│   ├── ActorStopped                     the target has ended, or ended before it replied
│   ├── ActivationFailed                 the target, a virtual actor, did not start for it
│   ├── MailboxFull                      refused for want of room
│   ├── SendTimeout (TimeoutError)       no room in the mailbox, or in the store, in time
│   ├── CommitTimeout (TimeoutError)     accepted by a durable actor, and not known to be committed in time
│   ├── MessageExpired                   its time was over before there was room, or before its turn
│   ├── MessageChanged                   it was changed after it was sent (isolation check)
│   └── AskError                         what only an ask can come to
│       ├── AskTimeout (TimeoutError)    no reply in time
│       ├── AskCycle                     it would wait for itself
│       ├── MessageDropped               a full mailbox's overflow policy chose it
│       ├── ReplyUnreadable              the recorded reply to an earlier try is none that the code knows
│       ├── HandlerFailed                the handler raised; `__cause__` is what it raised
│       └── UnhandledMessage             the target has no handler for this type
├── NotSpawned                           an instance of an actor class that belongs to no system
├── NotInTurn                            a stash, timer or the like was used outside of a turn
├── StashFull                            no room for another stashed message
├── ActorKilled                          why an actor that was killed is down
├── DeathPactError                       why an actor failed that did not handle a Terminated
├── LinkBroken                           why an actor failed that was linked to one that ended
├── HandlerCancelled                     a handler let a cancellation escape that nobody asked for
├── HandlerOverdue                       why an actor failed whose handler took longer than its time limit
├── HandlerAbandoned                     why an actor failed whose handler did not end when it was cancelled
├── StaleIncarnation                     an ended instance tried to act as its actor
├── DeadLetterError                      what was asked cannot be done with a dead letter; carries its id
│   ├── UnknownDeadLetter (LookupError)  the store has none of this message
│   ├── DeadLetterSettled                it was redriven or discarded already
│   └── NotRedrivable                    it cannot be sent again, and why
├── StartFailed                          an actor did not start; carries its path, `__cause__` says why
│   ├── StartTimeout (TimeoutError)      not within its start deadline
│   └── StartIgnored                     its `on_start` returned IGNORE
├── RestartLimitExceeded                 a supervisor gave up: more restarts than its window allows
├── Escalated                            why a supervisor failed: a child's failure was escalated to it
├── ChildError                           what was asked cannot be done with a child; carries its name
│   ├── UnknownChild (LookupError)       the supervisor has none of this name
│   ├── ChildPresent                     there is a child of this name, which has ended: restart_child
│   ├── ChildRunning                     it runs, or is being started or stopped
│   ├── ChildRestarting                  it waits for its next start
│   └── PoolFull                         the pool has as many children as it may
├── EventBusError                        what was asked of an event bus cannot be done
│   ├── EventBusStopped                  it was stopped, or has not been started
│   ├── CursorExpired                    events behind it are deleted; carries the oldest cursor there is
│   └── SubscriberTaken                  somebody else follows under this name now
├── AgentFailure                         for handlers to raise: failures that say what is to be done
│   ├── RateLimited                      too many requests: restart not before a time
│   ├── Transient                        gone with another try
│   ├── Poison                           it is the message's fault: quarantine it, go on
│   └── BudgetExceeded                   pause until somebody resumes the actor
├── FaultInjected                        a fault plan has said that this is to fail; says where
├── IllegalTransition                    a status that does not follow the one there is; names both
├── IdTaken                              there is a row of this id already
├── OwnedByActor                         a living actor writes this row; carries its path
├── SandboxError                         what agents deploy with
│   ├── SandboxMissing (ValueError)      the agent was given none
│   ├── SandboxClosed                    it is used outside of its block
│   └── SandboxUnusable                  its directory or its port cannot be used
├── TaskError                            a task of an agent
│   ├── TaskFailed                       its code raised, or took too long; carries what it said
│   ├── TaskTimedOut (TimeoutError)      that it took too long
│   ├── UnknownTask (LookupError)        the agent has no such task unfinished, or nobody has
│   ├── NotInTask                        what belongs to the code of a task was called elsewhere
│   ├── InvalidItem                      what a task yields or reports is no item
│   ├── AgentGone                        its agent ended for good; the task stays unfinished
│   ├── CheckpointOfAnother              a checkpoint of another agent cannot be restored
│   └── CheckpointNotTaken               what the task at work has put into the state cannot be stored
├── WorkflowError                        a workflow; carries its id
│   ├── WorkflowFailed                   a step has failed for good; carries the step and the cause
│   ├── WorkflowCancelled                somebody has cancelled it
│   ├── UnknownWorkflow (LookupError)    there is none of this id
│   ├── WorkflowOver                     it has ended, and takes no signals any more
│   ├── TooManySignals                   it keeps as many as it may that nobody has waited for
│   ├── SignalTimeout (TimeoutError)     a signal that the code of a task waits for has not come in time
│   └── MissingInput                     a step's input is to come from where nothing is
├── TurnFailed                           a turn that something waited for has left nothing
├── NoSuchState (LookupError)            the store has no state of an actor that is as old as that
├── CheckpointUnusable                   no stored checkpoint of an actor can be loaded
└── StoreError                           the store
    ├── StoreUnavailable                 cannot be reached, does not answer, is closed; nothing is said
    │   │                                about the outcome of what was under way
    │   └── LiveQueryLost                a live query has ended; what happens from then on is not told
    ├── StoreInUse                       another process holds the database directory
    ├── StoreRefused                     the store answered: it did not do it
    │   └── RowConflict                      a row has another revision than was expected: read it again
    ├── StoreDamaged                     what is stored was changed, removed or torn: nobody goes on with it
    ├── StorePathUnusable                the directory cannot be made or written
    ├── NoSuchStore                      there is no store of this package at that address
    ├── RestoreUnfinished                it holds a part of a backup: a restore goes on, or was killed
    ├── BackupUnusable                   a file that is no backup, a damaged one, one of a newer release
    ├── StoreSchemaTooNew                written by a newer release than this one
    ├── LiveQueriesUnavailable           this database, or this installation, has no live queries
    ├── StoreAccessDenied                the server knows no such user, or lets it do too little
    ├── StoreTlsFailed                   no trusted connection to the server
    ├── StoreVersionUnsupported          a server of a version that was not tried
    └── Fenced                           a later start owns this system's records now

AskTimeout, SendTimeout and WaitTimeout are TimeoutErrors, and Python's TimeoutError is an OSError: an
`except OSError` around an ask takes them too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sentient_core.causes import class_sent, in_a_line, kind_of

if TYPE_CHECKING:
    from sentient_core.actors.ref import ActorRef

__all__ = [
    "ActivationFailed",
    "ActorKilled",
    "ActorLives",
    "ActorStopped",
    "AgentFailure",
    "AgentGone",
    "AskCycle",
    "AskError",
    "AskTimeout",
    "BackupUnusable",
    "BeingForgotten",
    "BudgetExceeded",
    "CheckpointNotTaken",
    "CheckpointOfAnother",
    "CheckpointUnusable",
    "ChildError",
    "ChildPresent",
    "ChildRestarting",
    "ChildRunning",
    "CommitTimeout",
    "CursorExpired",
    "DeadLetterError",
    "DeadLetterSettled",
    "DeathPactError",
    "DeliveryError",
    "DependencyCycle",
    "DuplicateChild",
    "EmptyGroup",
    "Escalated",
    "EventBusError",
    "EventBusStopped",
    "EventTooLarge",
    "FaultInjected",
    "Fenced",
    "ForeignRef",
    "HandlerAbandoned",
    "HandlerCancelled",
    "HandlerFailed",
    "HandlerOverdue",
    "IdTaken",
    "IllegalTransition",
    "InvalidArgument",
    "InvalidBackoff",
    "InvalidCall",
    "InvalidChildArguments",
    "InvalidChildClass",
    "InvalidChildSpec",
    "InvalidCursor",
    "InvalidDecision",
    "InvalidEnvFile",
    "InvalidFaultPlan",
    "InvalidField",
    "InvalidHandler",
    "InvalidIntensity",
    "InvalidItem",
    "InvalidName",
    "InvalidPage",
    "InvalidPatch",
    "InvalidPayload",
    "InvalidReplay",
    "InvalidRestart",
    "InvalidSandboxRequest",
    "InvalidSetting",
    "InvalidShutdown",
    "InvalidSignificance",
    "InvalidStartTimeout",
    "InvalidStoreUrl",
    "InvalidStrategy",
    "InvalidUpcaster",
    "InvalidWorkflow",
    "LinkBroken",
    "LiveQueriesUnavailable",
    "LiveQueryLost",
    "MailboxFull",
    "MessageChanged",
    "MessageDropped",
    "MessageExpired",
    "MessageIdConflict",
    "MessageTooLarge",
    "MissingInput",
    "NameTaken",
    "NoSuchState",
    "NoSuchStore",
    "NotExposed",
    "NotHandedOver",
    "NotInTask",
    "NotInTurn",
    "NotRedrivable",
    "NotSpawned",
    "OwnedByActor",
    "Poison",
    "PoolFull",
    "RateLimited",
    "ReplyUnreadable",
    "RestartLimitExceeded",
    "RestoreUnfinished",
    "RowConflict",
    "SandboxClosed",
    "SandboxError",
    "SandboxFileTooLarge",
    "SandboxMissing",
    "SandboxPathRefused",
    "SandboxUnusable",
    "SendTimeout",
    "SentientError",
    "SignalTimeout",
    "SignalsUnavailable",
    "StaleIncarnation",
    "StartFailed",
    "StartIgnored",
    "StartTimeout",
    "StashFull",
    "StateTooLarge",
    "StoreAccessDenied",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StorePathUnusable",
    "StoreRefused",
    "StoreSchemaTooNew",
    "StoreTlsFailed",
    "StoreUnavailable",
    "StoreVersionUnsupported",
    "SubscriberTaken",
    "SystemClosed",
    "TaskError",
    "TaskFailed",
    "TaskIdConflict",
    "TaskTimedOut",
    "TooManySignals",
    "Transient",
    "TurnFailed",
    "TurnTooLarge",
    "UncopyableMessage",
    "UnencodableMessage",
    "UnencodableResult",
    "UnencodableState",
    "UnhandledMessage",
    "UnknownActor",
    "UnknownChild",
    "UnknownDeadLetter",
    "UnknownEventType",
    "UnknownSandboxCommand",
    "UnknownTask",
    "UnknownWorkflow",
    "UnstorableRow",
    "UnstorableValue",
    "WaitTimeout",
    "WorkflowCancelled",
    "WorkflowError",
    "WorkflowFailed",
    "WorkflowOver",
    "WrongThread",
]


class SentientError(Exception):
    """The root of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An error of another process (`run_process`) comes as it was. Python would call the class with the
        # text, where it takes the data.
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(cls: type[SentientError], args: tuple[Any, ...]) -> SentientError:
    return cls.__new__(cls, *args)


class InvalidArgument(SentientError, ValueError):
    """A value that can never work, found at the call that brought it."""


class InvalidName(InvalidArgument):
    """An actor's or a system's name that cannot be part of a path."""

    def __init__(self, name: object, why: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot be a name: {why}. A name is 1 to 200 printable characters "
            "without '/', and does not start with '$'."
        )


class InvalidReplay(InvalidArgument):
    """A text is no program of a simulation."""

    def __init__(self, line: int, why: str) -> None:
        self.line: int = line
        """Counted from 1; 0: it is the whole."""
        where = f"line {line}" if line else "the program"
        super().__init__(f"this cannot be replayed: {where}: {why}; `sentient simulate` writes such files")


class UnknownEventType(InvalidArgument):
    """An event type that is neither one of `EventType` nor a user's own."""

    def __init__(self, given: str, near: Iterable[str] = ()) -> None:
        self.given = given
        hint = "".join(f" Did you mean {one!r}?" for one in list(near)[:1])
        super().__init__(
            f"{given!r} is no type of events.{hint} A type of your own has a dot in its name, such as "
            "'shop.order_placed', and is at most 200 printable characters long."
        )


class InvalidCursor(InvalidArgument):
    """A cursor that no event bus of this store has given out."""

    def __init__(self, cursor: object, why: str) -> None:
        self.cursor = cursor
        super().__init__(
            f"{cursor!r} is no cursor here: {why}. Cursors are those of delivered events (event.cursor) and "
            "of `await bus.now()`; '0-0' is the beginning."
        )


class InvalidHandler(InvalidArgument):
    """A `@handles` method that the dispatch table of its class cannot take."""


class InvalidUpcaster(InvalidArgument):
    """An `@upcast` method that leads nowhere, or cannot be called; or one is missing on the way."""


class InvalidChildSpec(InvalidArgument):
    """A child specification that no supervisor could start."""


class InvalidChildClass(InvalidChildSpec):
    """What is to be a child is no class of actors."""

    def __init__(self, given: object, hint: str = "") -> None:
        self.given = given
        super().__init__(f"a child must be a subclass of Actor{hint} (got {given!r})")


class InvalidChildArguments(InvalidChildSpec):
    """What a child's class is to be made with cannot be handed to its `__init__`."""

    def __init__(self, what: str, given: object) -> None:
        self.given = given
        hint = (
            "a tuple, such as ('one',)" if what == "args" else "a mapping by names, such as {'name': 'one'}"
        )
        super().__init__(f"{what} of a child is {given!r}; it can be {hint}")


class InvalidRestart(InvalidChildSpec):
    """A restart type that there is not."""

    def __init__(self, given: object, known: Iterable[str]) -> None:
        self.given = given
        super().__init__(f"restart is {given!r}; it can be {', '.join(map(repr, known))}")


class InvalidShutdown(InvalidChildSpec):
    """A grace that is no time."""

    def __init__(self, given: object) -> None:
        self.given = given
        super().__init__(
            f"shutdown is {given!r}; it can be a number of seconds, None (no limit) or 'brutal_kill'"
        )


class InvalidStartTimeout(InvalidChildSpec):
    """A start deadline that is no time."""

    def __init__(self, given: object) -> None:
        self.given = given
        super().__init__(
            f"start_timeout is {given!r}; it can be a number of seconds above 0, or None (no limit)"
        )


class InvalidSignificance(InvalidChildSpec):
    """A significant child whose end could never end its supervisor."""


class DuplicateChild(InvalidChildSpec):
    """Two children of one supervisor have the same name."""

    def __init__(self, supervisor: str, name: str) -> None:
        self.supervisor = supervisor
        self.name = name
        super().__init__(f"{supervisor}.children names '{name}' twice")


class InvalidStrategy(InvalidArgument):
    """A strategy that no supervisor could follow."""


class InvalidIntensity(InvalidStrategy):
    """A restart window, or a budget of restarts, that is none."""


class InvalidBackoff(InvalidStrategy):
    """A backoff that cannot be waited for."""


class InvalidDecision(InvalidStrategy):
    """Rules for failures that cannot be followed; see `Supervisor.one_for_one(decide=...)`."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"decide cannot be used: {why}. Give pairs such as [(ConnectionError, 'resume'), (is_fatal, "
            "'escalate')]: an exception class, a tuple of them or a function of the exception, and what is "
            "then to be done."
        )


class UnstorableRow(InvalidArgument):
    """What was to be written into a row cannot be stored as it is. Nothing was written."""

    def __init__(self, table: str, key: tuple[object, ...], why: str) -> None:
        self.table = table
        self.key = key
        self.why = why
        super().__init__(f"{table} {key!r:.200} cannot be written: {why}")


class InvalidStoreUrl(InvalidArgument):
    """A store address that is of an unknown scheme or cannot be used as it is."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        super().__init__(
            f"cannot open a store at {url!r}: {why}. Use 'surrealkv://path/to/directory' for an "
            "embedded database, 'mem://' for one that lives in memory, or 'ws://host:8000' for a server."
        )


class InvalidSetting(InvalidArgument):
    """A setting that cannot be used; `variable` names it. The value of a secret is not in the text."""

    def __init__(self, variable: str, why: str) -> None:
        self.variable = variable
        super().__init__(f"{variable} {why}.")


class InvalidEnvFile(InvalidArgument):
    """A file of settings that cannot be read. Nothing of what it says is in the text."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(
            f"settings cannot be read from '{path}': {why}. It has a line NAME=value per setting; values "
            "with blanks, quotes or a # stand in quotes."
        )


class InvalidCall(InvalidArgument, TypeError):
    """Arguments that a method behind a proxy, or the `__init__` of a virtual actor, does not take.

    Nothing was sent or made.
    """

    def __init__(self, method: str, why: str) -> None:
        self.method = method
        super().__init__(f"{method} cannot be called like this: {why}")


class InvalidField(InvalidArgument):
    """A value that a field of a model cannot have; found when the model is made, nothing was stored."""

    def __init__(self, model: str, field: str, why: str) -> None:
        self.model = model
        self.field = field
        super().__init__(f"{model}.{field} {why}")


class UnstorableValue(InvalidArgument):
    """What no payload can hold. `where` is its place in what was given: `input_data['items'][3]`."""

    def __init__(self, where: str, why: str, advice: str) -> None:
        self.where = where
        self.why = why
        self.advice = advice
        super().__init__(f"{where} is {why}, which cannot be stored: {advice}")


class InvalidPayload(UnstorableValue, TypeError):
    """The payload of an event, which no store could hold or give back as it was. Nothing was published."""


class EventTooLarge(InvalidPayload):
    """An event has more bytes than the store takes in one record."""

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.most = most
        super().__init__(
            "payload",
            f"of {size:,} bytes",
            f"the store takes at most {most:,} in one event. Keep what is large elsewhere, and publish where "
            "it is.",
        )


class InvalidPatch(InvalidArgument):
    """A JSON Patch that is none, or one of whose operations cannot be applied. Nothing was changed."""

    def __init__(self, index: int | None, operation: object, why: str) -> None:
        self.index = index
        """Place of the operation in the patch, from 0; None: it is the patch as a whole."""
        self.operation = operation
        text = repr(operation)
        what = "the patch" if index is None else f"operation {index} of the patch"
        super().__init__(
            f"{what}, {text if len(text) <= 200 else f'{text[:197]}...'}, cannot be applied: {why}"
        )


class InvalidWorkflow(InvalidArgument):
    """Steps of a workflow that do not fit together. Found when it is made; nothing was written."""

    def __init__(self, workflow: str, why: str) -> None:
        self.workflow = workflow
        super().__init__(f"the workflow {workflow!r} {why}")


class DependencyCycle(InvalidArgument):
    """A step of a workflow would wait for itself. Nothing was written."""

    def __init__(self, workflow_id: str, cycle: Sequence[str]) -> None:
        self.workflow_id = workflow_id
        self.cycle: tuple[str, ...] = tuple(cycle)
        """Each waits for the one behind it; the first stands at the end again."""
        super().__init__(
            f"steps of the workflow {workflow_id!r} would wait for each other: {' -> '.join(cycle)}. Take "
            "one of these dependencies away."
        )


class ForeignRef(InvalidArgument):
    """A ref of another actor system; refs are good within their own system only."""

    def __init__(self, ref: ActorRef, system: str, other: str) -> None:
        self.ref = ref
        self.system = system
        self.other = other
        super().__init__(
            f"'{ref.path}' is an actor of the system '{other}', and this is '{system}'. Look the actor up "
            "in the system that is to use it, system.get(path), or hand messages over in code that is no "
            "actor's."
        )


class NameTaken(SentientError):
    """An actor lives under this path already; `ref` is that actor."""

    def __init__(self, path: str, ref: ActorRef) -> None:
        self.path = path
        self.ref = ref
        super().__init__(
            f"there is an actor at '{path}' already ({ref!r}). Choose another name, or use this "
            "error's `ref`."
        )


class ActorLives(SentientError):
    """What is stored of an actor cannot be forgotten while it is there."""

    def __init__(self, path: str, status: str) -> None:
        self.path = path
        self.status = status
        super().__init__(
            f"'{path}' cannot be forgotten: an actor lives there ({status}). End it for good first: stop() "
            "it, or terminate_child where its supervisor would start it again."
        )


class BeingForgotten(SentientError):
    """What is stored of a path is being deleted: nobody can be spawned there until that is done."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"'{path}' is being forgotten: spawn it when `await system.forget(...)` has returned"
        )


class UnknownActor(SentientError, LookupError):
    """No actor lives under this path."""

    def __init__(self, path: str, living: Callable[[], Iterable[str]] = tuple) -> None:
        self.path = path
        self._living = living
        super().__init__(path)

    @property
    def near(self) -> tuple[str, ...]:
        """Paths that look like it; worked out when asked for, since it takes milliseconds."""
        return tuple(difflib.get_close_matches(str(self.path), list(self._living())[:1_000], n=2))

    def __str__(self) -> str:
        hint = f" Did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        return f"no actor lives at '{self.path}'.{hint} Spawn it first."


class EmptyGroup(SentientError, LookupError):
    """Nobody is in the group that somebody was wanted from."""

    def __init__(self, group: str) -> None:
        self.group = group
        super().__init__(
            f"nobody is in the group '{group}'. Let an actor join it: system.group('{group}').join(ref)"
        )


class SystemClosed(SentientError):
    """The actor system is not running."""

    def __init__(self, system: str, what: str = "use") -> None:
        self.system = system
        super().__init__(
            f"cannot {what}: the actor system '{system}' is not running. Do it inside "
            "`async with ActorSystem(...)`."
        )


class WrongThread(SentientError):
    """A call on a thread that it is not for; nothing happened. The text names the one that is."""


class WaitTimeout(SentientError, TimeoutError):
    """A thread has waited as long as it wanted to; what it waited for may still come about."""

    def __init__(self, what: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(f"{what} took longer than the {timeout:g} s that were to be waited for it")


class SignalsUnavailable(SentientError):
    """`run_until_signal` cannot wait for the operating system's signals here; nothing has happened."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"run_until_signal cannot wait for signals {why}. Let the program decide when it is over, and "
            "leave the block `async with ActorSystem(...)`: that stops the actors in the same order."
        )


_PLAIN_STATE = "Keep only plain data in State; hold connections and the like as attributes of the actor."


class UnencodableMessage(SentientError, TypeError):
    """A message (or reply) to a mirrored actor that the store could not hold."""

    def __init__(
        self,
        message: object,
        recipient: str,
        why: str,
        advice: str = "Use msgspec Structs of plain data; only actors that are volatile take anything else.",
    ) -> None:
        self.message = message
        self.recipient = recipient
        if class_sent(message) == why:  # which is all there is to say
            advice = ""
        super().__init__(f"{kind_of(message)} to '{recipient}' cannot be stored: {why}. {advice}".rstrip())


class MessageTooLarge(UnencodableMessage):
    """A message (or reply) to a mirrored actor of more bytes than the store takes in one record."""

    def __init__(self, message: object, recipient: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            message,
            recipient,
            f"it has {size:,} bytes, and the store takes at most {limit:,} in one record",
            "Send it in parts, or send where it is kept.",
        )


class UnencodableState(SentientError, TypeError):
    """A state that the store could not hold; the previous checkpoint stands."""

    def __init__(self, path: str, why: str, advice: str = _PLAIN_STATE) -> None:
        self.path = path
        super().__init__(f"the state of '{path}' cannot be stored: {why}. {advice}")


class StateTooLarge(UnencodableState):
    """A state has more bytes than its class, or the store, allows; the previous checkpoint stands."""

    def __init__(self, path: str, size: int, most: int, *, is_of_store: bool = False) -> None:
        self.size = size
        self.most = most
        whose = "the store takes at most" if is_of_store else "its class's state_bytes allows"
        super().__init__(
            path,
            f"it has {size:,} bytes, and {whose} {most:,}",
            "Keep less in it, share the work among more actors"
            + (", or keep the bulk elsewhere." if is_of_store else ", or raise state_bytes."),
        )


class TurnTooLarge(SentientError):
    """A turn of a durable actor leaves more bytes than the store takes in one commit; it has left nothing."""

    def __init__(self, path: str, size: int, most: int) -> None:
        self.path = path
        self.size = size
        self.most = most
        super().__init__(
            f"a turn of '{path}' cannot be committed: its state and all that it sends have about {size:,} "
            f"bytes, and the store takes at most {most:,} at once. Send less in one turn."
        )


class UnencodableResult(SentientError, TypeError):
    """What a handler has done once has a result that could not be stored, or not be read back as it was.

    `key` is that of `once`. What was done is done: it would be done again if the message were handled again.
    """

    def __init__(self, path: str, key: str, why: str) -> None:
        self.path = path
        self.key = key
        super().__init__(f"the result of once({key!r}, …) in '{path}' cannot be stored: {why}")


class MessageIdConflict(SentientError):
    """Another message was sent to the actor before under the same `message_id`; this one was not accepted.

    `message` and `ref` say what was sent to whom.
    """

    def __init__(self, message: object, ref: ActorRef, message_id: str) -> None:
        self.message = message
        self.ref = ref
        self.message_id = message_id
        super().__init__(
            f"message_id {message_id!r} has been used for another message to '{ref.path}' than this "
            f"{kind_of(message)}. A retry sends the very same message; anything else takes a new id."
        )


class TaskIdConflict(MessageIdConflict):
    """The agent was given another task under the same `task_id` before; this one was not taken on."""

    def __init__(self, message: object, ref: ActorRef, task_id: str) -> None:
        self.message = message
        self.ref = ref
        self.message_id: str = task_id
        self.task_id: str = task_id
        SentientError.__init__(
            self,
            f"'{ref.path}' was given another task {task_id!r} before: description, input_data or workflow_id "
            "are not those of then. The same task is given again as it was; another one takes another id.",
        )


class NotExposed(SentientError, AttributeError):
    """A name that a proxy does not reach; `why` says whether it is private, the runtime's, or unknown."""

    def __init__(self, actor: str, member: str, why: str, names: Iterable[str] = ()) -> None:
        self.actor = actor
        self.member = member
        self.why = why
        self._names = names
        super().__init__(f"'{member}' of '{actor}' cannot be reached through a proxy: {why}")

    @property
    def near(self) -> tuple[str, ...]:
        """Names that can be reached and look like it; worked out when asked for."""
        return tuple(difflib.get_close_matches(self.member, list(self._names), n=2))

    def __str__(self) -> str:
        hint = f" Did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        return f"{self.args[0]}.{hint}"


class NotHandedOver(SentientError, TypeError):
    """A value that a proxy cannot hand over: it can be changed, and cannot be copied (or stored).

    The actor has not failed; where it is a method's result, the method has run.
    """

    def __init__(self, actor: str, member: str, why: str) -> None:
        self.actor = actor
        self.member = member
        super().__init__(
            f"'{member}' of '{actor}': a value cannot be handed over ({why}). Hand over plain data, and refs "
            "instead of actors."
        )


class UncopyableMessage(SentientError, TypeError):
    """A message (or reply) of which isolation can make no copy, or no fingerprint."""

    def __init__(self, message: object, recipient: str, why: str) -> None:
        self.message = message
        self.recipient = recipient
        super().__init__(
            f"{kind_of(message)} to '{recipient}' cannot be isolated: {why}. Send plain data, or "
            "declare the actor isolation = 'none' and make its messages frozen."
        )


class DeliveryError(SentientError):
    """A message that was not accepted, or an ask that ended without a reply.

    `message` and `ref` say what was sent to whom.
    """

    def __init__(self, message: object, ref: ActorRef, text: str) -> None:
        self.message = message
        self.ref = ref
        super().__init__(text)


class ActorStopped(DeliveryError):
    """The target had ended, or ended before it took the message or replied."""

    def __init__(self, message: object, ref: ActorRef, why: str) -> None:
        super().__init__(message, ref, _of(message, ref, why))


class ActivationFailed(DeliveryError):
    """A virtual actor did not start for this message (`__cause__` says why); a later one tries again."""

    __cause__: BaseException | None

    def __init__(self, message: object, ref: ActorRef, cause: BaseException) -> None:
        why = f"it did not start for it: {in_a_line(cause)}"
        super().__init__(message, ref, _of(message, ref, why))
        self.__cause__ = cause


class MailboxFull(DeliveryError):
    """The mailbox had no room; the message was not accepted."""

    def __init__(self, message: object, ref: ActorRef, capacity: int) -> None:
        self.capacity = capacity
        super().__init__(
            message,
            ref,
            f"the mailbox of '{ref.path}' is full ({capacity} messages). Send more slowly, await "
            "`send` with overflow BACKPRESSURE, or raise MailboxOptions(capacity=...).",
        )


class SendTimeout(DeliveryError, TimeoutError):
    """The mailbox, or the store of a durable actor, had no room in time; the message was not accepted."""

    def __init__(self, message: object, ref: ActorRef, timeout: float, why: str = "") -> None:
        self.timeout = timeout
        super().__init__(
            message,
            ref,
            f"not accepted by '{ref.path}' within {timeout:g} s: {why}"
            if why
            else f"no room in the mailbox of '{ref.path}' within {timeout:g} s",
        )


class CommitTimeout(DeliveryError, TimeoutError):
    """A durable actor has accepted the message, and its commit was not known in time.

    It will be handled, unless the process dies before the store has it.
    """

    def __init__(self, message: object, ref: ActorRef, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(
            message,
            ref,
            f"'{ref.path}' has accepted it, and the store has not confirmed that within {timeout:g} s: it is "
            "handled once the store goes on, and lost if the process dies before. To send it again without "
            "having it handled twice, give both tries the same message_id.",
        )


class MessageExpired(DeliveryError):
    """The time that the sender gave it was over before there was room for it, or before its turn came.

    It was not handled.
    """

    def __init__(self, message: object, ref: ActorRef, why: str) -> None:
        super().__init__(message, ref, _of(message, ref, why))


class AskError(DeliveryError):
    """An ask that ended without a reply, in a way that only an ask can."""

    def __init__(self, message: object, ref: ActorRef, why: str) -> None:
        super().__init__(message, ref, _of(message, ref, why))


class AskTimeout(AskError, TimeoutError):
    """No reply in time. The handler may still run; its reply becomes a dead letter (late_reply)."""


class AskCycle(AskError):
    """Each of some actors would wait for the next one's reply, and the last for the first one's.

    `cycle` holds their paths in the order of asking; the asker comes first, and again at the end. The
    message was not accepted; one that was forwarded into the circle is a dead letter (failed).
    """

    def __init__(self, message: object, ref: ActorRef, cycle: Sequence[str]) -> None:
        self.cycle: tuple[str, ...] = tuple(cycle)
        super().__init__(
            message,
            ref,
            f"asking would wait for itself: {' -> '.join(self.cycle)}. Let one of them `tell`, and take "
            "the answer as a message.",
        )


class HandlerFailed(AskError):
    """The handler raised (`__cause__`), and the message is not tried again."""


class ReplyUnreadable(AskError):
    """The message was handled before, under the same `message_id`, and its recorded reply cannot be read.

    It does not fit the type that the message or its handler says; or the message was sent, not asked, and the
    store cannot hold what its handler returned.
    """


class MessageDropped(AskError):
    """The mailbox was full and its overflow policy chose this message; it is a dead letter."""


class UnhandledMessage(AskError):
    """The target has no handler for this type of message."""


class MessageChanged(DeliveryError):
    """A message was not the same any more when its turn came; found by `isolation="check"`.

    It was not handled, and the actor failed with this. `sender` is a path, or `external`.
    """

    def __init__(self, message: object, ref: ActorRef, sender: str) -> None:
        self.sender = sender
        super().__init__(
            message,
            ref,
            f"{kind_of(message)} from '{sender}' to '{ref.path}' was changed after it was sent. "
            "Make its class frozen, or send a copy.",
        )


_ONLY_IN_TURN = (
    "can be used only while it handles a message or runs a hook, and by the handler or hook itself."
)


class NotSpawned(SentientError):
    """An instance that a program made by itself: an actor is made by the system that it belongs to."""

    def __init__(self, actor: str) -> None:
        self.actor = actor
        super().__init__(
            f"this {actor} was made by calling its class, and belongs to no system: let that make it, by "
            f"`await system.spawn({actor}, ...)`, or, if it is an agent, `await {actor}.start(system, ...)`"
        )


class NotInTurn(SentientError):
    """Something that belongs to the handling of a message was used while none is handled."""

    def __init__(self, path: str, what: str, why: str = _ONLY_IN_TURN) -> None:
        self.path = path
        self.what = what
        super().__init__(f"{what} of '{path}' {why}")


class StashFull(SentientError):
    """The stash had no room; the message in hand was not stashed."""

    def __init__(self, path: str, message: object, capacity: int) -> None:
        self.path = path
        self.message = message
        self.capacity = capacity
        super().__init__(
            f"the stash of '{path}' is full ({capacity} messages). Unstash earlier, refuse the message, or "
            "raise MailboxOptions(stash=...)."
        )


class ActorKilled(SentientError):
    """Why an actor is down that somebody killed."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"'{path}' was killed")


class DeathPactError(SentientError):
    """Why an actor failed that watched another and has no handler for its Terminated.

    `ref` is who ended, `cause` why (None: in order).
    """

    def __init__(self, path: str, ref: ActorRef, cause: BaseException | None) -> None:
        self.path = path
        self.ref = ref
        self.cause = cause
        super().__init__(
            f"'{path}' watches '{ref.path}', which ended ({_why(cause)}), and does not handle Terminated. "
            "Handle it, or watch with a message of your own."
        )


class LinkBroken(SentientError):
    """Why an actor failed that was linked to one that ended.

    `ref` is who ended, `cause` why (None: in order).
    """

    def __init__(self, path: str, ref: ActorRef, cause: BaseException | None) -> None:
        self.path = path
        self.ref = ref
        self.cause = cause
        super().__init__(f"'{path}' is linked to '{ref.path}', which ended ({_why(cause)})")


class StaleIncarnation(SentientError):
    """An instance that is not at work any more tried to act as its actor."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"this instance of '{path}' has ended; nothing it does counts. End what a handler starts with it."
        )


class HandlerCancelled(SentientError):
    """A handler let a cancellation escape that nobody had asked of it; a failure like any other.

    It happens on asyncio, to a handler that awaits a future which is cancelled elsewhere.
    """


class HandlerOverdue(SentientError):
    """Why an actor failed whose handler took longer than it may.

    `limit` says of what: `timeout`, `heartbeat` or `deadline`; `seconds` is how long that is. `handler` names
    the method (None: it could not be found out), `stack` where it was when it was cancelled.
    """

    def __init__(
        self, path: str, message: object, limit: str, seconds: float, handler: str | None, stack: str
    ) -> None:
        self.path = path
        self.message = message
        self.limit = limit
        self.seconds = seconds
        self.handler = handler
        self.stack = stack
        over, hint = {
            "timeout": (
                f"had {kind_of(message)} in hand for longer than its timeout of {seconds:g} s",
                "If it may take longer: handler_timeout of its class, or @handles(timeout=...)",
            ),
            "heartbeat": (
                f"gave no heartbeat for {seconds:g} s, with {kind_of(message)} in hand",
                "If it was at work: call self.heartbeat() more often",
            ),
            "deadline": (
                f"did not handle {kind_of(message)} within the {seconds:g} s of its deadline",
                "If it may take longer: with_options(deadline=...) where it is sent",
            ),
        }[limit]
        super().__init__(f"{handler or 'a handler'} of '{path}' {over}, and was cancelled. {hint}.")


class HandlerAbandoned(SentientError):
    """Why an actor failed whose handler or hook did not end when it was cancelled; `__cause__` says for what.

    `message` is what it had in hand (None in a hook), `seconds` the grace it had, `handler` and `stack` as in
    HandlerOverdue. The code still runs; nothing it does counts as its actor's.
    """

    def __init__(self, path: str, handler: str | None, message: object, seconds: float, stack: str) -> None:
        self.path = path
        self.handler = handler
        self.message = message
        self.seconds = seconds
        self.stack = stack
        work = "" if message is None else f" with {kind_of(message)}"
        super().__init__(
            f"{handler or 'what runs'} of '{path}'{work} did not end within {seconds:g} s of its "
            "cancellation, and was abandoned. Let cancellations pass: `except Exception` instead of a bare "
            "`except` or BaseException, and shield only what is short."
        )


class DeadLetterError(SentientError):
    """What was asked cannot be done with a dead letter. `message_id` says with which; nothing was changed."""

    def __init__(self, message_id: str, text: str) -> None:
        self.message_id = message_id
        super().__init__(text)


class UnknownDeadLetter(DeadLetterError, LookupError):
    """The store has no dead letter of this message."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            message_id,
            f"there is no dead letter of a message {message_id!r} in the store. `await "
            "system.dead_letters.list()` shows those there are.",
        )


class DeadLetterSettled(DeadLetterError):
    """The dead letter was redriven or discarded already; `status` says which."""

    def __init__(self, message_id: str, status: str) -> None:
        self.status = status
        super().__init__(
            message_id,
            f"the dead letter {message_id!r} is {status} already. Only an open one can be redriven or "
            "discarded.",
        )


class NotRedrivable(DeadLetterError):
    """The dead letter cannot be sent again; `why` says what would be needed."""

    def __init__(self, message_id: str, why: str) -> None:
        self.why = why
        super().__init__(message_id, f"the dead letter {message_id!r} cannot be sent again: {why}")


class StartFailed(SentientError):
    """An actor did not start; `path` says which, `__cause__` why. Nothing of it is left behind."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"'{path}' did not start: {why}")


class StartTimeout(StartFailed, TimeoutError):
    """A start took longer than the `start_timeout` of its spec; it was cancelled."""

    def __init__(self, path: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(path, f"it took longer than its start_timeout of {timeout:g} s")


class StartIgnored(StartFailed):
    """The actor's `on_start` returned IGNORE: it is not to live now, and nothing has failed."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "its on_start returned IGNORE")


class Escalated(SentientError):
    """Why a supervisor failed: a child's failure was to be decided above it. `__cause__` is that failure."""

    def __init__(self, supervisor: str, child: str, cause: BaseException | None) -> None:
        self.supervisor = supervisor
        self.child = child
        super().__init__(
            f"'{child}' failed, which '{supervisor or 'the root supervisor'}' escalates: "
            f"{'no cause is known' if cause is None else in_a_line(cause)}"
        )
        self.__cause__ = cause


class ChildError(SentientError):
    """What was asked cannot be done with a child as it is; nothing was changed."""

    def __init__(self, supervisor: str, name: str, text: str) -> None:
        self.supervisor = supervisor
        self.name = name
        super().__init__(text)


class UnknownChild(ChildError, LookupError):
    """The supervisor has no child of this name."""

    def __init__(self, supervisor: str, name: str, known: Iterable[str] = ()) -> None:
        self.near: tuple[str, ...] = tuple(difflib.get_close_matches(name, list(known)[:1_000], n=2))
        hint = f" Did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        who = f"'{supervisor}'" if supervisor else "the root supervisor"
        super().__init__(supervisor, name, f"{who} has no child '{name}'.{hint}")


class ChildPresent(ChildError):
    """There is a child of this name that has ended, and whose spec is kept."""

    def __init__(self, supervisor: str, name: str) -> None:
        super().__init__(
            supervisor,
            name,
            f"'{supervisor}' has a child '{name}' already, which has ended. Start it again by "
            f"restart_child({name!r}), or give it up by delete_child({name!r}).",
        )


class ChildRunning(ChildError):
    """The child is up, or on its way up or down."""

    def __init__(self, supervisor: str, name: str) -> None:
        super().__init__(
            supervisor, name, f"'{name}' of '{supervisor}' is running: await terminate_child({name!r}) first."
        )


class ChildRestarting(ChildError):
    """The child is down and waits for its next start."""

    def __init__(self, supervisor: str, name: str) -> None:
        super().__init__(
            supervisor,
            name,
            f"'{name}' of '{supervisor}' is being restarted: wait for that, or await "
            f"terminate_child({name!r}).",
        )


class PoolFull(ChildError):
    """A dynamic supervisor has `max_children` children."""

    def __init__(self, supervisor: str, name: str, most: int) -> None:
        self.most = most
        super().__init__(
            supervisor,
            name,
            f"'{supervisor}' has {most} children, as many as its max_children allows: '{name}' was not "
            "started. Wait until one ends, or raise Supervisor.dynamic(max_children=...).",
        )


class EventBusError(SentientError):
    """What was asked of an event bus cannot be done."""


class EventBusStopped(EventBusError):
    """The bus was stopped, or has not been started."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the event bus does not run, so nothing can {what}: `await bus.start()` first")


class CursorExpired(EventBusError):
    """Events behind a cursor are deleted, or gone with their database: whoever was there last missed some.

    `oldest` is the cursor to go on from with nothing further missed.
    """

    def __init__(self, cursor: str, oldest: str, why: str = "") -> None:
        self.cursor = cursor
        self.oldest = oldest
        why = why or "were deleted by retention (Retention(events_age=...) keeps more)"
        super().__init__(
            f"events behind the cursor '{cursor}' {why}. Go on from the oldest there is, "
            f"after={oldest!r}, and make up for what is missing."
        )


class SubscriberTaken(EventBusError):
    """Somebody else follows under the same name now, and goes on where this one has acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"another subscription has taken the name '{name}' over and continues from what this one has "
            "acknowledged. One of them at a time: give each its own name."
        )


class AgentFailure(SentientError):
    """The root of the failures that handlers raise to say what is to be done about them."""


class RateLimited(AgentFailure):
    """A service wants fewer requests: the actor is restarted, but not before `retry_after` seconds.

    Its mailbox is kept meanwhile. The message in hand is then tried again, `attempts` times in all or as
    often as `Actor.max_attempts` says, whichever is more.
    """

    def __init__(self, retry_after: float, text: str = "", *, attempts: int = 5) -> None:
        _check_wait(retry_after)
        _check_attempts(attempts)
        self.retry_after: float = float(retry_after)
        self.attempts: int = attempts
        super().__init__(text or f"rate limited: not before {retry_after:g} s from now")


class Transient(AgentFailure):
    """It will pass: the actor is restarted, and the message in hand is tried again.

    `attempts` times in all, or as often as `Actor.max_attempts` says, whichever is more. How long the actor
    waits in between is its supervisor's backoff.
    """

    def __init__(self, text: str = "", *, attempts: int = 5) -> None:
        _check_attempts(attempts)
        self.attempts: int = attempts
        super().__init__(text)


class Poison(AgentFailure):
    """The message in hand cannot be handled, ever: it is quarantined, and the actor goes on."""


class BudgetExceeded(AgentFailure):
    """What the actor may spend is spent: it pauses, with the message in hand back at the head of its mailbox.

    `ref.resume()` lets it go on.
    """


def _check_wait(seconds: object) -> None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
        raise InvalidArgument(f"retry_after must be a number of seconds, not {seconds!r}")


def _check_attempts(attempts: object) -> None:
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidArgument(f"attempts must be at least 1, not {attempts!r}")


class RestartLimitExceeded(SentientError):
    """A supervisor gave up on its children; `__cause__` is the last failure.

    `is_budget`: it is the budget of the whole tree that was spent, which counts the restarts of all
    supervisors in it; `child` is who could not be restarted for that.
    """

    def __init__(
        self, supervisor: str, child: str, max_restarts: int, within: float, *, is_budget: bool = False
    ) -> None:
        self.supervisor = supervisor
        self.child = child
        self.max_restarts = max_restarts
        self.within = within
        self.is_budget = is_budget
        tree = "the whole system" if not supervisor else "the tree below it"
        where = f" in {tree}, which is its restart budget" if is_budget else ""
        super().__init__(
            f"'{supervisor or 'the root supervisor'}' gave up on '{child}': more than "
            f"{max_restarts} restart{'' if max_restarts == 1 else 's'} within {within:g} s{where}"
        )


class InvalidFaultPlan(InvalidArgument):
    """A plan of faults, or a rule of one, that could never do what it says."""


class FaultInjected(SentientError):
    """The system's fault plan says that this fails here."""

    def __init__(self, point: str, actor: str, message_type: str, nth: int, reason: str) -> None:
        self.point = point
        self.actor = actor
        self.message_type = message_type
        self.nth = nth
        what = f" with {message_type}" if message_type else ""
        super().__init__(reason or f"the fault plan says so, at {point} {nth} of '{actor}'{what}")


class IllegalTransition(SentientError):
    """A status that does not follow the one there is. Nothing was changed."""

    def __init__(self, kind: str, old: str, new: str, allowed: Sequence[str], why: str = "") -> None:
        self.kind = kind
        self.old = old
        self.new = new
        self.allowed: tuple[str, ...] = tuple(allowed)
        follow = f"may become {' or '.join(map(repr, allowed))}" if allowed else "stays so: that is an end"
        follow = why or follow
        article = "an" if kind == "agent" else "a"
        super().__init__(f"{article} {kind} that is {old!r} cannot become {new!r}; it {follow}")


class IdTaken(SentientError):
    """There is a row of this id already; it was left as it is."""

    def __init__(self, what: str, id_: str, owner: str | None = None) -> None:
        self.what = what
        self.id = id_
        self.owner = owner
        """Path of the actor whose it is; None: nobody's, or nobody has looked."""
        advice = "Update that one, or leave the id out to be given a new one."
        if owner is not None:
            advice = f"It is the agent '{owner}' that has it: ask that one, or give this one another id."
        super().__init__(f"there is a {what} {id_!r} already. {advice}")


class OwnedByActor(SentientError):
    """A living actor writes this row, and nobody beside it. Nothing was changed."""

    def __init__(self, what: str, owner: str) -> None:
        self.what = what
        self.owner = owner
        """Path of the actor."""
        super().__init__(
            f"{what} belongs to the actor '{owner}', which writes it in its turns: ask that one, "
            f"system.get({owner!r}), or the handle that started it"
        )


class InvalidPage(InvalidArgument):
    """Something in a task's `input_data` that no page can be made of."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place
        super().__init__(f"no page can be made of input_data: {place}: {why}")


class InvalidSandboxRequest(InvalidArgument):
    """What a sandbox was asked for is nothing that it could do. Nothing was written."""

    def __init__(self, why: str) -> None:
        super().__init__(f"a sandbox cannot do this: {why}")


class UnknownSandboxCommand(InvalidSandboxRequest):
    """A command that the sandbox does not know."""

    def __init__(self, command: object, known: Iterable[str]) -> None:
        self.command = command
        super().__init__(f"{command!r} is no command of it. It knows {', '.join(map(repr, known))}.")


class SandboxPathRefused(InvalidSandboxRequest):
    """A path that leads out of the sandbox, that it does not take, or that something is in the way of."""

    def __init__(self, path: object, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(
            f"the path {_shortened(path)}: {why}. A path is relative, such as 'pages/index.html', and no "
            "link is followed."
        )


class SandboxFileTooLarge(InvalidSandboxRequest):
    """A file has more bytes than the sandbox takes."""

    def __init__(self, path: str, size: int, most: int) -> None:
        self.path = path
        self.size = size
        self.most = most
        super().__init__(
            f"'{path}' has {size:,} bytes, and it takes {most:,}. LocalSandbox(file_bytes=...) allows more."
        )


class SandboxError(SentientError):
    """The root of what keeps an agent from deploying."""


class SandboxMissing(SandboxError, ValueError):
    """The agent was given no sandbox tool, and its task needs one. Nothing was done."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        super().__init__(
            f"the agent '{agent}' has no sandbox tool, which it deploys with: start it with "
            "sandbox_tool=LocalSandbox(directory), or with another object that has `run_async`."
        )


class SandboxClosed(SandboxError):
    """The sandbox is not open: before its block, behind it, or after `aclose`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the sandbox cannot be used now: {why}")


class SandboxUnusable(SandboxError):
    """A directory cannot be made, written, or had for oneself; or a port cannot be listened on."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place
        super().__init__(f"the sandbox cannot use '{place}': {why}. Choose another place.")


class TaskError(SentientError):
    """About a task of an agent. `task_id` is the task, `agent` the path of its agent."""

    task_id: str
    agent: str


class TaskFailed(TaskError):
    """The code of a task raised, or took too long."""

    def __init__(self, task_id: str, agent: str, error: str, error_type: str | None = None) -> None:
        self.task_id = task_id
        self.agent = agent
        self.error = error
        """What was raised, in a line."""
        self.error_type = error_type
        """Its class, such as `ValueError`; `TaskTimedOut` where the task took too long."""
        name = f"task '{task_id}' of '{agent}'"
        super().__init__(error if error.startswith(name) else f"{name} has failed: {error}")


class TaskTimedOut(TaskError, TimeoutError):
    """A task was at work for longer than it may be."""

    def __init__(self, task_id: str, agent: str, seconds: float) -> None:
        self.task_id = task_id
        self.agent = agent
        self.seconds = seconds
        super().__init__(
            f"task '{task_id}' of '{agent}' was at work for {seconds:g} seconds, which is as long as it may "
            "be (AGENT_EXECUTION_TIMEOUT, or the agent's task_timeout_seconds)"
        )


class UnknownTask(TaskError, LookupError):
    """There is no such task, or it is not unfinished any more.

    `unfinished` are those that the agent has; None where that does not matter: nobody was given such a task.
    """

    def __init__(self, task_id: str, agent: str, unfinished: Sequence[str] | None) -> None:
        self.task_id = task_id
        self.agent = agent
        self.unfinished: tuple[str, ...] = tuple(unfinished or ())
        if unfinished is None:
            text = (
                f"there is no task '{task_id}': neither '{agent}' nor another agent was given one of this id"
            )
        elif unfinished:
            few = ", ".join(map(repr, unfinished[:5]))
            text = f"'{agent}' has no unfinished task '{task_id}'; it has {few}"
        else:
            text = f"'{agent}' has no unfinished task '{task_id}', nor any other"
        super().__init__(text)


class NotInTask(TaskError):
    """Something of a task's code was called elsewhere: in a handler, or for a task that is not at work."""

    def __init__(self, agent: str, what: str) -> None:
        self.task_id = ""
        self.agent = agent
        self.what = what
        super().__init__(
            f"'{agent}': {what} is for the code of a task that is at work (stream_execution, perform). From "
            "outside, use the agent's handle."
        )


class InvalidItem(TaskError):
    """What a task has yielded, or reported, is no item. It fails the task."""

    def __init__(self, why: str) -> None:
        self.task_id = ""
        self.agent = ""
        super().__init__(why)


class AgentGone(TaskError):
    """An agent ended for good while somebody waited for its task, which stays unfinished in the store."""

    def __init__(self, agent: str) -> None:
        self.task_id = ""
        self.agent = agent
        super().__init__(
            f"'{agent}' has ended for good. Its unfinished tasks are kept: spawned again under this path, it "
            "goes on with them."
        )


class CheckpointOfAnother(TaskError):
    """A checkpoint of another agent. Nothing was restored."""

    def __init__(self, checkpoint_id: str, of: str, agent: str) -> None:
        self.task_id = ""
        self.agent = agent
        self.checkpoint_id = checkpoint_id
        self.of = of
        super().__init__(f"checkpoint '{checkpoint_id}' is of '{of}', and cannot be restored in '{agent}'")


class CheckpointNotTaken(TaskError):
    """The state of an agent cannot be stored as its task at work has it now. No checkpoint was taken."""

    def __init__(self, agent: str, why: str) -> None:
        self.task_id = ""
        self.agent = agent
        self.why = why
        super().__init__(
            f"no checkpoint of '{agent}' was taken: {why} Take one when its task is over, which fails unless "
            "it mends that before its next item, report or checkpoint."
        )


class WorkflowError(SentientError):
    """Base for what goes wrong with a workflow."""

    workflow_id: str


class WorkflowFailed(WorkflowError):
    """A step of a workflow has failed for good. What was completed is compensated, as its steps say."""

    def __init__(self, workflow_id: str, step: str, cause: str, uncompensated: Sequence[str] = ()) -> None:
        self.workflow_id = workflow_id
        self.step = step
        self.cause = cause
        """What the step came to, in a line."""
        self.uncompensated: tuple[str, ...] = tuple(uncompensated)
        """Steps whose compensation has failed, too: somebody has to see to them."""
        but = f"; what undoes {', '.join(map(repr, uncompensated))} has failed, too" if uncompensated else ""
        super().__init__(f"workflow '{workflow_id}' has failed at its step {step!r}: {cause}{but}")


class WorkflowCancelled(WorkflowError):
    """Somebody has cancelled a workflow. What was completed is compensated, unless he said otherwise."""

    def __init__(self, workflow_id: str, cause: str, uncompensated: Sequence[str] = ()) -> None:
        self.workflow_id = workflow_id
        self.cause = cause
        self.uncompensated: tuple[str, ...] = tuple(uncompensated)
        """Steps whose compensation has failed: somebody has to see to them."""
        but = f"; what undoes {', '.join(map(repr, uncompensated))} has failed" if uncompensated else ""
        super().__init__(f"workflow '{workflow_id}' was cancelled: {cause}{but}")


class UnknownWorkflow(WorkflowError, LookupError):
    """There is no workflow of this id."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        super().__init__(
            f"there is no workflow '{workflow_id}': it was never started, or is not kept any more"
        )


class WorkflowOver(WorkflowError):
    """A workflow has ended. What was asked of it was not done."""

    def __init__(self, workflow_id: str, status: str, what: str) -> None:
        self.workflow_id = workflow_id
        self.status = status
        super().__init__(f"workflow '{workflow_id}' is {status}, and takes {what} no more")


class TooManySignals(WorkflowError):
    """A workflow keeps as many signals as it may that nobody has waited for. This one was not taken."""

    def __init__(self, workflow_id: str, signal: str, most: int) -> None:
        self.workflow_id = workflow_id
        self.signal = signal
        self.most = most
        super().__init__(
            f"workflow '{workflow_id}' keeps {most:,} signals that nobody has waited for; {signal!r} was not "
            "taken. Is that a name that an approval, or a task's `self.signal`, waits for?"
        )


class SignalTimeout(WorkflowError, TimeoutError):
    """A signal that the code of a task waits for has not come in time."""

    def __init__(self, workflow_id: str, signal: str, seconds: float) -> None:
        self.workflow_id = workflow_id
        self.signal = signal
        self.seconds = seconds
        super().__init__(
            f"nobody has sent workflow '{workflow_id}' the signal {signal!r} in {seconds:g} seconds"
        )


class MissingInput(WorkflowError):
    """A path of a step's `inputs` leads to nothing. The step fails, and is not tried again."""

    def __init__(self, step: str, name: str, path: str, passed: str, missing: str) -> None:
        self.workflow_id = ""
        self.step = step
        self.path = path
        there = f"{passed!r} has no {missing!r}" if passed else f"there is no {missing!r}"
        super().__init__(f"the input {name!r} of {step!r} is to be {path!r}, but {there}")


class TurnFailed(SentientError):
    """A turn that something waited for has failed, and left nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"the turn of '{path}' that this waited for has failed, and left nothing")


class NoSuchState(SentientError, LookupError):
    """The store has no state of an actor that is as old as was asked for."""

    def __init__(self, path: str, moment: object, oldest: datetime | None) -> None:
        self.path = path
        self.moment = moment
        self.oldest = oldest
        """When the oldest state that there is was saved; None: there is none."""
        there_is = "none of it at all: the actor has no State, or has never been saved"
        if oldest is not None:
            begins = f"{oldest:%Y-%m-%d %H:%M:%S.%f} UTC"
            there_is = f"none before {begins}. JournalOptions(kept_checkpoints=...) keeps more"
        super().__init__(f"what '{path}' knew at {moment} is not in the store, which has {there_is}")


class CheckpointUnusable(SentientError):
    """Checkpoints of an actor are stored, and none of those tried can be loaded."""

    def __init__(self, path: str, reasons: Sequence[str]) -> None:
        self.path = path
        self.reasons: tuple[str, ...] = tuple(reasons)
        """Of each that was tried, the newest first: its id and why not, as `1.7: its bytes do not match`."""
        super().__init__(
            f"no checkpoint of '{path}' can be loaded ({_summed_up(reasons)}). Run the code that fits them, "
            "or make this code load them as said there; `sentient checkpoint verify` tries all that are "
            f"stored. If all that is stored of the actor may be given up: `await system.forget('{path}')`. "
            "Until then the rows are left as they are."
        )


def _summed_up(reasons: Sequence[str]) -> str:
    """What several have in common is said once."""
    ids: dict[str, list[str]] = {}
    for reason in reasons:
        checkpoint_id, _, why = reason.partition(": ")
        ids.setdefault(why, []).append(checkpoint_id)
    return "; ".join(f"{', '.join(of)}: {why}".removesuffix(": ") for why, of in ids.items())


class StoreError(SentientError):
    """The root of the store's errors. No address or credential of a store is in their text."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or does not answer. What was under way may have happened."""


class LiveQueryLost(StoreUnavailable):
    """A live query has ended: what happens from then on, and perhaps just before, is not told."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"the live query has ended ({why}): read what you may have missed, and begin another"
        )


class LiveQueriesUnavailable(StoreError):
    """There are no live queries here; `why` says what is missing."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"there can be no live query: {why}. The event bus tells of every event, on every database: "
            "subscribe there."
        )


class StoreInUse(StoreError):
    """Another process holds the database directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"the database at '{path}' is in use by another process, or by another store object of this "
            "one. Stop that process or use a directory of your own (in the user's data directory every name "
            "of a system has one); systems of one process share one SurrealStore."
        )


class StoreRefused(StoreError):
    """The store answered that it did not do what was asked; nothing was written."""


class RowConflict(StoreRefused):
    """A row has another revision than was expected: somebody has changed it. Nothing was written."""

    def __init__(self, table: str, key: tuple[str, ...], expected: int, found: int) -> None:
        self.table = table
        self.key = key
        self.expected = expected
        """0: it was not to be there yet."""
        self.found = found
        """0: it is not there."""
        was = "it was not to be there" if expected == 0 else f"revision {expected} was expected"
        now = "it is gone" if found == 0 else f"it has revision {found}"
        super().__init__(f"{table} {key!r:.200}: {was}, and {now}: read it again and decide anew")


class StoreDamaged(StoreError):
    """What the runtime has stored was changed or removed by others, or is torn. It is left as it is."""

    def __init__(self, where: str, why: str, advice: str) -> None:
        self.where = where
        """Which of what is stored."""
        self.why = why
        super().__init__(f"{where} is damaged: {why}. {advice}")


class StorePathUnusable(StoreError):
    """The directory of an embedded database cannot be made, read or written."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"cannot keep a database at '{path}': {why}. Choose a directory that this user may write."
        )


class NoSuchStore(StoreError):
    """There is no store of this package at an address that is only looked at."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"there is no store at '{path}': {why}. Give the address that the system is run with."
        )


class RestoreUnfinished(StoreError):
    """The store holds a part of a backup: a restore into it goes on, or has not come to its end."""

    def __init__(self, began: str) -> None:
        self.began = began
        super().__init__(
            f"a restore into this store has begun at {began} and is not complete, so nothing can be started "
            "on it. Wait for its end; if it was killed, run `sentient restore FILE --again`."
        )


class BackupUnusable(StoreError):
    """A file cannot be restored from. Nothing was written."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"'{path}' cannot be restored: {why}")


class StoreSchemaTooNew(StoreError):
    """The store was written by a newer release of this package."""

    def __init__(self, found: int, known: int) -> None:
        self.found = found
        self.known = known
        super().__init__(
            f"the store has schema version {found}, this release knows {known}: upgrade sentient-core"
        )


class StoreAccessDenied(StoreError):
    """A server does not let the user in, or not do what the store needs. Nothing was written."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"the database server refuses access: {why}. {remedy}")


class StoreTlsFailed(StoreError):
    """No connection to a server that could be trusted; nothing was sent, credentials neither."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"no secure connection to the database server: {why}. For a certificate of your own authority "
            "give SurrealStore(url, tls=ssl.create_default_context(cafile=...)); a server without TLS is "
            "addressed by ws:// or http://."
        )


class StoreVersionUnsupported(StoreError):
    """A server of a version on which this release was never tried. Nothing was written."""

    def __init__(self, found: str, supported: str) -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            f"the database server is {found}, and this release works with {supported}: run one of those, "
            "or look for a release of sentient-core that knows it"
        )


class Fenced(StoreError):
    """A later start of the same system took its records over. This one must end, not retry."""

    def __init__(self, system: str) -> None:
        self.system = system
        super().__init__(
            f"another process has started the actor system '{system}' on this store and owns its "
            "records now. This process must stop; do not start it again by itself."
        )


def _of(message: object, ref: ActorRef, why: str) -> str:
    return f"{kind_of(message)} to '{ref.path}': {why}"


def _why(cause: BaseException | None) -> str:
    return "in order" if cause is None else in_a_line(cause)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}…{text[-10:]}"
