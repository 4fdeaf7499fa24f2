"""Agents: tasks, workflows, their states and events, under the names of the original design."""

from __future__ import annotations

from sentient_core.agents.agent import Agent
from sentient_core.agents.database import (
    DatabaseConnection,
    RecordID,
    SurrealDBConfig,
    get_surrealdb_client,
)
from sentient_core.agents.frontend import FrontendDeveloperAgent
from sentient_core.agents.handle import AgentHandle
from sentient_core.agents.models import (
    AgentState,
    StateCheckpoint,
    StatusChange,
    Task,
    TaskExecution,
    TaskExecutionMode,
    WorkflowState,
    WorkflowStep,
)
from sentient_core.agents.page import page_of
from sentient_core.agents.relations import Relation
from sentient_core.agents.sandbox import LocalSandbox, SandboxTool
from sentient_core.agents.state_manager import StateManager, SurrealDBStateManager
from sentient_core.agents.statuses import AgentStatus, StatusKind, TaskStatus, WorkflowStatus
from sentient_core.agents.text_model import TextModel
from sentient_core.agents.workflows.definition import (
    Approval,
    Compensation,
    Delay,
    Retry,
    Step,
    Workflow,
)
from sentient_core.agents.workflows.handle import WorkflowHandle
from sentient_core.agents.workflows.workflows import Workflows
from sentient_core.events import AgentEvent, EventBus, EventType

# The names of the original design, where ours is another one; docs/original-design.md says what changed.
AsyncBaseAgent = Agent
AsyncFrontendDeveloperAgent = FrontendDeveloperAgent
SurrealDBAsyncAgent = Agent
SurrealDBEventBus = EventBus

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentHandle",
    "AgentState",
    "AgentStatus",
    "Approval",
    "AsyncBaseAgent",
    "AsyncFrontendDeveloperAgent",
    "Compensation",
    "DatabaseConnection",
    "Delay",
    "EventBus",
    "EventType",
    "FrontendDeveloperAgent",
    "LocalSandbox",
    "RecordID",
    "Relation",
    "Retry",
    "SandboxTool",
    "StateCheckpoint",
    "StateManager",
    "StatusChange",
    "StatusKind",
    "Step",
    "SurrealDBAsyncAgent",
    "SurrealDBConfig",
    "SurrealDBEventBus",
    "SurrealDBStateManager",
    "Task",
    "TaskExecution",
    "TaskExecutionMode",
    "TaskStatus",
    "TextModel",
    "Workflow",
    "WorkflowHandle",
    "WorkflowState",
    "WorkflowStatus",
    "WorkflowStep",
    "Workflows",
    "get_surrealdb_client",
    "page_of",
]
