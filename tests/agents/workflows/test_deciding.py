"""What comes next in a workflow, whatever happens in whatever order."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sentient_core.agents.statuses import TaskStatus, WorkflowStatus, check_transition
from sentient_core.agents.workflows.changes import status_changes, step_changes
from sentient_core.agents.workflows.deciding import (
    assigned,
    begun,
    cancelled,
    ended,
    next_moment,
    next_steps,
    paused,
    rang,
    resumed,
    signalled,
    task_of,
)
from sentient_core.agents.workflows.definition import (
    Approval,
    Compensation,
    Delay,
    Part,
    Retry,
    Step,
    Workflow,
)
from sentient_core.agents.workflows.progress import UNDO, Cut, Outcome, Progress

SECOND = 1_000_000_000
DONE = Outcome(status=TaskStatus.COMPLETED, result={"url": "there"})
FAILED = Outcome(status=TaskStatus.FAILED, error="no luck")
STOPPED = Outcome(status=TaskStatus.CANCELLED)
LOST = Outcome(status=TaskStatus.CANCELLED, is_lost=True)


class Play:
    """One workflow, driven by a test, which keeps watch over what is begun."""

    def __init__(self, *steps: Part, input_data: dict[str, Any] | None = None) -> None:
        self.definition = Workflow("play", steps=list(steps))
        self.now = 1_000 * SECOND
        self.finished: list[str] = []
        self.undone: list[str] = []
        self.given: list[str] = []
        self.progress = Progress(workflow_id="w")
        self._next(begun(self.definition, "w", input_data or {}, self.now))

    def _next(self, new: Progress) -> None:
        for change in step_changes(self.progress, new):
            check_transition("task", change.old, change.new)
            if change.new is TaskStatus.COMPLETED:
                self.finished.append(change.step)
        for before, after in status_changes(self.progress, new):
            check_transition("workflow", before, after)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(new), type=Progress) == new
        self.progress = new

    def ready(self) -> list[str]:
        return next_steps(self.definition, self.progress, self.now)

    def give(self, name: str, agent: str = "bob") -> None:
        assert name not in self.finished
        if name.endswith(UNDO):
            assert not self.at_work()
            assert name.removesuffix(UNDO) in self.finished
            self.undone += [name.removesuffix(UNDO)] if self.progress.steps[name].attempts == 0 else []
        else:
            assert set(self.definition.after[name]) <= set(self.finished)
            assert not self.undone
        self.given.append(name)
        self._next(assigned(self.definition, self.progress, name, agent, self.now))
        assert task_of(self.definition, self.progress, name).workflow_id == "w"

    def at_work(self) -> list[str]:
        return [name for name, step in self.progress.steps.items() if step.is_at_work]

    def end(self, name: str, outcome: Outcome = DONE) -> None:
        task_id = self.progress.steps[name].task_id or ""
        self._next(ended(self.definition, self.progress, name, task_id, outcome, self.now))

    def do(self, name: str, outcome: Outcome = DONE) -> None:
        assert name in self.ready()
        self.give(name)
        self.end(name, outcome)

    def wait(self) -> None:
        moment = next_moment(self.progress)
        assert moment is not None
        self.now = max(self.now, moment)
        self._next(rang(self.definition, self.progress, self.now))
        after = next_moment(self.progress)
        assert after is None or after > self.now

    def signal(self, name: str, **data: Any) -> None:
        self._next(signalled(self.definition, self.progress, name, data, self.now))

    def pause(self) -> None:
        self._next(paused(self.progress, self.now))

    def resume(self) -> None:
        self._next(resumed(self.definition, self.progress, self.now))

    def cancel(self, *, compensate: bool = True) -> None:
        self._next(cancelled(self.definition, self.progress, compensate, "somebody", self.now))

    def status_now(self) -> str:
        return self.progress.status

    def status(self, name: str) -> str:
        return self.progress.steps[name].status


def test_steps_come_when_what_they_wait_for_is_completed() -> None:
    play = Play(
        Step("a", "x"),
        Step("b", "x", after=["a"]),
        Step("c", "x", after=["a"]),
        Step("d", "x", after=["b", "c"]),
    )
    assert play.ready() == ["a"]
    play.do("a")
    assert play.ready() == ["b", "c"]
    play.do("c")
    assert play.ready() == ["b"]
    play.do("b")
    play.do("d")
    assert play.progress.status is WorkflowStatus.COMPLETED
    assert play.finished == ["a", "c", "b", "d"]


def test_results_flow_into_later_steps() -> None:
    play = Play(
        Step("a", "x"),
        Step("b", "x", input_data={"n": 1}, inputs={"it": "a.url", "all": "a", "who": "input.names.1"}),
        input_data={"names": ["ann", "bob"]},
    )
    play.do("a")
    play.give("b")
    task = task_of(play.definition, play.progress, "b")
    assert task.input_data == {"n": 1, "it": "there", "all": {"url": "there"}, "who": "bob"}
    assert task.task_id == "w:b:1"


def test_a_path_to_nothing_fails_the_step_before_anybody_has_it() -> None:
    play = Play(Step("a", "x"), Step("b", "x", inputs={"it": "a.uri"}))
    play.do("a")
    assert (play.progress.status, play.progress.failed_step) == ("failed", "b")
    assert play.progress.cause == "the input 'it' of 'b' is to be 'a.uri', but 'a' has no 'uri'"


def test_an_attempt_that_fails_is_tried_again_after_its_wait_and_then_fails_the_workflow() -> None:
    play = Play(Step("a", "x", retry=Retry(2, backoff=5)), Step("b", "x"))
    play.do("a", FAILED)
    assert play.ready() == []
    assert next_moment(play.progress) == play.now + 5 * SECOND
    play.wait()
    play.do("a", FAILED)
    assert (play.progress.status, play.progress.failed_step, play.progress.cause) == (
        "failed",
        "a",
        "no luck",
    )
    assert (play.given, play.status("b")) == (["a", "a"], "cancelled")


def test_what_cannot_get_better_is_not_tried_again() -> None:
    play = Play(Step("a", "x", retry=Retry(5)))
    play.do("a", Outcome(status=TaskStatus.FAILED, error="no such thing", may_retry=False))
    assert play.progress.status is WorkflowStatus.FAILED
    play = Play(Step("a", "x", retry=Retry(5)))
    play.do("a", STOPPED)
    assert play.progress.cause == "somebody cancelled its task"


def test_an_attempt_that_takes_too_long_is_cut_and_counts_as_failed() -> None:
    play = Play(Step("a", "x", timeout=10, retry=Retry(2, backoff=0)))
    play.give("a")
    play.wait()
    assert play.progress.steps["a"].cut is Cut.TIMEOUT
    play.end("a", STOPPED)
    play.give("a")
    play.wait()
    play.end("a", STOPPED)
    assert play.progress.cause == "it took longer than 10 seconds"


def test_an_attempt_that_nobody_has_taken_on_is_none() -> None:
    play = Play(Step("a", "x"))
    play.do("a", LOST)
    play.do("a", LOST)
    play.do("a")
    assert (play.progress.status, play.progress.steps["a"].attempts) == ("completed", 3)


def test_a_task_that_completes_while_it_is_being_cut_is_completed() -> None:
    play = Play(Step("a", "x", timeout=10))
    play.give("a")
    play.wait()
    play.end("a", DONE)
    assert play.progress.status is WorkflowStatus.COMPLETED


def test_news_of_an_earlier_attempt_change_nothing() -> None:
    play = Play(Step("a", "x", retry=Retry(2, backoff=0)))
    play.do("a", FAILED)
    before = play.progress
    assert ended(play.definition, before, "a", "w:a:1", DONE, play.now) is before
    play.give("a")
    assert ended(play.definition, play.progress, "a", "w:a:1", DONE, play.now) is play.progress


def test_compensation_goes_back_in_the_order_of_completion() -> None:
    undo = Compensation(inputs={"it": "a.url"})
    play = Play(
        Step("a", "x", compensate=undo),
        Step("b", "x", after=["a"], compensate=Compensation("y")),
        Step("c", "x", after=["a"]),
        Step("d", "x", after=["a"], compensate=Compensation(agent="dan")),
        Step("e", "x", after=["b", "c", "d"]),
    )
    for name in ("a", "d", "c", "b"):
        play.do(name)
    play.do("e", FAILED)
    assert play.status_now() == "running"
    for name in ("b:undo", "d:undo", "a:undo"):
        assert play.ready() == [name]
        play.do(name)
    assert play.progress.status is WorkflowStatus.FAILED
    assert (play.progress.failed_step, play.progress.uncompensated) == ("e", ())


def test_a_compensation_that_fails_is_tried_again_and_told_of_and_the_others_go_on() -> None:
    undo = Compensation("y", retry=Retry(2, backoff=1))
    play = Play(Step("a", "x", compensate=undo), Step("b", "x", compensate=undo), Step("c", "x"))
    play.do("a")
    play.do("b")
    play.do("c", FAILED)
    play.do("b:undo", FAILED)
    play.wait()
    play.do("b:undo", FAILED)
    play.do("a:undo")
    assert (play.progress.status, play.progress.uncompensated) == ("failed", ("b",))


def test_a_failure_cuts_what_is_at_work_and_waits_for_it() -> None:
    play = Play(
        Step("a", "x", after=[]),
        Step("b", "x", after=[], compensate=Compensation()),
        Step("c", "x", after=[]),
    )
    for name in ("a", "b", "c"):
        play.give(name)
    play.end("a", FAILED)
    assert play.progress.steps["b"].cut is Cut.END
    play.end("b", DONE)  # it was faster
    assert play.ready() == []
    play.end("c", STOPPED)
    assert play.ready() == ["b:undo"]
    play.do("b:undo")
    assert (play.progress.status, play.status("b"), play.status("c")) == ("failed", "completed", "cancelled")


def test_cancelling_undoes_what_was_completed_unless_it_is_not_wanted() -> None:
    for compensate in (True, False):
        play = Play(Step("a", "x", compensate=Compensation()), Step("b", "x"))
        play.do("a")
        play.cancel(compensate=compensate)
        assert play.ready() == (["a:undo"] if compensate else [])
        if compensate:
            play.do("a:undo")
        assert play.progress.status is WorkflowStatus.CANCELLED


def test_a_signal_is_for_one_approval_whether_it_comes_before_or_after() -> None:
    play = Play(Approval("one", signal="go"), Approval("two", signal="go"), Approval("three"))
    play.signal("go", by="ann")
    assert (play.finished, play.progress.results["one"]) == (["one"], {"by": "ann"})
    play.signal("three")
    play.signal("go")
    assert play.progress.status is WorkflowStatus.COMPLETED


def test_an_approval_that_is_refused_or_late_fails() -> None:
    play = Play(Approval("go"))
    play.signal("go", approved=False, reason="too expensive")
    assert (play.progress.status, play.progress.cause) == ("failed", "too expensive")
    play = Play(Approval("go", timeout=60))
    play.wait()
    assert (play.progress.status, play.progress.cause) == ("failed", "nobody has sent its signal in time")


def test_while_it_is_paused_nothing_begins_and_time_limits_stand_still() -> None:
    play = Play(Step("a", "x", timeout=10), Delay("b", 5, after=[]), Step("c", "x"))
    play.give("a")
    play.now += 4 * SECOND
    play.pause()
    play.end("a")
    play.now += 100 * SECOND
    assert (play.ready(), next_moment(play.progress), play.status("b")) == ([], None, "running")
    play.resume()
    assert (play.ready(), play.status("b")) == (["c"], "completed")

    play = Play(Step("a", "x", timeout=10))
    play.give("a")
    play.now += 4 * SECOND
    play.pause()
    play.now += 100 * SECOND
    play.resume()
    assert next_moment(play.progress) == play.now + 6 * SECOND


@st.composite
def workflows(draw: st.DrawFn) -> list[Part]:
    parts: list[Part] = []
    names = [f"s{number}" for number in range(draw(st.integers(1, 7)))]
    for index, name in enumerate(names):
        after = draw(st.none() | st.lists(st.sampled_from(names[:index]), unique=True)) if index else None
        kind = draw(st.sampled_from(["step", "step", "step", "approval", "delay"]))
        if kind == "step":
            retry = Retry(draw(st.integers(1, 3)), backoff=draw(st.sampled_from([0.0, 3.0])))
            timeout = draw(st.sampled_from([None, 2.0]))
            undo = Compensation("y", retry=Retry(draw(st.integers(1, 2)))) if draw(st.booleans()) else None
            parts.append(Step(name, "x", after=after, retry=retry, timeout=timeout, compensate=undo))
        elif kind == "approval":
            parts.append(Approval(name, signal="go", after=after, timeout=draw(st.sampled_from([None, 4.0]))))
        else:
            parts.append(Delay(name, draw(st.sampled_from([0.0, 1.0, 9.0])), after=after))
    return parts


@settings(max_examples=300, deadline=None)
@given(data=st.data(), parts=workflows())
def test_whatever_happens_it_comes_to_an_end_and_each_step_is_done_at_most_once(
    data: st.DataObject, parts: list[Part]
) -> None:
    play = Play(*parts)
    for _ in range(400):
        if play.progress.is_over:
            break
        can: list[str] = [
            "signal",
            *(["give"] if play.ready() else []),
            *(["end"] * 2 if play.at_work() else []),
        ]
        if next_moment(play.progress) is not None:
            can.append("wait")
        if play.progress.status is WorkflowStatus.PAUSED:
            can += ["resume", "resume"]
        elif len(play.given) < 10:
            can.append("pause")
        if data.draw(st.integers(0, 30)) == 0:
            can = ["cancel"]
        match data.draw(st.sampled_from(can)):
            case "give":
                play.give(data.draw(st.sampled_from(play.ready())))
            case "end":
                play.end(
                    data.draw(st.sampled_from(play.at_work())),
                    data.draw(st.sampled_from([DONE, DONE, FAILED, STOPPED, LOST])),
                )
            case "wait":
                play.wait()
            case "signal":
                play.signal("go", approved=data.draw(st.sampled_from([True, True, False])))
            case "pause":
                play.pause()
            case "resume":
                play.resume()
            case _:
                play.cancel(compensate=data.draw(st.booleans()))
    if play.progress.status is WorkflowStatus.PAUSED:
        play.resume()
    for _ in range(400):  # and when nothing more is said, it ends, or waits for somebody
        if play.ready():
            play.give(play.ready()[0])
        elif play.at_work():
            play.end(play.at_work()[0])
        elif next_moment(play.progress) is not None:
            play.wait()
        elif not play.progress.is_over:
            play.signal("go")
    assert play.progress.is_over
    assert len(play.finished) == len(set(play.finished))
    order = [name for name in play.finished if not name.endswith(UNDO)]
    undoable = {part.name for part in parts if isinstance(part, Step) and part.compensate}
    assert play.undone == [name for name in reversed(order) if name in play.undone]
    if play.progress.status is WorkflowStatus.COMPLETED:
        assert sorted(order) == sorted(part.name for part in parts)
    elif play.progress.is_compensating:
        assert set(play.undone) == set(order) & undoable
    else:
        assert play.undone == []
