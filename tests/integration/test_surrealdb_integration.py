"""The five integration tests of the original design, as they stand there: only imports and fixtures changed.

Each runs on an embedded database and on a server, on asyncio and on trio: `asyncio.sleep` is one for both
that waits until what was published is delivered, which takes a loaded machine more than the 0.1 s.
`setup_schema` makes anew the tables that the test before has removed.
"""

# The tests are not to be changed: neither for the formatter nor for the checkers.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# pyright: basic
# ruff: noqa: Q000

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import anyio
import pytest

from sentient_core.agents import (
    AgentEvent,
    EventType,
    SurrealDBConfig,
    SurrealDBEventBus,
    SurrealDBStateManager,
)
from tests.store.server import PASSWORD, USER, Server

asyncio = SimpleNamespace()


@pytest.fixture(params=["embedded", "server"])
async def db_config(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SurrealDBConfig]:
    """Test database configuration."""
    url, user, password = f"surrealkv://{tmp_path}/db", None, None
    if request.param == "server":
        server: Server = request.getfixturevalue("server")
        url, user, password = f"{server.url()}/rpc", USER, PASSWORD
    config = SurrealDBConfig(
        url=url,
        namespace="test",
        database="sentient_test",
        username=user,
        password=password,
    )
    await config.initialize_connection_pool()
    await config.setup_schema()
    yield config

    # Cleanup
    async with config.get_connection() as db:
        await db.query("REMOVE TABLE agent_state")
        await db.query("REMOVE TABLE workflow_state")
        await db.query("REMOVE TABLE agent_event")
        await db.query("REMOVE TABLE task_execution")
    await config.close()


@pytest.fixture
async def state_manager(db_config: SurrealDBConfig) -> SurrealDBStateManager:
    return SurrealDBStateManager(db_config)


@pytest.fixture
async def event_bus(
    db_config: SurrealDBConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SurrealDBEventBus]:
    bus = SurrealDBEventBus(db_config)
    await bus.start()

    async def sleep(seconds: float) -> None:
        with anyio.fail_after(60):
            while (now := bus.statistics()).delivered < now.published * now.subscriptions:  # noqa: ASYNC110
                await anyio.sleep(seconds / 10)

    monkeypatch.setattr(asyncio, "sleep", sleep, raising=False)
    yield bus
    await bus.stop()


# fmt: off
class TestSurrealDBStateManager:
    """Test SurrealDB state management."""

    async def test_workflow_lifecycle(self, state_manager):
        """Test complete workflow state lifecycle."""
        # Create workflow
        workflow_data = {
            'status': 'pending',
            'total_steps': 5,
            'metadata': {'test': True}
        }

        workflow = await state_manager.create_workflow(workflow_data)
        assert workflow.workflow_id
        assert workflow.status == 'pending'
        assert workflow.total_steps == 5

        # Update workflow
        updates = {
            'status': 'running',
            'current_step': 2
        }

        updated_workflow = await state_manager.update_workflow(
            workflow.workflow_id, updates
        )
        assert updated_workflow.status == 'running'
        assert updated_workflow.current_step == 2

        # Retrieve workflow
        retrieved_workflow = await state_manager.get_workflow(workflow.workflow_id)
        assert retrieved_workflow.workflow_id == workflow.workflow_id
        assert retrieved_workflow.status == 'running'

    async def test_agent_state_management(self, state_manager):
        """Test agent state persistence."""
        agent_data = {
            'agent_id': 'test_agent_001',
            'name': 'TestAgent',
            'capabilities': ['coding', 'testing']
        }

        agent = await state_manager.create_agent_state(agent_data)
        assert agent.agent_id == 'test_agent_001'
        assert agent.name == 'TestAgent'
        assert 'coding' in agent.capabilities

        # Update agent state
        updates = {
            'status': 'running',
            'current_task': 'task_123'
        }

        updated_agent = await state_manager.update_agent_state(
            agent.agent_id, updates
        )
        assert updated_agent.status == 'running'
        assert updated_agent.current_task == 'task_123'

    async def test_checkpoint_system(self, state_manager):
        """Test state checkpointing and recovery."""
        # Create agent first
        agent_data = {
            'agent_id': 'checkpoint_agent',
            'name': 'CheckpointAgent'
        }
        await state_manager.create_agent_state(agent_data)

        # Create checkpoint
        checkpoint_data = {
            'agent_id': 'checkpoint_agent',
            'execution_context': {'step': 3, 'data': 'test'},
            'progress_data': {'completed': 0.6}
        }

        checkpoint = await state_manager.create_checkpoint(checkpoint_data)
        assert checkpoint.checkpoint_id
        assert checkpoint.agent_id == 'checkpoint_agent'

        # Restore from checkpoint
        restored = await state_manager.restore_from_checkpoint(
            checkpoint.checkpoint_id
        )
        assert restored.checkpoint_id == checkpoint.checkpoint_id

        # Verify agent state was updated
        agent = await state_manager.get_agent_state('checkpoint_agent')
        assert agent.execution_context['step'] == 3

class TestSurrealDBEventBus:
    """Test SurrealDB event bus functionality."""

    async def test_event_publishing_and_subscription(self, event_bus):
        """Test event publishing and real-time subscription."""
        received_events = []

        def event_handler(event: AgentEvent):
            received_events.append(event)

        # Subscribe to events
        subscription_id = event_bus.subscribe(EventType.AGENT_STARTED, event_handler)
        assert subscription_id

        # Publish event
        test_event = AgentEvent(
            event_type=EventType.AGENT_STARTED,
            source_agent='test_agent',
            payload={'test': 'data'}
        )

        await event_bus.publish_event(test_event)

        # Wait for event processing
        await asyncio.sleep(0.1)

        # Verify event was received
        assert len(received_events) == 1
        assert received_events[0].event_type == EventType.AGENT_STARTED
        assert received_events[0].source_agent == 'test_agent'

    async def test_event_history_retrieval(self, event_bus):
        """Test event history functionality."""
        workflow_id = str(uuid4())

        # Publish multiple events
        events = [
            AgentEvent(
                event_type=EventType.AGENT_STARTED,
                source_agent='agent1',
                workflow_id=workflow_id,
                payload={'step': 1}
            ),
            AgentEvent(
                event_type=EventType.TASK_PROGRESS,
                source_agent='agent1',
                workflow_id=workflow_id,
                payload={'progress': 0.5}
            ),
            AgentEvent(
                event_type=EventType.AGENT_COMPLETED,
                source_agent='agent1',
                workflow_id=workflow_id,
                payload={'result': 'success'}
            )
        ]

        for event in events:
            await event_bus.publish_event(event)

        # Wait for persistence
        await asyncio.sleep(0.1)

        # Retrieve history
        history = await event_bus.get_event_history(workflow_id=workflow_id)

        assert len(history) == 3
        assert all(event.workflow_id == workflow_id for event in history)

        # Test filtering by event type
        progress_events = await event_bus.get_event_history(
            workflow_id=workflow_id,
            event_type=EventType.TASK_PROGRESS
        )

        assert len(progress_events) == 1
        assert progress_events[0].event_type == EventType.TASK_PROGRESS

if __name__ == "__main__":
    pytest.main([__file__])
