"""The actor that users subclass to keep other actors alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sentient_core.actors.actor import Actor, M_contra
from sentient_core.errors import InvalidArgument, InvalidChildSpec
from sentient_core.supervisor.spec import ChildSpec
from sentient_core.supervisor.strategy import RestartKind, Strategy

__all__ = ["Supervisor"]


class Supervisor(Actor[M_contra]):
    """Starts the children it declares, in order, and restarts those that end as their spec says.

    ::

        class Bank(Supervisor):
            strategy = Supervisor.one_for_one(max_restarts=3, within=5.0)
            children = [ChildSpec(Account, name="alice"), ChildSpec(Account, name="bob")]

    It is ready when all of them are. If one does not start, those before it are stopped in reverse
    order and the supervisor does not start either. When restarts exceed the strategy's window, it
    stops its children, the last started first, and fails: its own supervisor decides then. A child
    that is restarted keeps its ref and its mailbox, also when the supervisor itself was restarted.
    """

    default_shutdown: ClassVar[float | None] = None
    __supervises__ = True

    strategy: ClassVar[Strategy] = Strategy()
    children: ClassVar[Sequence[ChildSpec]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(
                f"{cls.__qualname__}.strategy is {cls.strategy!r}; make one: Supervisor.one_for_one()"
            )
        names: set[str] = set()
        for spec in cls.children:
            if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidChildSpec(f"{cls.__qualname__}.children holds {spec!r}; wrap it: ChildSpec(...)")
            if spec.name is not None and spec.name in names:
                raise InvalidChildSpec(f"{cls.__qualname__}.children names '{spec.name}' twice")
            if spec.name is not None:
                names.add(spec.name)

    @staticmethod
    def one_for_one(*, max_restarts: int = 3, within: float = 5.0) -> Strategy:
        """Restart the child that ended, and it alone; give up beyond `max_restarts` in `within` seconds."""
        return Strategy(max_restarts=max_restarts, within=within)

    @staticmethod
    def one_for_all(*, max_restarts: int = 3, within: float = 5.0) -> Strategy:
        """Restart all children when one ends: the others are stopped first, the last started first."""
        return Strategy(kind=RestartKind.ONE_FOR_ALL, max_restarts=max_restarts, within=within)

    @staticmethod
    def rest_for_one(*, max_restarts: int = 3, within: float = 5.0) -> Strategy:
        """Restart the child that ended and those started after it, which are stopped first."""
        return Strategy(kind=RestartKind.REST_FOR_ONE, max_restarts=max_restarts, within=within)
