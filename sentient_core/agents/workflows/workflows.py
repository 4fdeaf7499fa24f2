"""`Workflows`: where the workflows of a system are started and found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import anyio
import msgspec

from sentient_core.actors.alerts import raise_alert
from sentient_core.agents.committed_rows import committed_rows
from sentient_core.agents.fields import new_id
from sentient_core.agents.statuses import WorkflowStatus
from sentient_core.agents.workflows.board import board_of
from sentient_core.agents.workflows.definition import Workflow
from sentient_core.agents.workflows.handle import WorkflowHandle
from sentient_core.agents.workflows.messages import GoOn, StartWorkflow
from sentient_core.agents.workflows.runner import WorkflowRunner
from sentient_core.agents.workflows.sizes import MOST_BYTES_OF_DEFINITION, MOST_BYTES_OF_INPUT
from sentient_core.causes import in_a_line, kind_of
from sentient_core.codec import tag_of
from sentient_core.errors import IdTaken, InvalidArgument, StoreError
from sentient_core.paths import join
from sentient_core.store.plain_values import check_storable
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from sentient_core.system import ActorSystem, runtime_of

__all__ = ["Workflows"]

_AGAIN_SECONDS = 1.0
_UNFINISHED = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)


class Workflows:
    """The workflows of a system.

    ::

        async with ActorSystem(store="surrealkv://shop.db") as system:
            await Builder.start(system, name="ben", capabilities=["build"])
            workflows = Workflows(system)
            run = await workflows.start(Workflow("site", steps=[Step("build", capability="build")]))
            print(await run.result())

    The first one that is made in a system goes on, in the background, with what earlier starts have left
    unfinished; steps wait for their agents, so these may be started before or after it. Belongs to the thread
    of the system's event loop. Raises SystemClosed.
    """

    def __init__(self, system: ActorSystem) -> None:
        if not isinstance(system, ActorSystem):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's
            raise InvalidArgument(f"Workflows takes the ActorSystem, not {kind_of(system)}")
        self._system = system
        self._runtime = runtime_of(system, "use workflows")
        board = board_of(self._runtime)
        if not board.is_recovered:
            board.is_recovered = True
            self._runtime.tasks.start_soon(self._recover, name="sentient-core workflows")

    async def start(
        self,
        workflow: Workflow,
        *,
        workflow_id: str | None = None,
        input_data: Mapping[str, Any] | None = None,
    ) -> WorkflowHandle:
        """Start a workflow; returns its handle when that is committed.

        Started again with the same id, definition and input, it is the one that there is. `input_data` is
        what steps get by paths that begin with `input`. Raises InvalidArgument for an id that cannot be part
        of a path, and for data that cannot be stored; IdTaken where there is another workflow of this id.
        """
        if not isinstance(workflow, Workflow):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"start takes a Workflow(name, steps=[…]), not {workflow!r:.100}")
        size = len(msgspec.msgpack.encode(workflow))
        if size > MOST_BYTES_OF_DEFINITION:
            raise InvalidArgument(
                f"the workflow {workflow.name!r} has {size:,} bytes, and may have "
                f"{MOST_BYTES_OF_DEFINITION:,}: what its steps are given is better kept elsewhere"
            )
        given = check_storable(
            {} if input_data is None else input_data, "input_data", most_bytes=MOST_BYTES_OF_INPUT
        )
        if not isinstance(given, dict):
            raise InvalidArgument(f"input_data is a dict, not {input_data!r:.100}")
        handle = self.get(new_id() if workflow_id is None else workflow_id)
        message = StartWorkflow(workflow, cast("dict[str, Any]", given))
        if not await (await handle.ref()).ask(message, timeout=handle.timeout):
            raise IdTaken("workflow", handle.workflow_id)
        return handle

    def get(self, workflow_id: str) -> WorkflowHandle:
        """The workflow of an id, running or over. Whether there is one shows with what is asked of it."""
        return WorkflowHandle(self._runtime, workflow_id)

    async def recover(self) -> int:
        """Go on with all that is unfinished; how many that are. Done once by itself, see the class."""
        kind = tag_of(WorkflowRunner)
        found: set[str] = set()
        for status in _UNFINISHED:
            query = RowQuery(table=RowTable.WORKFLOW_STATE, where={"status": status.value})
            for row in await committed_rows(self._runtime, query):
                if row.fields.get("owner") == join(kind, row.key[0]):
                    found.add(row.key[0])
        for actor in self._system.dormant():
            if actor.pending and actor.path.startswith(f"{kind}/"):
                found.add(actor.path.rpartition("/")[2])
        for workflow_id in sorted(found):
            (await self.get(workflow_id).ref()).tell(GoOn())
        return len(found)

    async def _recover(self) -> None:
        is_told = False
        while True:
            try:
                await self.recover()
            except Exception as error:  # noqa: BLE001 - of the store, or of a system that ends: nobody waits for it
                if self._runtime.is_ending:
                    return
                if not is_told:
                    raise_alert(self._runtime, "workflows were not recovered", in_a_line(error))
                if not isinstance(error, StoreError):
                    return
                is_told = True
                await anyio.sleep(_AGAIN_SECONDS)
            else:
                return
