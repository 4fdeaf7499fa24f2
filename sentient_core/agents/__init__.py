"""Agents: tasks, workflows, their states and events, under the names of the original design."""
"""Agents: actors that work on tasks."""

from __future__ import annotations

from sentient_core.agents.page import page_of
from sentient_core.agents.sandbox import LocalSandbox, SandboxTool

__all__ = ["LocalSandbox", "SandboxTool", "page_of"]
