"""``returnclock pause`` and ``unpause``: a task or a kind rests, for every worker, from the next tick on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from returnclock.cli.asking import intervention
from returnclock.cli.intervene import desk_for
from returnclock.cli.opening import opened
from returnclock.cli.output import instant, print_json
from returnclock.cli.typed import moment
from returnclock.errors import BadUsage

if TYPE_CHECKING:
    from returnclock.wiring import Wiring


@click.command()
@click.argument("name", metavar="TASK|KIND")
@click.option("--until", "ends", metavar="TIME", help="It ends by itself then. ISO 8601, UTC unless it says.")
@intervention
def pause(name: str, ends: str | None, **asked: Any) -> None:
    """Pause a task, such as deliver-mail, or a kind, such as seller_response.

    A paused kind neither takes effect nor reminds; its deadlines go on counting. Use hold to stop the time.
    """
    from returnclock.ops import pause as room

    until = moment(ends)
    wiring = opened()
    what = _what(wiring, name)
    desk = desk_for(wiring, asked["by"], asked["reason"], asked["dry_run"])
    result = room.pause(desk, what, name, until)
    _tell(result, asked, f"{name} is paused {f'until {instant(until)}' if until else 'until it is unpaused'}.")


@click.command()
@click.argument("name", metavar="TASK|KIND")
@intervention
def unpause(name: str, **asked: Any) -> None:
    """End the pause of a task or a kind."""
    from returnclock.ops import pause as room

    wiring = opened()
    what = _what(wiring, name)
    desk = desk_for(wiring, asked["by"], asked["reason"], asked["dry_run"])
    result = room.unpause(desk, what, name)
    _tell(result, asked, f"{name} works again.")


def _tell(result: dict[str, Any], asked: dict[str, Any], sentence: str) -> None:
    if asked["as_json"]:
        print_json(result)
    else:
        click.echo(f"Nothing was changed (--dry-run); else: {sentence}" if asked["dry_run"] else sentence)


def _what(wiring: Wiring, name: str) -> str:
    from returnclock.calendars import did_you_mean

    kinds = [kind.name for kind in wiring.kinds]
    if name in kinds:
        return "kind"
    if name in wiring.tasks:
        return "task"
    hint = did_you_mean(name, [*wiring.tasks, *kinds])
    listed = f"The tasks are: {', '.join(wiring.tasks)}. The kinds are: {', '.join(kinds)}."
    raise BadUsage(reason=f"There is neither a task nor a kind {name!r}{hint}. {listed}")


COMMANDS = (pause, unpause)
