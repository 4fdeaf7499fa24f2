"""What the runtime needs to know of an actor class, worked out once, when the class is made."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sentient_core.actors.behaviour import Behaviour, behaviours_of, unknown_state
from sentient_core.actors.calls import CALL_HANDLERS
from sentient_core.actors.checkpoints import CheckpointPolicy
from sentient_core.actors.class_names import check_names
from sentient_core.actors.declared import declared_messages, members_of, unhandled
from sentient_core.actors.handlers import Handler, as_handler, check_not_generator, marked
from sentient_core.actors.members import Members
from sentient_core.actors.overdue import check_seconds, limited, limits_of
from sentient_core.actors.recoverable import received_types
from sentient_core.actors.upcasting import Upcaster, upcasters_of
from sentient_core.codec import tag_of
from sentient_core.errors import InvalidArgument, InvalidHandler
from sentient_core.mailbox import Isolation, MailboxOptions

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor

__all__ = ["Blueprint", "Durability", "checked_capabilities"]

T = TypeVar("T")


class Durability(StrEnum):
    """How much of an actor the store knows."""

    VOLATILE = "volatile"
    """Nothing, but for explicit checkpoints and dead letters."""
    MIRRORED = "mirrored"
    """Every message as an event, checkpoints by policy; written behind, in group commits."""
    DURABLE = "durable"
    """Every message is committed before it counts as sent; a turn commits with all that it leaves."""


class Blueprint:
    """The facts about one actor class."""

    __slots__ = (
        "at_ready",
        "behaviour",
        "behaviours",
        "capabilities",
        "checkpoint_bytes",
        "checkpoint_idle",
        "checkpoint_messages",
        "checkpoint_seconds",
        "cls",
        "handlers",
        "has_init",
        "has_state",
        "history",
        "hooks",
        "is_durable",
        "is_mirrored",
        "is_related",
        "is_stored",
        "isolation",
        "kill_grace",
        "kinds",
        "leaves_state",
        "mailbox",
        "max_attempts",
        "members",
        "messages",
        "named",
        "on_receive",
        "passivate_after",
        "recoverable",
        "reply_errors",
        "saves",
        "schema_version",
        "starts_at_once",
        "state_bytes",
        "state_tag",
        "state_tags",
        "state_type",
        "stored_types",
        "takes_anything",
        "upcasters",
        "winds_up",
    )

    def __init__(self, cls: type[Actor], base: type[Actor] | None) -> None:
        self.cls: type[Actor] = cls
        if base is not None:
            check_names(cls, base, marked(cls))
        durability = _durability(cls)
        self.is_mirrored: bool = durability is not Durability.VOLATILE
        """Its messages are written down."""
        self.is_durable: bool = durability is Durability.DURABLE
        """And its turns are committed as a whole."""
        self.isolation: Isolation | None = _isolation(cls)
        """None: as the system says."""
        limits = limits_of(cls)
        calls = {kind: limited(handler, limits) for kind, handler in CALL_HANDLERS.items()}
        self.behaviours: dict[str | None, Behaviour] = behaviours_of(cls, calls)
        self.behaviour: Behaviour = _initial(cls, self.behaviours)
        """What every incarnation begins with."""
        self.handlers: dict[type, Handler] = self.behaviour.handlers
        self.members: Members = Members(cls)
        self.hooks: frozenset[str] = frozenset(
            name for name in _HOOKS if base is not None and _is_own(cls, base, name)
        )
        """The hooks that the class overrides; the others are not called."""
        for hook in self.hooks:
            check_not_generator(getattr(cls, hook))
        receives = base is not None and _is_own(cls, base, "on_receive")
        self.on_receive: Handler | None = limited(as_handler(cls.on_receive), limits) if receives else None
        _check_default_shutdown(cls)
        self.kill_grace: float | None = check_seconds(f"{cls.__qualname__}.kill_grace", cls.kill_grace)
        self.stored_types: dict[str, type[Any]] = {}
        """Types of messages by the tags under which they were stored, as far as they were looked for."""
        self.messages: Any = vars(cls)["__parameters__"][0] if base is None else declared_messages(cls)
        """The type in `Actor[...]`, as far as it is known; Any if the class declares none."""
        _check_declared(self)
        received = received_types(cls) if receives else ()
        self.named: tuple[type, ...] = (*members_of(cls, self.messages), *received)
        """Types of messages that the class names beside those of its handlers."""
        self.takes_anything: bool = receives and not received
        """Its `on_receive` takes anything."""
        self.recoverable: set[type] | None = set() if receives and self.is_durable else None
        """Types of messages that were found to be such as can be made of their stored bytes; None: all are,
        or need not be."""
        self.state_type: type[msgspec.Struct] = _state_type(cls)
        self.has_state: bool = base is not None and self.state_type is not base.State
        self.mailbox: MailboxOptions = _attribute(cls, "mailbox", MailboxOptions)
        self.reply_errors: tuple[type[Exception], ...] = _reply_errors(cls)
        self.max_attempts: int = _at_least_one(cls, "max_attempts", cls.max_attempts)
        self.kinds: frozenset[str] = frozenset({tag_of(cls), *_aliases(cls)})
        """What the store may know the class as: its tag, and those it had before."""
        self.state_tag: str = _state_tag(cls, self.state_type)
        """What checkpoints of its State are tagged as."""
        self.state_tags: frozenset[str] = frozenset({self.state_tag, *_earlier_tags(cls, self.state_type)})
        """What they may have been tagged as."""
        self.schema_version: int = _at_least_one(cls, "schema_version", cls.schema_version)
        self.state_bytes: int | None = (
            None if cls.state_bytes is None else _at_least_one(cls, "state_bytes", cls.state_bytes)
        )
        self.upcasters: Mapping[int, Upcaster] = upcasters_of(cls, self.state_type, self.schema_version)
        """By the version that each leads on from, up to `schema_version` without a hole."""
        self.capabilities: tuple[str, ...] = checked_capabilities(cls.capabilities, cls.__qualname__)
        """Sorted, each once."""
        self.passivate_after: float | None = _passivate_after(cls)
        policy = _attribute(cls, "checkpoint_policy", CheckpointPolicy)
        saves = self.is_mirrored and self.has_state and not self.is_durable
        self.checkpoint_messages: int | None = policy.messages if saves else None
        self.checkpoint_seconds: float | None = policy.seconds if saves else None
        self.checkpoint_bytes: int | None = policy.bytes if saves else None
        self.checkpoint_idle: float | None = policy.idle if saves else None
        self.saves: bool = saves and policy != _NEVER
        """The runtime saves its state by itself while it runs."""
        is_own = base is not None and cls.checkpoint_policy is not base.checkpoint_policy
        self.history: CheckpointPolicy | None = (
            policy if self.is_durable and self.has_state and is_own else None
        )
        """When an earlier state of a durable actor is kept: only if its class says so."""
        self.is_stored: bool = self.is_mirrored or self.has_state
        """The store knows its actors, or may get to."""
        self.winds_up: bool = self.is_stored or bool(self.hooks & {"on_failure", "on_stop"})
        """There is something to do at the end of an incarnation."""
        self.has_init: bool = cls.__init__ is not object.__init__
        self.is_related: bool = getattr(cls, "__is_related__", False)
        """Edges lead to its actors, from those above them."""
        self.at_ready: Callable[[Any], None] | None = getattr(cls, "__at_ready__", None)
        """What a class of the runtime's own does when an incarnation is ready."""
        self.leaves_state: Callable[[object], bool] | None = getattr(cls, "__leaves_state__", None)
        """Messages whose handlers are the runtime's own and change no state: what cannot be saved of it then
        is left to whoever has made it so."""
        self.starts_at_once: bool = "on_start" not in self.hooks and not cls.__supervises__
        """Nothing waits in a first start that has no checkpoint to load."""


_HOOKS = ("on_start", "on_stop", "on_failure", "on_restart")
_NEVER = CheckpointPolicy(messages=None, seconds=None)


def _is_own(cls: type, base: type, name: str) -> bool:
    return getattr(cls, name) is not getattr(base, name)


def _initial(cls: type[Actor], behaviours: dict[str | None, Behaviour]) -> Behaviour:
    name = cls.initial_behaviour
    if name not in behaviours:
        raise unknown_state(cls, behaviours, name)
    return behaviours[name]


def _check_declared(blueprint: Blueprint) -> None:
    handled = ChainMap(*(behaviour.handlers for behaviour in blueprint.behaviours.values()))
    missing = unhandled(blueprint.cls, blueprint.messages, handled)
    if missing and blueprint.on_receive is None:
        raise InvalidHandler(
            f"{blueprint.cls.__qualname__} declares messages that nothing in it takes: {', '.join(missing)}. "
            "Write a @handles method for each, or on_receive."
        )


def _durability(cls: type[Actor]) -> Durability:
    try:
        return Durability(cls.durability)
    except ValueError:
        names = ", ".join(repr(d.value) for d in Durability)
        raise InvalidArgument(
            f"{cls.__qualname__}.durability is {cls.durability!r}; it can be {names}"
        ) from None


def checked_capabilities(declared: Any, whose: str) -> tuple[str, ...]:
    """What an actor can do, sorted. InvalidArgument for what is no set of words."""
    # A str is an iterable of str too, and never what is meant.
    are_many = hasattr(declared, "__iter__") and not isinstance(declared, str)
    found: tuple[Any, ...] = tuple(declared) if are_many else ()
    if not are_many or not all(isinstance(word, str) and word and word.isprintable() for word in found):
        raise InvalidArgument(
            f"{whose}.capabilities must be a set of words such as {{'render', 'translate'}}, not {declared!r}"
        )
    return tuple(sorted(set(found)))


def _passivate_after(cls: type[Actor]) -> float | None:
    seconds: Any = cls.passivate_after
    if seconds is None:
        return None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf:
        return float(seconds)
    raise InvalidArgument(
        f"{cls.__qualname__}.passivate_after must be a number of seconds above 0, or None, not {seconds!r}"
    )


def _isolation(cls: type[Actor]) -> Isolation | None:
    try:
        return None if cls.isolation is None else Isolation(cls.isolation)
    except ValueError:
        names = ", ".join(repr(i.value) for i in Isolation)
        raise InvalidArgument(
            f"{cls.__qualname__}.isolation is {cls.isolation!r}; it can be {names}, or None"
        ) from None


def _reply_errors(cls: type[Actor]) -> tuple[type[Exception], ...]:
    errors = cls.reply_errors
    is_tuple = isinstance(errors, tuple)  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
    if is_tuple and all(_is_exception_class(error) for error in errors):
        return errors
    raise InvalidArgument(
        f"{cls.__qualname__}.reply_errors must be a tuple of Exception classes, not {errors!r}"
    )


def _at_least_one(cls: type[Actor], name: str, number: Any) -> int:
    if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
        return number
    raise InvalidArgument(f"{cls.__qualname__}.{name} must be a whole number, at least 1, not {number!r}")


def _aliases(cls: type) -> tuple[str, ...]:
    aliases: tuple[str, ...] = vars(cls).get("__sentient_aliases__", ())
    return aliases


def _state_tag(cls: type[Actor], state_type: type[msgspec.Struct]) -> str:
    """Its own tag; without one it goes by the tag of the class that declares it."""
    owner = next(base for base in cls.__mro__ if vars(base).get("State") is state_type)
    tag = vars(owner).get("__sentient_tag__")
    if tag is None or state_type.__struct_config__.tag is not None:
        return tag_of(state_type)
    return f"{tag}.{state_type.__name__}"


def _earlier_tags(cls: type[Actor], state_type: type[msgspec.Struct]) -> Iterator[str]:
    """What it may have been stored as while it, or a class that has it, had no tag or another name."""
    yield tag_of(state_type)
    for base in cls.__mro__:
        if getattr(base, "State", None) is state_type:
            tag = vars(base).get("__sentient_tag__")
            for name in (*_aliases(base), *(() if tag is None else (tag,))):
                yield name
                yield f"{name}.{state_type.__name__}"


def _check_default_shutdown(cls: type[Actor]) -> None:
    grace: Any = cls.default_shutdown
    is_number = isinstance(grace, int | float) and not isinstance(grace, bool)
    if grace is not None and not (is_number and 0 <= grace < math.inf):
        raise InvalidArgument(
            f"{cls.__qualname__}.default_shutdown must be a number of seconds from 0 on, or None, "
            f"not {grace!r}"
        )


def _is_exception_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _attribute(cls: type[Actor], name: str, expected: type[T]) -> T:
    value = getattr(cls, name)
    if isinstance(value, expected):
        return value
    raise InvalidArgument(f"{cls.__qualname__}.{name} must be {expected.__name__}(...), not {value!r}")


def _state_type(cls: type[Actor]) -> type[msgspec.Struct]:
    state_type: Any = cls.State
    if not (isinstance(state_type, type) and issubclass(state_type, msgspec.Struct)):
        raise InvalidArgument(f"{cls.__qualname__}.State must be a msgspec.Struct class, not {state_type!r}")
    required = [f.name for f in msgspec.structs.fields(state_type) if f.required]
    if required:
        raise InvalidArgument(
            f"{cls.__qualname__}.State needs a default for every field, since a new actor starts from "
            f"State(): {', '.join(required)}"
        )
    return state_type
