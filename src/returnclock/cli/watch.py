"""``returnclock status``: how things stand, once or again and again."""

from __future__ import annotations

import json
import sys
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from returnclock.cli.output import json_option, plain, print_json, style

if TYPE_CHECKING:
    from returnclock.wiring import Wiring


@click.command()
@click.option(
    "--watch",
    type=click.FloatRange(0.2, 3600),
    is_flag=False,
    flag_value="2",
    metavar="[SECONDS]",
    help="Look again every so many seconds (2 if none are given) until Ctrl-C.",
)
@json_option
def status(watch: float | None, as_json: bool) -> None:
    """Say what is late and by how much, what waits, what comes within the hour, and when each task last worked.

    With --watch and --json one object a line.
    """
    from returnclock.cli.report import gather, told
    from returnclock.wiring import wire

    wiring = wire(only_looks=True)
    if watch is None:
        report = gather(wiring)
        print_json(report) if as_json else click.echo("\n".join(told(report)))
        return
    try:
        _watch(wiring, watch, as_json)
    except KeyboardInterrupt:  # the way in which it is meant to end
        return


def _watch(wiring: Wiring, every: float, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            report, lines = _look(wiring)
            click.echo(json.dumps(report, default=plain, ensure_ascii=False) if as_json else "\n".join([*lines, ""]))
            sleep(every)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    # Only what differs is drawn again, on a screen of its own: what was on the terminal before comes back at the end.
    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            _, lines = _look(wiring)
            hint = style(f"Every {every:g} s. Ctrl-C ends.", dim=True)
            live.update(Text.from_ansi("\n".join([*lines, "", hint])), refresh=True)
            sleep(every)


def _look(wiring: Wiring) -> tuple[dict[str, Any], list[str]]:
    """The report and its lines; what keeps the database from answering is said in their place, and asked again."""
    from sqlalchemy.exc import DBAPIError

    from returnclock.cli.report import gather, told
    from returnclock.errors import DatabaseUnreachable
    from returnclock.sqlstates import is_passing

    try:
        report = gather(wiring)
    except (DatabaseUnreachable, DBAPIError) as fault:
        if isinstance(fault, DBAPIError) and not is_passing(fault):
            raise
        return {"error": str(fault)}, [style(str(fault), fg="red", bold=True)]
    return report, told(report)


COMMANDS = (status,)
