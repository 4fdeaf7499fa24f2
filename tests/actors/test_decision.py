"""What a failure means, as properties of a pure function."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import (
    BudgetExceeded,
    Escalated,
    InvalidArgument,
    InvalidDecision,
    Poison,
    RateLimited,
    SentientError,
    StartFailed,
    StoreUnavailable,
    Transient,
)
from sentient_core.actors.decision import (
    RESTARTED,
    Decision,
    Directive,
    MessageFate,
    check_rules,
    decide,
    leaves,
)

SEVERITY = list(Directive)


def errors() -> st.SearchStrategy[Exception]:
    """Single failures of all sorts."""
    return st.one_of(
        st.sampled_from([ValueError, KeyError, LookupError, OSError, SentientError, Poison]).map(
            lambda kind: kind("x")
        ),
        st.floats(0, 1e6).map(RateLimited),
        st.integers(1, 20).map(lambda attempts: Transient("x", attempts=attempts)),
        st.just("spent").map(BudgetExceeded),
        st.just("away").map(StoreUnavailable),
    )


def passed_up(error: Exception) -> st.SearchStrategy[Exception]:
    start = StartFailed("a/b", "x")
    start.__cause__ = error
    return st.sampled_from([Escalated("a", "a/b", error), start, ExceptionGroup("g", [error])])


Pairs: TypeAlias = list[tuple[Any, Directive]]


def rules() -> st.SearchStrategy[Pairs]:
    kinds: st.SearchStrategy[Any]
    kinds = st.sampled_from([ValueError, LookupError, OSError, SentientError, (KeyError, Poison)])
    return st.lists(st.tuples(kinds, st.sampled_from(Directive)), max_size=4)


def expected_of(error: BaseException, *given: Pairs) -> Directive | None:
    """What the rules say, by reading them one by one."""
    for ruled in given:
        for matcher, directive in ruled:
            if isinstance(error, matcher):
                return directive
    return None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("x"), Decision(Directive.RESTART, MessageFate.BY_ATTEMPTS)),
        (RateLimited(2.5, attempts=3), Decision(attempts=3, not_before=2.5)),
        (Transient("x", attempts=7), Decision(attempts=7)),
        (Transient("x"), Decision(attempts=5)),
        (Poison("x"), Decision(Directive.QUARANTINE, MessageFate.QUARANTINED)),
        (BudgetExceeded("x"), Decision(Directive.PAUSE, MessageFate.KEPT)),
        (StoreUnavailable("x"), Decision(fate=MessageFate.KEPT, is_free=True)),
    ],
    ids=repr,
)
def test_what_an_exception_says_of_itself(error: Exception, expected: Decision) -> None:
    assert decide(error) == expected
    assert decide(error, (), ()) == expected


@given(error=errors(), child=rules(), strategy=rules())
def test_the_first_rule_that_matches_holds_and_the_childs_come_before_the_strategys(
    error: Exception, child: Pairs, strategy: Pairs
) -> None:
    decision = decide(error, check_rules(child), check_rules(strategy))

    expected = expected_of(error, child, strategy)
    assert decision.directive is (decide(error).directive if expected is None else expected)


@given(error=errors(), given=rules(), data=st.data())
def test_what_is_passed_up_is_decided_as_what_it_was(error: Exception, given: Pairs, data: Any) -> None:
    checked = check_rules(given)
    expected = decide(error, checked)

    for _ in range(3):
        error = data.draw(passed_up(error))
        assert decide(error, checked) == expected


@given(group=st.lists(errors(), min_size=1, max_size=6), given=rules())
def test_of_a_group_the_most_severe_holds_in_every_respect(group: list[Exception], given: Pairs) -> None:
    checked = check_rules(given)
    each = [decide(error, checked) for error in group]

    nested = ExceptionGroup("outer", [*group[1:], ExceptionGroup("inner", group[:1])])
    together = decide(nested, checked)

    assert SEVERITY.index(together.directive) == max(SEVERITY.index(d.directive) for d in each)
    assert together.not_before == max(d.not_before for d in each)
    assert together.attempts == min(d.attempts for d in each)
    assert together.is_free is all(d.is_free for d in each)
    assert (together.fate is MessageFate.KEPT) is all(d.fate is MessageFate.KEPT for d in each)
    assert (together.fate is MessageFate.QUARANTINED) is any(d.fate is MessageFate.QUARANTINED for d in each)


def test_a_function_of_the_exception_is_a_rule_and_is_asked_about_leaves() -> None:
    asked: list[Exception] = []

    def is_late(error: Exception) -> bool:
        asked.append(error)
        return "late" in str(error)

    late, lost = ValueError("late"), KeyError("lost")
    found = check_rules([(is_late, "stop")])

    assert decide(late, found).directive is Directive.STOP
    assert decide(lost, found).directive is Directive.RESTART
    assert decide(ExceptionGroup("g", [lost, late]), found).directive is Directive.STOP
    assert asked == [late, lost, lost, late]


def test_a_rule_that_raises_is_passed_over_and_noted_on_the_exception() -> None:
    def broken(error: Exception) -> bool:
        raise ZeroDivisionError("oops")

    error = ValueError("x")

    assert (
        decide(error, check_rules([(broken, "stop"), (ValueError, "resume")])).directive is Directive.RESUME
    )
    assert error.__notes__ == [
        "a rule of its supervision raised ZeroDivisionError: oops, so it was passed over"
    ]


def test_what_no_supervision_is_for_is_no_matter_for_rules() -> None:
    interrupt = KeyboardInterrupt()

    assert decide(interrupt, check_rules([(BaseException, "stop")])) is RESTARTED
    assert list(leaves(interrupt)) == []
    assert decide(
        BaseExceptionGroup("g", [interrupt, ValueError()]), check_rules([(ValueError, "stop")])
    ) == (Decision(Directive.STOP))


def test_a_rule_keeps_what_the_exception_says_of_its_message() -> None:
    def ruled(error: Exception, directive: Any) -> Decision:
        return decide(error, check_rules([(Exception, directive)]))

    assert ruled(RateLimited(9, attempts=3), "restart") == decide(RateLimited(9, attempts=3))
    assert ruled(RateLimited(9, attempts=3), "resume") == Decision(Directive.RESUME, attempts=3)
    assert ruled(Poison("x"), "stop") == Decision(Directive.STOP, MessageFate.QUARANTINED)
    assert ruled(ValueError("x"), "quarantine") == Decision(Directive.QUARANTINE, MessageFate.QUARANTINED)
    assert ruled(ValueError("x"), "pause") == Decision(Directive.PAUSE, MessageFate.KEPT)
    # One that goes on would have the message that it cannot handle over and over again.
    assert ruled(StoreUnavailable("x"), "resume") == Decision(Directive.RESUME)


def test_ever_so_many_or_endless_causes_are_looked_at_for_a_while() -> None:
    loop = Escalated("a", "b", None)
    loop.__cause__ = loop

    assert list(leaves(loop)) == []
    assert decide(loop) == RESTARTED
    assert len(list(leaves(ExceptionGroup("g", [ValueError(n) for n in range(1_000)])))) < 100


def test_rules_may_be_pairs_or_a_mapping_with_names_or_members() -> None:
    pairs = check_rules([(KeyError, "stop"), ((OSError, ValueError), Directive.PAUSE)])

    assert check_rules({KeyError: Directive.STOP, (OSError, ValueError): "pause"}) == pairs
    assert check_rules(None) == ()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (5, "it is 5"),
        ("stop", "it is 'stop'"),
        ([KeyError], "it is"),
        ([(KeyError, "stop", 1)], "it is"),
        ([(KeyError, "explode")], "no directive; it can be 'resume'"),
        ([(KeyError, None)], "no directive"),
        ([(KeyError, 1)], "no directive"),
        ([(int, "stop")], "matches no exception"),
        ([((), "stop")], "matches no exception"),
        ([((KeyError, int), "stop")], "matches no exception"),
        ([("KeyError", "stop")], "matches no exception"),
        ([(KeyboardInterrupt, "stop")], "matches no exception"),
        ([((KeyError, asyncio.CancelledError), "resume")], "matches no exception"),
        ([(KeyError(), "stop")], "matches no exception"),
    ],
    ids=str,
)
def test_rules_that_cannot_be_are_refused(wrong: Any, why: str) -> None:
    with pytest.raises(InvalidDecision, match=why):
        check_rules(wrong)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon", None, True], ids=repr)
def test_a_wait_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(InvalidArgument, match="retry_after"):
        RateLimited(seconds)


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "2"], ids=repr)
def test_a_number_of_attempts_that_is_none_is_refused(attempts: Any) -> None:
    with pytest.raises(InvalidArgument, match="attempts"):
        RateLimited(1, attempts=attempts)
    with pytest.raises(InvalidArgument, match="attempts"):
        Transient("x", attempts=attempts)


def test_a_failure_that_is_not_as_its_class_says_is_a_restart_with_a_note() -> None:
    class Halfway(RateLimited):
        def __init__(self) -> None:  # without that of its base
            pass

    late = RateLimited(1.0)
    late.retry_after = float("inf")
    many = Transient("x")
    many.attempts = cast("int", "many")

    for error in (Halfway(), late, many, ExceptionGroup("several", [Halfway()])):
        assert decide(error) == Decision()
        assert any("could not be understood" in note for note in error.__notes__)
