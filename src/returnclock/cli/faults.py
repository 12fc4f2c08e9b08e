"""How the command ends when something is raised: a sentence on standard error, and an exit code. Imports errors."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from returnclock.errors import FolderUnusable, ReturnclockError

_UNKNOWN_INSTEAD = "returnclock.unknown_instead"


def answers_monitoring(ctx: click.Context) -> None:
    """Have whatever is raised from here on end with 3, unknown: 1 would be taken for a mere warning, 2 for an alarm."""
    ctx.meta[_UNKNOWN_INSTEAD] = True  # all contexts of one command share it


def exit_code(ctx: click.Context, fault: Exception) -> int:
    """The exit code with which a command ends that raised this."""
    if ctx.meta.get(_UNKNOWN_INSTEAD):
        return 3
    return fault.exit_code if isinstance(fault, ReturnclockError) else 1


def verdict(fault: Exception) -> int:
    """What monitoring is told of a look that failed: critical where the database says so, unknown where nobody can tell."""
    known = isinstance(fault, ReturnclockError) or type(fault).__module__.startswith("sqlalchemy.")
    return 2 if known and not isinstance(fault, FolderUnusable) else 3


def told(fault: Exception) -> str:
    """What whoever typed the command is told: of what nobody foresaw too one sentence, and where to get the rest."""
    if isinstance(fault, ReturnclockError):
        return str(fault)
    if type(fault).__module__.startswith("sqlalchemy."):
        return _of_the_database(fault)
    if isinstance(fault, OSError):
        where = f"{fault.filename}: " if fault.filename is not None else ""
        return f"the system refused: {where}{fault.strerror or fault}"
    return _unforeseen(fault)


def _of_the_database(fault: Exception) -> str:
    from sqlalchemy.exc import DBAPIError

    from returnclock.sqlstates import is_of_the_disk, is_passing, reason_of

    hint = ""
    if isinstance(fault, DBAPIError) and is_of_the_disk(fault):
        hint = ". Is the disk full? Make room where the database's file is; nothing of this was written."
    elif isinstance(fault, DBAPIError) and is_passing(fault):
        hint = ". Somebody else has a row in hand, or the connection was lost: try again."
    return f"the database refused: {reason_of(fault)}{hint}"


def _unforeseen(fault: Exception) -> str:
    from returnclock.settings.keys import DEBUG_VARIABLE
    from returnclock.telemetry import masked

    if os.environ.get(DEBUG_VARIABLE):
        from traceback import format_exception

        click.echo(masked("".join(format_exception(fault))), err=True)
    return (
        f"this should not have happened: {masked(f'{type(fault).__name__}: {fault}')}. "
        f"Please report it, with what {DEBUG_VARIABLE}=1 before the same command shows."
    )


def make_streams_whole() -> None:
    """Put the null device where a standard stream was closed: whoever closed it wants nothing of it.

    Its number would go to the next file that is opened, which may be the database, and then be printed into.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (for as long as the process lives)


def give_up_output() -> None:
    """Forget what standard output does not take; the interpreter would else complain once more when it ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
