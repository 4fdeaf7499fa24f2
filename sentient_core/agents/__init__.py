"""Agents: tasks, workflows, their states and events, under the names of the original design."""
