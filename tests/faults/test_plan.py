"""A plan of faults: what it takes, how it prints, when its rules strike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.errors import InvalidFaultPlan
from sentient_core.faults import ACTIONS, FaultAction, FaultPlan, FaultPoint, Faults, Rule
from sentient_core.faults.chance import chance
from sentient_core.faults.points import STORE_POINTS

PAIRS = [(point, action) for point, actions in ACTIONS.items() for action in actions]


def rule(point: FaultPoint, action: FaultAction, **more: Any) -> Rule:
    seconds = 0.5 if action is FaultAction.DELAY else None
    return Rule(point=point, action=action, seconds=seconds, **more)


def rules() -> st.SearchStrategy[Rule]:
    counts = st.none() | st.integers(1, 9)

    def made(pair: tuple[FaultPoint, FaultAction], nth: int | None, times: int | None, chance: float) -> Rule:
        actor = "*" if pair[0] in STORE_POINTS else "bank/*"
        return rule(*pair, actor=actor, nth=nth, times=times, probability=chance)

    return st.builds(made, st.sampled_from(PAIRS), counts, counts, st.floats(0.001, 1.0))


@given(st.integers(), st.lists(rules(), max_size=5))
def test_what_a_plan_prints_is_the_plan(seed: int, made: list[Rule]) -> None:
    plan = FaultPlan(seed, tuple(made))

    assert FaultPlan.from_toml(str(plan)) == plan


def test_a_plan_is_loaded_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('seed = 7\n[[rules]]\npoint = "receive"\naction = "raise"\nnth = 3\n')

    plan = FaultPlan.load(tmp_path / "plan.toml")

    assert plan == FaultPlan(7, (Rule(point=FaultPoint.RECEIVE, action=FaultAction.RAISE, nth=3),))


@pytest.mark.parametrize(("content", "complaint"), [(b"seed = ", "Invalid value"), (b"\xff", "utf-8")])
def test_a_file_that_holds_no_plan_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_bytes(content)

    with pytest.raises(InvalidFaultPlan, match=f"{re.escape(str(file))}: .*{complaint}"):
        FaultPlan.load(file)


@pytest.mark.parametrize(
    ("text", "there_is"),
    [
        ("seed = 1\n[[rule]]\n", "a plan, whose rules are tables [[rules]], has seed, rules"),
        ("seed = 1\n[rules]\n", "each rule is a table [[rules]]"),
        ("seed = 1\n[[rules]]\npoint = 'timer'\nacton = 'drop'\n", "a rule has point, action, actor, "),
        ("seed = 1\n[[rules]]\npoint = 'timr'\naction = 'drop'\n", "there are: checkpoint, mailbox_get, "),
        ("seed = 1\n[[rules]]\npoint = 'timer'\naction = 'dorp'\n", "there are: cancel, corrupt, delay, "),
    ],
)
def test_of_a_misspelt_word_it_is_said_what_there_is(text: str, there_is: str) -> None:
    with pytest.raises(InvalidFaultPlan, match=re.escape(there_is)):
        FaultPlan.from_toml(text)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"point": "receiv"}, "there is no point 'receiv'; there are: checkpoint, "),
        ({"action": "explode"}, "there is no action 'explode'"),
        ({"action": "drop"}, "nothing can drop at receive; what can be done there: cancel, delay, "),
        ({"actor": ""}, "actor must be the path of an actor, or a pattern"),
        ({"message_type": 3}, "message_type must be the name of a class"),
        ({"point": "store_append", "actor": "bank/*"}, "of many actors together"),
        ({"nth": 0}, "nth must be a whole number from 1 on"),
        ({"times": True}, "times must be a whole number from 1 on"),
        ({"probability": 0}, "probability is more than 0"),
        ({"probability": 1.1}, "probability is more than 0"),
        ({"action": "delay"}, "a delay takes seconds="),
        ({"action": "delay", "seconds": float("inf")}, "a delay takes seconds="),
        ({"seconds": 1}, "seconds says nothing to raise"),
        ({"action": "delay", "seconds": float("nan")}, "a delay takes seconds="),
        ({"action": "delay", "seconds": -1.0}, "a delay takes seconds="),
        ({"action": "delay", "seconds": "1"}, "a delay takes seconds="),
        ({"probability": float("nan")}, "probability is more than 0"),
        ({"probability": "1"}, "probability is more than 0"),
        ({"nth": -1}, "nth must be a whole number from 1 on"),
        ({"nth": 1.0}, "nth must be a whole number from 1 on"),
        ({"point": None}, "there is no point None"),
        ({"action": ["raise"]}, "there is no action"),
        ({"reason": 5}, "reason must be a text"),
        ({"action": "hang", "reason": "x"}, "reason says nothing to hang"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(fields: dict[str, Any], complaint: str) -> None:
    made: dict[str, Any] = {"point": "receive", "action": "raise", **fields}

    with pytest.raises(InvalidFaultPlan, match=complaint):
        Rule(**made)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed =", "Invalid value"),
        ("rules = []", "missing required field `seed`"),
        ("seed = 1\nrulez = 2", "unknown field `rulez`"),
        ('seed = 1\n[[rules]]\npoint = "x"\naction = "raise"', r"at `\$.rules\[0\].point`"),
        ('seed = 1\n[[rules]]\npoint = "timer"\naction = "raise"', "nothing can raise at timer"),
        ("seed = 1.5", "Expected `int`, got `float`"),
        ("seed = 1\nseed = 2", "Cannot overwrite a value"),
        ('seed = 1\n[[rules]]\npoint = "stop"\naction = "raise"\nnht = 3', "unknown field `nht`"),
        ('seed = 1\n[[rules]]\npoint = "stop"\naction = "delay"\nseconds = inf', "a delay takes seconds="),
        ('seed = 1\n[[rules]]\npoint = "stop"\naction = "raise"\nnth = "3"', r"at `\$.rules\[0\].nth`"),
        ('seed = 1\nrules = ["stop"]', "Expected `object`, got `str`"),
    ],
)
def test_a_text_that_is_no_plan_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidFaultPlan, match=complaint):
        FaultPlan.from_toml(text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"seed = 7 # \xff")

    with pytest.raises(InvalidFaultPlan, match=r"plan\.toml: .*utf-8"):
        FaultPlan.load(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("seed", "made"), [("7", ()), (True, ()), (1, "receive"), (1, [{"point": "receive"}]), (1, 5)]
)
def test_what_no_plan_is_made_of_is_refused(seed: Any, made: Any) -> None:
    with pytest.raises(InvalidFaultPlan):
        FaultPlan(seed, made)


def strikes(faults: Faults, actor: str, times: int) -> list[int]:
    return [n for n in range(times) if faults.choose(FaultPoint.RECEIVE, actor, "Add") is not None]


def test_the_nth_is_counted_for_each_actor_by_itself() -> None:
    faults = Faults(FaultPlan(1, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, nth=3),)))

    assert (strikes(faults, "a", 5), strikes(faults, "b", 2), strikes(faults, "b", 2)) == ([2], [], [0])


def test_a_rule_means_the_actors_and_messages_of_its_patterns() -> None:
    meant = rule(FaultPoint.RECEIVE, FaultAction.RAISE, actor="bank/*", message_type="A*")
    faults = Faults(FaultPlan(1, (meant,)))

    assert (strikes(faults, "bank/a/b", 1), strikes(faults, "banks", 1)) == ([0], [])
    assert faults.choose(FaultPoint.RECEIVE, "bank/a", "Total") is None


def test_a_rule_strikes_no_more_often_than_it_may() -> None:
    faults = Faults(FaultPlan(1, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, times=2),)))

    assert strikes(faults, "a", 5) == [0, 1]


def test_how_often_it_may_strike_is_counted_over_all_actors() -> None:
    faults = Faults(FaultPlan(1, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, times=2),)))

    assert [strikes(faults, actor, 2) for actor in "abc"] == [[0, 1], [], []]
    faults = Faults(faults.plan)
    assert [strikes(faults, actor, 1) for actor in "abc"] == [[0], [0], []]


def test_nothing_goes_wrong_while_it_is_paused_and_nothing_is_counted() -> None:
    faults = Faults(FaultPlan(1, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, nth=2),)))
    faults.pause()
    assert strikes(faults, "a", 5) == []
    faults.resume()

    assert strikes(faults, "a", 3) == [1]


def test_of_two_rules_that_strike_the_first_is_obeyed_and_both_count() -> None:
    first = rule(FaultPoint.RECEIVE, FaultAction.CANCEL, nth=1)
    second = rule(FaultPoint.RECEIVE, FaultAction.RAISE, nth=2)
    faults = Faults(FaultPlan(1, (first, second)))

    strikes(faults, "a", 2)

    assert [(fault.rule, fault.nth) for fault in faults.injected] == [(0, 1), (1, 2)]


def test_of_two_rules_that_strike_at_once_one_is_obeyed_and_listed() -> None:
    each = tuple(rule(FaultPoint.RECEIVE, action) for action in (FaultAction.CANCEL, FaultAction.RAISE))
    faults = Faults(FaultPlan(1, each))

    chosen = faults.choose(FaultPoint.RECEIVE, "a", "Add")

    assert chosen is not None
    assert chosen.action is FaultAction.CANCEL
    assert faults.injected == (chosen,)


def test_each_rule_has_its_own_chance() -> None:
    each = tuple(
        rule(FaultPoint.RECEIVE, FaultAction.RAISE, actor=actor, probability=0.5) for actor in ("a", "[a]")
    )
    alone = [strikes(Faults(FaultPlan(1, (one,))), "a", 50) for one in each]
    both = strikes(Faults(FaultPlan(1, each)), "a", 50)

    assert alone[0] == alone[1]  # each is the first of its plan
    assert set(both) > set(alone[0])  # the second one strikes at other times


def test_each_actor_has_its_own_chance() -> None:
    faults = Faults(FaultPlan(1, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, probability=0.5),)))

    assert strikes(faults, "a", 50) != strikes(faults, "b", 50)


@given(st.integers(), st.permutations(["a", "b", "c"] * 8))
def test_what_strikes_an_actor_does_not_depend_on_what_others_do(seed: int, order: list[str]) -> None:
    plan = FaultPlan(seed, (rule(FaultPoint.RECEIVE, FaultAction.RAISE, probability=0.5),))
    mixed, alone = Faults(plan), Faults(plan)
    for actor in order:
        mixed.choose(FaultPoint.RECEIVE, actor)
    for actor in sorted(order):
        alone.choose(FaultPoint.RECEIVE, actor)

    def of(faults: Faults) -> set[tuple[str, int]]:
        return {(fault.actor, fault.nth) for fault in faults.injected}

    assert of(mixed) == of(alone)


def test_rules_that_have_struck_nobody_are_listed_and_what_has_is_a_line() -> None:
    misspelt = rule(FaultPoint.RECEIVE, FaultAction.RAISE, actor="bnak/*")
    plan = FaultPlan(7, (misspelt, rule(FaultPoint.RECEIVE, FaultAction.DELAY, nth=2)))
    faults = Faults(plan)

    faults.choose(FaultPoint.RECEIVE, "bank/alice", "Deposit")
    assert faults.idle == plan.rules
    faults.choose(FaultPoint.RECEIVE, "bank/alice", "Deposit")

    assert faults.idle == (misspelt,)
    assert list(map(str, faults.injected)) == ["receive 2 of 'bank/alice' with Deposit: delay 0.5 s (rule 1)"]
    assert repr(faults) == "<Faults of seed 7: 1 injected, 1 of 2 rules idle>"


def test_chance_is_the_same_in_every_process_and_evenly_spread() -> None:
    assert chance(7, 0, "bank/alice", 1) == 0.0523701565393071
    drawn = [chance(7, n) for n in range(10_000)]
    assert 0.48 < sum(drawn) / len(drawn) < 0.52
    assert all(0.0 <= number < 1.0 for number in drawn)
