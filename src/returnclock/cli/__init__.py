"""The ``returnclock`` command. It works when the broker is down, and answers ``--help`` without loading the engine.

Every command is a click command in a file of this folder; what it does is imported only when it runs. The same group is
mounted as ``celery -A returnclock.tasks returnclock``. Imports every other room, from inside the commands.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from returnclock import __version__
from returnclock.cli import (
    ahead,
    attach,
    database,
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
from returnclock.cli.output import refusal
from returnclock.errors import ReturnclockError


class Commands(click.Group):
    """A group that turns our errors into one clear message and their exit code; any other is a fault of ours."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises of ours is told in its own words on standard error."""
        try:
            return super().invoke(ctx)
        except ReturnclockError as fault:
            click.echo(f"returnclock: {fault}", err=True)
            ctx.exit(fault.exit_code)
        except BrokenPipeError:
            # Whoever read has gone. The interpreter would say so once more when it empties the buffer at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as fault:
            if type(fault).__module__.startswith("sqlalchemy."):
                from sqlalchemy.exc import DBAPIError

                from returnclock.sqlstates import is_passing

                passes = isinstance(fault, DBAPIError) and is_passing(fault)
                hint = ". Somebody else has a row in hand, or the connection was lost: try again." if passes else ""
                click.echo(f"returnclock: {refusal(fault)}{hint}", err=True)
                ctx.exit(1)
            raise


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
    cli(prog_name="returnclock")
