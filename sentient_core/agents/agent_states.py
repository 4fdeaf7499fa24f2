"""The states of agents and their checkpoints, read and written without the agents themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sentient_core.agents.fields import check_id
from sentient_core.agents.listing import check_limit
from sentient_core.agents.models import AgentState, StateCheckpoint
from sentient_core.agents.patching import Updates
from sentient_core.agents.state_rows import StateRows
from sentient_core.agents.statuses import AgentStatus, StatusKind, status_of
from sentient_core.agents.subjects import AGENT, from_row, refuse_owned
from sentient_core.errors import IdTaken, InvalidField, RowConflict
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable

__all__ = ["AgentStates"]

_PAGE = 1_000


class AgentStates(StateRows):
    """Agents and their checkpoints."""

    async def create_agent_state(
        self,
        agent_data: Mapping[str, Any] | AgentState,
        *,
        cause: str = "create_agent_state",
        actor: str | None = None,
    ) -> AgentState:
        """Create the state of an agent, or update that of one there is by these fields.

        Raises InvalidField, UnstorableValue; IllegalTransition where its status cannot become this one;
        OwnedByActor where a living agent writes it.
        """
        new = AgentState.from_dict(agent_data)
        if new.checkpoints:
            raise _no_checkpoints()
        given = msgspec.structs.asdict(new) if isinstance(agent_data, AgentState) else agent_data
        kept = AGENT.unchangeable | AGENT.filled
        fields = {name: given[name] for name in given if name not in kept}
        while True:
            updated = await self.update_agent_state(new.agent_id, fields, cause=cause, actor=actor)
            if updated is not None:
                return updated
            try:
                created = msgspec.structs.replace(new, owner=None, incarnation=0, restarts=0)
                return await self._filled(await self._create(AGENT, created, cause=cause, actor=actor))
            except RowConflict:  # somebody was faster
                continue

    async def get_agent_state(self, agent_id: str) -> AgentState | None:
        """The state of an agent, of a living one as well; None where there is none."""
        row = await self._row(RowTable.AGENT_STATE, (check_id(agent_id, "agent_id"),))
        return None if row is None else await self._filled(from_row(AgentState, row))

    async def update_agent_state(
        self,
        agent_id: str,
        updates: Updates,
        *,
        cause: str = "update_agent_state",
        actor: str | None = None,
        expects: int | None = None,
    ) -> AgentState | None:
        """Change some fields, each as a whole, or apply a JSON Patch; the state after it, or None.

        None: there is no such agent. All or nothing, and on what is there: of many at once, each sees what
        the others have done. `expects` is the revision that the state must have, else RowConflict. A change
        of status leaves a row with `cause` and `actor` in the trail. Raises InvalidField, InvalidPatch,
        UnstorableValue, IllegalTransition; OwnedByActor where a living agent writes it.
        """
        after = await self._update(
            AGENT,
            (check_id(agent_id, "agent_id"),),
            updates,
            cause=cause,
            actor=actor,
            expects=expects,
            filled=self._filled,
            more=_same_checkpoints,
        )
        return None if after is None else await self._filled(after)

    async def list_agent_states(
        self,
        *,
        status: AgentStatus | str | None = None,
        capability: str | None = None,
        limit: int | None = 100,
    ) -> list[AgentState]:
        """The states of agents, by their ids; of those that have this status, and this capability."""
        wanted = None if status is None else status_of(StatusKind.AGENT, status)
        most = check_limit(limit)
        found: list[AgentState] = []
        after: tuple[str, ...] | None = None
        while most is None or len(found) < most:
            page = await self._rows(RowQuery(table=RowTable.AGENT_STATE, after=after, limit=_PAGE))
            for row in page:
                state = from_row(AgentState, row)
                if wanted in (None, state.status) and (
                    capability is None or capability in state.capabilities
                ):
                    found.append(state)
            if len(page) < _PAGE:
                break
            after = page[-1].key
        return [await self._filled(state) for state in found[:most]]

    async def delete_agent_state(self, agent_id: str) -> bool:
        """Delete an agent's state, checkpoints and trail; whether there was one. Not its tasks."""
        key = (check_id(agent_id, "agent_id"),)

        async def attempt() -> bool:
            row = await self._row(RowTable.AGENT_STATE, key)
            if row is None:
                return False
            refuse_owned("agent", RowTable.AGENT_STATE, row)
            belonging = await self._keys(RowTable.STATE_CHECKPOINT, key)
            belonging += await self._keys(RowTable.STATUS_CHANGE, (StatusKind.AGENT.value, *key))
            await self._delete(RowTable.AGENT_STATE, row, belonging)
            return True

        return await self._one_at_a_time((RowTable.AGENT_STATE, key), attempt)

    async def create_checkpoint(
        self, checkpoint_data: Mapping[str, Any] | StateCheckpoint
    ) -> StateCheckpoint:
        """Write a checkpoint, which an agent, if there is one, then has among its `checkpoints`.

        Raises IdTaken for the id of another; InvalidField, UnstorableValue; OwnedByActor where the agent
        lives: what its handle's `create_checkpoint` makes holds the state of the actor as well.
        """
        checkpoint = StateCheckpoint.from_dict(checkpoint_data)
        agent = await self._row(RowTable.AGENT_STATE, (checkpoint.agent_id,))
        if agent is not None:
            refuse_owned("agent", RowTable.AGENT_STATE, agent)
        checkpoint = msgspec.structs.replace(checkpoint, owner=None, incarnation=0)
        fields = checkpoint.to_dict() | {"named": checkpoint.checkpoint_id}
        for name in ("owner", "revision"):
            fields.pop(name)
        key = (checkpoint.agent_id, checkpoint.checkpoint_id)
        async with self._in_line((RowTable.STATE_CHECKPOINT, checkpoint.checkpoint_id)):
            if await self.get_checkpoint(checkpoint.checkpoint_id) is not None:  # of another agent as well
                raise IdTaken("checkpoint", checkpoint.checkpoint_id)
            try:
                write = RowWrite(table=RowTable.STATE_CHECKPOINT, key=key, fields=fields, expects=0)
                await self._write([write])
            except RowConflict:
                raise IdTaken("checkpoint", checkpoint.checkpoint_id) from None
            if len(await self._checkpoint_rows(checkpoint.checkpoint_id)) > 1:
                # Somebody has given this id to another agent's just now: he finds this one, or was first.
                await self._write([RowWrite(table=RowTable.STATE_CHECKPOINT, key=key, fields=None)])
                raise IdTaken("checkpoint", checkpoint.checkpoint_id)
        return msgspec.structs.replace(checkpoint, revision=1)

    async def get_checkpoint(self, checkpoint_id: str) -> StateCheckpoint | None:
        """A checkpoint that somebody asked for; None where there is none of this id."""
        row = await self._checkpoint_row(checkpoint_id)
        return None if row is None else _checkpoint(row)

    async def list_checkpoints(self, agent_id: str, *, limit: int | None = 100) -> list[StateCheckpoint]:
        """The checkpoints of an agent that somebody asked for, newest first."""
        most = check_limit(limit)
        key = (check_id(agent_id, "agent_id"),)
        rows = await self._rows(RowQuery(table=RowTable.STATE_CHECKPOINT, key=key))
        found = sorted(map(_checkpoint, rows), key=lambda checkpoint: checkpoint.timestamp, reverse=True)
        return found[:most]

    async def delete_checkpoint(self, checkpoint_id: str) -> bool:
        """Delete a checkpoint; whether there was one. OwnedByActor for one that a living agent has made."""
        row = await self._checkpoint_row(checkpoint_id)
        if row is None:
            return False
        refuse_owned("checkpoint", RowTable.STATE_CHECKPOINT, row)
        await self._write([RowWrite(table=RowTable.STATE_CHECKPOINT, key=row.key, fields=None)])
        return True

    async def restore_from_checkpoint(
        self,
        checkpoint_id: str,
        *,
        cause: str = "restore_from_checkpoint",
        actor: str | None = None,
    ) -> StateCheckpoint | None:
        """Bring an agent's context back as it was, with the status `running`; None for an unknown checkpoint.

        Where the agent itself has no state any more, nothing is restored. Raises OwnedByActor where the agent
        lives: its handle's `restore_from_checkpoint` brings the state of the actor back as well.
        """
        checkpoint = await self.get_checkpoint(checkpoint_id)
        if checkpoint is not None:
            await self.update_agent_state(
                checkpoint.agent_id,
                {"execution_context": checkpoint.execution_context, "status": AgentStatus.RUNNING},
                cause=cause,
                actor=actor,
            )
        return checkpoint

    async def _checkpoint_row(self, checkpoint_id: str) -> Row | None:
        rows = await self._checkpoint_rows(checkpoint_id)
        return rows[0] if rows else None

    async def _checkpoint_rows(self, checkpoint_id: str) -> list[Row]:
        where = {"named": check_id(checkpoint_id, "checkpoint_id")}
        return await self._rows(RowQuery(table=RowTable.STATE_CHECKPOINT, where=where))

    async def _filled(self, state: AgentState) -> AgentState:
        """With the ids of its checkpoints, oldest first."""
        key, fields = (state.agent_id,), ("timestamp",)
        rows = await self._rows(RowQuery(table=RowTable.STATE_CHECKPOINT, key=key, fields=fields))
        rows.sort(key=lambda row: row.fields["timestamp"])
        return msgspec.structs.replace(state, checkpoints=[row.key[1] for row in rows])


def _checkpoint(row: Row) -> StateCheckpoint:
    return from_row(StateCheckpoint, row, {"kind": "named"})


def _same_checkpoints(before: AgentState, after: AgentState) -> list[RowWrite]:
    if after.checkpoints != before.checkpoints:
        raise _no_checkpoints()
    return []


def _no_checkpoints() -> InvalidField:
    return InvalidField(
        "AgentState", "checkpoints", "is filled in when it is read: create_checkpoint(...) adds to it"
    )
