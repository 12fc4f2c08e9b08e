"""The ``returnclock`` command. It works when the broker is down, and answers ``--help`` without loading the engine.

Every command is a click command in a file of this folder; what it does is imported only when it runs. The same group is
mounted as ``celery -A returnclock.tasks returnclock``. Imports every other room, from inside the commands.
"""

from __future__ import annotations

from typing import Any

import click

from returnclock import __version__
from returnclock.cli import (
    ahead,
    attach,
    database,
    faults,
    history,
    inspect,
    intervene,
    monitoring,
    notices,
    pausing,
    processes,
    reckon,
    rules,
    vacation,
    watch,
    work,
)


class Commands(click.Group):
    """A group that turns whatever is raised into one clear message and an exit code, and never into a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises is told on standard error."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # whoever read has gone
            faults.give_up_output()
            ctx.exit(0)
        except Exception as fault:
            faults.give_up_output()
            click.echo(f"returnclock: {faults.told(fault)}", err=True)
            ctx.exit(faults.exit_code(ctx, fault))


@click.group("returnclock", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="returnclock")
def cli() -> None:
    """Enforce the deadlines of a marketplace's after-sales: never early, never lost, never twice, always explained.

    Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not found, 4 refused by a guard.
    """


_MODULES = (
    *(processes, work, watch, inspect, history, ahead),
    *(intervene, pausing, vacation, rules, notices, reckon, monitoring, database, attach),
)
for module in _MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """The console script."""
    faults.make_streams_whole()
    cli(prog_name="returnclock")
