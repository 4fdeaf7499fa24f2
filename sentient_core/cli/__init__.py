"""The `sentient` command: a store looked at, backed up and restored from outside."""

from __future__ import annotations

from sentient_core.cli.command import main

__all__ = ["main"]
