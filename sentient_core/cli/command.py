"""The command and its verbs."""

from __future__ import annotations

import click

from sentient_core.cli.audit import audit
from sentient_core.cli.backup import backup
from sentient_core.cli.bench import bench
from sentient_core.cli.events import events
from sentient_core.cli.history import history
from sentient_core.cli.letters import letters
from sentient_core.cli.restore import restore
from sentient_core.cli.stats import stats
from sentient_core.cli.verify import verify

__all__ = ["main"]


class _Verbs(click.Group):
    """Imports `simulate` when somebody asks for it: no other verb waits for the test kit, and for pytest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "simulate"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "simulate":
            return super().get_command(ctx, cmd_name)
        from sentient_core.cli.simulate import simulate_command  # noqa: PLC0415

        return simulate_command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sentient-core", prog_name="sentient")
def main() -> None:
    """Look into a store of sentient-core, back it up, restore it; try the runtime on this machine.

    `simulate` and `bench` use no store of yours. A store in a directory is looked at in a copy and stays
    untouched; the process that runs on it has to have ended. A server's is looked at where it is, while
    systems run on it, and nothing is written there but by a restore. Results go to stdout, progress and
    complaints to stderr. Exit codes: 0 fine, 1 something is wrong with what was looked at, 2 usage, or it
    could not run.
    """


@main.group()
def store() -> None:
    """What a store holds."""


@main.group()
def checkpoint() -> None:
    """What actors are restored from."""


store.add_command(stats)
checkpoint.add_command(verify)
main.add_command(backup)
main.add_command(restore)
main.add_command(letters)
main.add_command(events)
main.add_command(audit)
main.add_command(history)
main.add_command(bench)
