"""`WorkflowHandle`: one run of a workflow, as programs use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import anyio

from sentient_core.agents.committed_rows import committed_rows
from sentient_core.agents.fields import check_id
from sentient_core.agents.models import WorkflowState, WorkflowStep
from sentient_core.agents.state_manager import StateManager
from sentient_core.agents.statuses import WorkflowStatus, check_transition, is_final
from sentient_core.agents.subjects import from_row
from sentient_core.agents.workflows.board import board_of
from sentient_core.agents.workflows.messages import (
    UNKNOWN,
    CancelWorkflow,
    PauseWorkflow,
    ResumeWorkflow,
    SendSignal,
)
from sentient_core.agents.workflows.runner import WorkflowRunner
from sentient_core.agents.workflows.sizes import MOST_BYTES_OF_SIGNAL, MOST_SIGNALS
from sentient_core.errors import (
    InvalidArgument,
    TooManySignals,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowOver,
)
from sentient_core.paths import check_name
from sentient_core.store.plain_values import check_storable
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.actors.ref import ActorRef
    from sentient_core.actors.runtime import Runtime

__all__ = ["WorkflowHandle"]


class WorkflowHandle:
    """What programs do with a running workflow, or one that is over. Made by `Workflows`.

    Whatever is asked for is committed when the call returns. `timeout`, in seconds, is what the workflow may
    take to answer; what its steps take is another matter.
    """

    def __init__(self, runtime: Runtime, workflow_id: str, *, timeout: float = 30.0) -> None:
        self.workflow_id: str = check_name(workflow_id)
        self.timeout: float = timeout
        self._runtime = runtime

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.workflow_id}>"

    async def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for its end; what its steps came to, by their names.

        Raises WorkflowFailed, which names the step and why; WorkflowCancelled; UnknownWorkflow; TimeoutError
        after `timeout` seconds. The workflow goes on whatever becomes of the call.
        """
        with anyio.fail_after(timeout), board_of(self._runtime).watching(self.workflow_id) as watched:
            while True:
                news = watched.news
                row = (await self._row()).fields
                if is_final("workflow", row["status"]):
                    return self._outcome(row)
                while not watched.is_over:
                    await news.wait()
                    news = watched.news

    async def status(self) -> WorkflowStatus:
        """How it stands. Raises UnknownWorkflow."""
        return WorkflowStatus((await self._row()).fields["status"])

    async def state(self) -> WorkflowState:
        """All that is known of it: `current_step` of `total_steps` are completed. Raises UnknownWorkflow."""
        state = await StateManager(self._runtime.system).get_workflow(self.workflow_id)
        if state is None:
            raise UnknownWorkflow(self.workflow_id)
        return state

    async def steps(self) -> list[WorkflowStep]:
        """Its steps in their order, each with what compensates it (`build:undo`), once that has begun."""
        steps = [from_row(WorkflowStep, row) for row in await self._rows(RowTable.WORKFLOW_STEP)]
        return sorted(steps, key=lambda step: (step.position, step.name))

    async def history(self) -> list[dict[str, Any]]:
        """What has happened, oldest first: `event`, `timestamp` (ISO 8601), and what belongs to it."""
        return [row.fields["entry"] for row in await self._rows(RowTable.WORKFLOW_HISTORY)]

    async def pause(self) -> None:
        """Begin no steps until it is resumed, and have the tasks at work pause at their next points.

        Time limits stand still; delays go on. Raises IllegalTransition when it is over, UnknownWorkflow.
        """
        check_transition("workflow", await self._ask(PauseWorkflow()), WorkflowStatus.PAUSED)

    async def resume(self) -> None:
        """Go on. Raises IllegalTransition when it is over, UnknownWorkflow."""
        check_transition("workflow", await self._ask(ResumeWorkflow()), WorkflowStatus.RUNNING)

    async def cancel(self, *, compensate: bool = True, cause: str = "somebody asked for it") -> bool:
        """Begin no steps any more, cancel the tasks at work, and undo what was completed.

        Without `compensate` nothing is undone. Returns when all that has ended. False: it came to another end
        before. Raises UnknownWorkflow.
        """
        await self._ask(CancelWorkflow(compensate, cause))
        try:
            await self.result()
        except WorkflowCancelled:
            return True
        except WorkflowFailed:
            return False
        return False

    async def signal(
        self, name: str, data: Mapping[str, Any] | None = None, *, signal_id: str | None = None
    ) -> None:
        """Send a signal, for the one approval or task that waits for it, or is the next to do so.

        With a `signal_id` of your choice, sent again it counts once. Raises WorkflowOver, TooManySignals,
        UnknownWorkflow, InvalidArgument for data that cannot be stored; MessageIdConflict where the id was
        used for another signal.
        """
        check_id(name, "name")
        plain = cast(
            "dict[str, Any]",
            check_storable({} if data is None else data, "data", most_bytes=MOST_BYTES_OF_SIGNAL),
        )
        if not isinstance(plain, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - whatever was given
            raise InvalidArgument(f"the data of a signal is a dict, not {data!r:.100}")
        message_id = None if signal_id is None else f"signal:{check_id(signal_id, 'signal_id')}"
        ref = await self.ref()
        answer = await ref.ask(SendSignal(name, plain), timeout=self.timeout, message_id=message_id)
        if answer == UNKNOWN:
            raise UnknownWorkflow(self.workflow_id)
        if answer == "full":
            raise TooManySignals(self.workflow_id, name, MOST_SIGNALS)
        if answer != "taken":
            raise WorkflowOver(self.workflow_id, answer, f"the signal {name!r}")

    async def ref(self) -> ActorRef[WorkflowRunner]:
        """The virtual actor that runs it."""
        return await self._runtime.system.get_or_spawn(WorkflowRunner, self.workflow_id)

    async def _ask(self, message: PauseWorkflow | ResumeWorkflow | CancelWorkflow) -> str:
        status = await (await self.ref()).ask(message, timeout=self.timeout)
        if status == UNKNOWN:
            raise UnknownWorkflow(self.workflow_id)
        return status

    async def _row(self) -> Row:
        rows = await self._rows(RowTable.WORKFLOW_STATE)
        if not rows:
            raise UnknownWorkflow(self.workflow_id)
        return rows[0]

    async def _rows(self, table: RowTable) -> list[Row]:
        return await committed_rows(self._runtime, RowQuery(table=table, key=(self.workflow_id,)))

    def _outcome(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if row["status"] == WorkflowStatus.COMPLETED:
            return dict(row["output_data"])
        cause: str = row.get("error_message") or ""
        data: dict[str, Any] = row.get("data") or {}
        undone: list[str] = data.get("uncompensated") or []
        if row["status"] == WorkflowStatus.CANCELLED:
            raise WorkflowCancelled(self.workflow_id, cause, undone)
        raise WorkflowFailed(self.workflow_id, data.get("failed_step") or "", cause, undone)
