"""How a verb says that it could not do its work."""

from __future__ import annotations

import click

__all__ = ["CannotRun"]


class CannotRun(click.ClickException):
    """The verb could not do its work."""

    exit_code = 2
