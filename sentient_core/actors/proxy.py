"""Proxies: an actor's public methods and attributes, called and read as if they were here.

`await proxy.deposit(3)` is an ask whose handler is the method itself: it runs in the actor's turn, and
what an ask can raise it can raise. Two forms: `ref.proxy()` takes any name and returns Any; a class
that declares the members is known to type checkers, which infer parameters and results from the actor::

    class AccountProxy(ActorProxy[Account]):
        deposit = asks(Account.deposit)
        owner = reads(Account, lambda account: account.owner)

    proxy = ref.proxy(AccountProxy, timeout=5.0)
    balance = await proxy.deposit(3)    # as Account.deposit returns it, or what it is awaited for
    owner = await proxy.owner
    proxy.deposit.tell(3)               # fire and forget
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, cast, overload

from typing_extensions import TypeVar

from sentient_core.actors.actor import Actor
from sentient_core.actors.calls import ProxyCall, ProxyRead, ProxyRefusal
from sentient_core.actors.handover import handed_over
from sentient_core.actors.members import MemberKind, Members
from sentient_core.actors.ref import ActorRef, cell_of, check_timeout
from sentient_core.causes import in_a_line
from sentient_core.errors import InvalidArgument, NotExposed, NotHandedOver

__all__ = ["ActorProxy", "Asks", "ProxyMethod", "Reads", "UntypedProxy", "asks", "reads"]

A = TypeVar("A", bound=Actor)
A_co = TypeVar("A_co", bound=Actor, default=Any, covariant=True)
A_contra = TypeVar("A_contra", bound=Actor, contravariant=True)
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class ActorProxy(Generic[A_co]):
    """The base of declared proxies, made by `ref.proxy(AccountProxy)`.

    Results and attributes are the actor's values if they cannot be changed, else deep copies, and so
    are arguments: nothing that is reachable here is the actor or its state. A value that cannot be
    copied (or, of a mirrored actor, stored) raises NotHandedOver here and does the actor no harm; a
    method that raises fails the actor as a handler does, `reply_errors` excepted.
    """

    __slots__ = ("_ref", "_timeout")

    _ref: ActorRef[A_co]
    _timeout: float

    def __init__(self, ref: ActorRef[A_co], *, timeout: float = 30.0) -> None:
        if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"a proxy is made of an ActorRef, not of {ref!r}")
        check_timeout(timeout)
        object.__setattr__(self, "_ref", ref)
        object.__setattr__(self, "_timeout", timeout)
        members = _members_of(ref)
        if members is not None:
            for member in _declared(type(self)):
                member.check(members)

    @property
    def ref(self) -> ActorRef[A_co]:
        """The actor."""
        return self._ref

    @property
    def timeout(self) -> float:
        """Seconds that each call may take."""
        return self._timeout

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorProxy):
            return NotImplemented
        return self._ref == other.ref  # pyright: ignore[reportUnknownMemberType] - of whichever actor

    def __hash__(self) -> int:
        return hash(self._ref)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._ref!r}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise NotExposed(
            type(self).__name__, name, "a proxy sets nothing: call a method of the actor that does"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("proxies cannot be pickled or copied; hand on proxy.ref")


class UntypedProxy(ActorProxy[A_co]):
    """What `ref.proxy()` returns: every public member of the actor by its name, unknown to type checkers.

    Raises NotExposed, an AttributeError that names near misses, for private names, for the runtime's own
    (hooks, `state`, `context` …) and for what the class does not have; an attribute that only the instance
    has is looked for when it is awaited. `ref` and `timeout` are the proxy's.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        members = _members_of(self._ref)
        if members is None:
            why = f"nobody lives at '{self._ref.path}', so its class is not known"
            raise NotExposed(type(self).__name__, name, why)
        if members.kind(name) is MemberKind.METHOD:
            method: ProxyMethod[..., Any] = ProxyMethod(self, name)
            return method
        return _Attribute(self, name)

    def __dir__(self) -> Iterable[str]:
        members = _members_of(self._ref)
        return [*super().__dir__(), *(() if members is None else members.names)]


class ProxyMethod(Generic[P, R_co]):
    """One method of an actor behind a proxy.

    Arguments are checked and copied when it is called. Raises InvalidCall for arguments that do not fit,
    NotHandedOver for one that cannot be copied.
    """

    __slots__ = ("_name", "_proxy")

    def __init__(self, proxy: ActorProxy[Any], name: str) -> None:
        self._proxy = proxy
        self._name = name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call it in the actor's turn; await what this returns for the result. Raises as `ActorRef.ask`."""
        return _ask(self._proxy, self._name, self._message(args, kwargs))

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have it called and go on. What it returns is dropped; as `ActorRef.tell`."""
        self._proxy.ref.tell(self._message(args, kwargs))

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._proxy.ref!r}>"

    def _message(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ProxyCall:
        members = _members_of(self._proxy.ref)
        if members is not None:
            members.check_call(self._name, args, kwargs)
        try:
            return ProxyCall(self._name, handed_over(args), handed_over(kwargs))
        except Exception as error:  # what copying the user's objects raises
            raise NotHandedOver(self._proxy.ref.path, self._name, in_a_line(error)) from error


class _Attribute:
    """One attribute of an actor behind a proxy; awaiting it reads it."""

    __slots__ = ("_name", "_proxy")

    def __init__(self, proxy: ActorProxy[Any], name: str) -> None:
        self._proxy = proxy
        self._name = name

    def __await__(self) -> Generator[Any, Any, Any]:
        return _ask(self._proxy, self._name, ProxyRead(self._name)).__await__()

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        members = _members_of(self._proxy.ref)
        names = () if members is None else members.names
        raise NotExposed(self._proxy.ref.path, self._name, "it is no method", names)

    def __repr__(self) -> str:
        return f"<attribute {self._name} of {self._proxy.ref!r}>"


class Asks(Generic[A_contra, P, R_co]):
    """What `asks` makes: a method of a declared proxy."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, proxy: None, owner: type) -> Self: ...
    @overload
    def __get__(self, proxy: ActorProxy[A_contra], owner: type) -> ProxyMethod[P, R_co]: ...
    def __get__(self, proxy: ActorProxy[Any] | None, owner: type) -> Self | ProxyMethod[P, R_co]:
        return self if proxy is None else ProxyMethod(proxy, self.name)

    def check(self, members: Members) -> None:
        """Raise NotExposed if the actor's class has no such method."""
        if members.kind(self.name) is not MemberKind.METHOD:
            raise members.not_exposed(self.name, "there is no such method")


class Reads(Generic[A_contra, R_co]):
    """What `reads` makes: an attribute of a declared proxy."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, proxy: None, owner: type) -> Self: ...
    @overload
    def __get__(self, proxy: ActorProxy[A_contra], owner: type) -> Awaitable[R_co]: ...
    def __get__(self, proxy: ActorProxy[Any] | None, owner: type) -> Self | Awaitable[R_co]:
        return self if proxy is None else _Attribute(proxy, self.name)

    def check(self, members: Members) -> None:
        """Raise NotExposed if a method of the actor's class has this name, or a proxy never reaches it."""
        if members.kind(self.name) is MemberKind.METHOD:
            raise members.not_exposed(self.name, "it is a method: declare it with asks(...)")


@overload
def asks(method: Callable[Concatenate[A, P], Awaitable[R]]) -> Asks[A, P, R]: ...
@overload
def asks(method: Callable[Concatenate[A, P], R]) -> Asks[A, P, R]: ...
def asks(method: object) -> Asks[Any, ..., Any]:
    """Declare a method, sync or async, in the body of a proxy class.

    ::

        deposit = asks(Account.deposit)

    Parameters and result are those of the actor's method; called is what a subclass overrides it with.
    """
    name = getattr(method, "__name__", None)
    if isinstance(method, property) or not isinstance(name, str):
        raise InvalidArgument(f"asks takes a method, asks(Account.deposit), not {method!r}")
    return Asks(name)


def reads(actor: type[A], attribute: Callable[[A], R]) -> Reads[A, R]:
    """Declare an attribute or a property in the body of a proxy class.

    ::

        owner = reads(Account, lambda account: account.owner)

    The function only names the attribute, for the type checker too: it is called here, once, and never
    with an actor.
    """
    named = _Named()
    try:
        is_one = attribute(cast("A", named)) is named.value
    except Exception:  # noqa: BLE001 - whatever it did with what stands for the value
        is_one = False
    if not is_one or len(named.names) != 1:
        raise InvalidArgument(
            f"reads names one attribute: reads({actor.__name__}, lambda actor: actor.owner); for more, "
            "give the actor a method"
        )
    return Reads(named.names[0])


class _Named:
    """Stands for an actor, to see which attribute of it a function returns."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.value = object()

    def __getattr__(self, name: str) -> object:
        self.names.append(name)
        return self.value


async def _ask(proxy: ActorProxy[Any], name: str, message: ProxyCall | ProxyRead) -> Any:
    reply = await proxy.ref.ask(message, timeout=proxy.timeout)
    if not isinstance(reply, ProxyRefusal):
        return reply
    if reply.is_exposed:
        raise NotHandedOver(proxy.ref.path, name, reply.why)
    raise NotExposed(proxy.ref.path, name, reply.why, reply.names)


def _members_of(ref: ActorRef[Any]) -> Members | None:
    """Of the actor behind a ref; None where a stored ref found nobody yet."""
    cell = cell_of(ref).at_home()
    return None if cell.is_nobody else cell.blueprint.members


def _declared(cls: type) -> Iterable[Asks[Any, ..., Any] | Reads[Any, Any]]:
    for base in cls.__mro__:
        for value in vars(base).values():
            if isinstance(value, Asks | Reads):
                yield cast("Asks[Any, ..., Any] | Reads[Any, Any]", value)
