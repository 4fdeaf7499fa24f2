"""The actor that users subclass to keep other actors alive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, cast

import msgspec

from sentient_core.actors.actor import Actor, M_contra
from sentient_core.actors.decision import Rules, check_rules
from sentient_core.errors import DuplicateChild, InvalidChildSpec, InvalidSignificance, InvalidStrategy
from sentient_core.supervisor.backoff import Backoff
from sentient_core.supervisor.intensity import RestartBudget
from sentient_core.supervisor.spec import ChildSpec
from sentient_core.supervisor.strategy import AutoShutdown, RestartKind, Strategy

__all__ = ["AutoShutdownName", "Supervisor", "check_significance", "checked_children"]

AutoShutdownName: TypeAlias = Literal["never", "any", "all"]


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
    What it starts by `context.spawn` it supervises as well, but does not start again when it was
    restarted itself.

    At run time its ref adds and ends children: `start_child`, `terminate_child`, `restart_child`,
    `delete_child`; `which_children` and `count_children` tell how they are.
    """

    default_shutdown: ClassVar[float | None] = None
    __supervises__ = True

    strategy: ClassVar[Strategy] = Strategy()
    """Who is restarted with whom, how often, and after how long: `Supervisor.one_for_one(...)` and so on."""
    children: ClassVar[Sequence[ChildSpec]] = ()
    """Started in this order and stopped in the opposite one; of a pool, the one spec of all its children."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.children = checked_children(cls.__qualname__, cls.strategy, cls.children)

    @staticmethod
    def one_for_one(
        *,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Backoff | None = None,
        decide: Rules | None = None,
        budget: RestartBudget | None = None,
        auto_shutdown: AutoShutdown | AutoShutdownName = AutoShutdown.NEVER,
    ) -> Strategy:
        """Restart the child that ended, and it alone; give up beyond `max_restarts` in `within` seconds.

        `backoff`: how long a child that fails again and again waits before it is started. `decide`: what is
        done about which failure, as pairs of an exception class (or a function of the exception) and
        `"resume"`, `"quarantine"`, `"pause"`, `"restart"`, `"stop"` or `"escalate"` (see `Directive`); the
        first that matches holds, and what none matches is what the exception says of itself (`Poison` and
        its like), else a restart. `budget`: most restarts in the whole tree below.
        `auto_shutdown`: whether the supervisor ends in order when any, or all, of its significant children
        have ended by themselves. Raises the kinds of InvalidStrategy.
        """
        return _strategy(
            RestartKind.ONE_FOR_ONE, max_restarts, within, backoff, decide, budget, auto_shutdown
        )

    @staticmethod
    def one_for_all(
        *,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Backoff | None = None,
        decide: Rules | None = None,
        budget: RestartBudget | None = None,
        auto_shutdown: AutoShutdown | AutoShutdownName = AutoShutdown.NEVER,
    ) -> Strategy:
        """Restart all children when one ends: the others are stopped first, the last started first.

        Arguments as of `one_for_one`; the group waits for the backoff of the child that ended.
        """
        return _strategy(
            RestartKind.ONE_FOR_ALL, max_restarts, within, backoff, decide, budget, auto_shutdown
        )

    @staticmethod
    def rest_for_one(
        *,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Backoff | None = None,
        decide: Rules | None = None,
        budget: RestartBudget | None = None,
        auto_shutdown: AutoShutdown | AutoShutdownName = AutoShutdown.NEVER,
    ) -> Strategy:
        """Restart the child that ended and those started after it, which are stopped first.

        Arguments as of `one_for_one`; the group waits for the backoff of the child that ended.
        """
        return _strategy(
            RestartKind.REST_FOR_ONE, max_restarts, within, backoff, decide, budget, auto_shutdown
        )

    @staticmethod
    def dynamic(
        *,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: Backoff | None = None,
        decide: Rules | None = None,
        budget: RestartBudget | None = None,
        auto_shutdown: AutoShutdown | AutoShutdownName = AutoShutdown.NEVER,
        max_children: int | None = None,
    ) -> Strategy:
        """A pool: many children of one kind, started by `ref.start_child(key)`, stopped in parallel.

        ::

            class Sessions(Supervisor):
                strategy = Supervisor.dynamic(max_restarts=10, within=5.0)
                children = [ChildSpec(Session, restart="transient")]

            alice = await sessions.start_child("alice", language="en")

        `children` holds the one spec that all of them are started by. Each is restarted alone, as by
        `one_for_one`. One that has ended for good is gone, its key free; none of them is started again with
        the supervisor. `max_children`: most of them at a time (PoolFull for the next one); the other
        arguments are as of `one_for_one`.
        """
        pool = _strategy(
            RestartKind.ONE_FOR_ONE, max_restarts, within, backoff, decide, budget, auto_shutdown
        )
        return msgspec.structs.replace(
            pool, is_dynamic=True, stops_in_parallel=True, max_children=max_children
        )


def checked_children(
    supervisor: str, strategy: Strategy, children: Iterable[ChildSpec]
) -> tuple[ChildSpec, ...]:
    """What a supervisor declares, looked at as a whole. Raises InvalidStrategy and InvalidChildSpec."""
    if not isinstance(strategy, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidStrategy(f"{supervisor}.strategy is {strategy!r}; make one: Supervisor.one_for_one()")
    if not isinstance(children, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidChildSpec(f"{supervisor}.children is {children!r}; make it a list: [ChildSpec(...)]")
    names: set[str] = set()
    specs = tuple(children)
    for spec in specs:
        if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidChildSpec(f"{supervisor}.children holds {spec!r}; wrap it: ChildSpec(...)")
        if spec.name is not None and spec.name in names:
            raise DuplicateChild(supervisor, spec.name)
        if spec.name is not None:
            names.add(spec.name)
        check_significance(supervisor, strategy, spec)
    if strategy.is_dynamic and (len(specs) != 1 or specs[0].name is not None):
        raise InvalidChildSpec(
            f"{supervisor} is a pool: its children must be one ChildSpec, without a name, for all that "
            f"start_child starts, not {list(specs)!r}"
        )
    return specs


def check_significance(supervisor: str, strategy: Strategy, spec: ChildSpec) -> None:
    """Raise InvalidSignificance for a significant child that no end of its own can matter of."""
    if spec.significant and strategy.auto_shutdown is AutoShutdown.NEVER:
        raise InvalidSignificance(
            f"{supervisor} has a significant child, {spec!r}, and auto_shutdown 'never': its end would end "
            "nothing. Give the strategy auto_shutdown='any' or 'all'."
        )


def _strategy(
    kind: RestartKind,
    max_restarts: int,
    within: float,
    backoff: Backoff | None,
    decide: Rules | None,
    budget: RestartBudget | None,
    auto_shutdown: AutoShutdown | AutoShutdownName,
) -> Strategy:
    return Strategy(
        kind=kind,
        max_restarts=max_restarts,
        within=within,
        backoff=backoff,
        rules=check_rules(decide),
        budget=budget,
        auto_shutdown=cast("AutoShutdown", auto_shutdown),
    )
