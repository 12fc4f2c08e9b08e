"""``returnclock forecast``: what falls due on the days to come, as a chart in the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

import click

from returnclock.cli.output import coloured, json_option, print_json, style

if TYPE_CHECKING:
    from returnclock.forecast import Day, Forecast

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red", "bright_cyan", "bright_green")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DATE_WIDTH, _COUNT_WIDTH, _WIDEST = 10, 8, 60


@click.command()
@click.option("--days", type=click.IntRange(1, 92), default=14, show_default=True, help="How many days, today being the first.")
@json_option
def forecast(days: int, as_json: bool) -> None:
    """Show how many deadlines fall due on each day to come, by kind and party, in the market's time zone.

    What is shown falls due unless the party acts first; what is held does not fall due.
    """
    from returnclock.cli.opening import opened
    from returnclock.database import reading
    from returnclock.forecast import forecast as forecasted

    wiring = opened()
    with reading(wiring.engine) as connection:
        found = forecasted(connection, wiring.rulebook, wiring.clock.now(connection), days)
    if as_json:
        print_json(found.as_json())
        return
    for line in _lines(found, shutil.get_terminal_size((100, 24)).columns):
        click.echo(line)


def _lines(found: Forecast, width: int) -> Iterator[str]:
    kinds = sorted({kind for day in found.days for kind in day.by_kind})
    most = max((day.total for day in found.days), default=0)
    room = max(10, min(_WIDEST, width - _DATE_WIDTH - _COUNT_WIDTH - 3))
    yield style(f"Falling due by day, {found.zone}", bold=True)
    for kind, number in found.due_already.items():
        yield style(f"{number} {kind} due already: enforced by the next sweep, if they still run", fg="yellow")
    for day in found.days:
        name = style(f"{day.day:%a %d %b}".ljust(_DATE_WIDTH), dim=day.closed is not None)
        closed = style(f"  {day.closed}", dim=True) if _named(day) else ""
        yield f"{name} {day.total:>{_COUNT_WIDTH}} {_bar(day, kinds, most, room)}{closed}".rstrip()
    yield from _legend(found, kinds)


def _named(day: Day) -> bool:
    """Whether the day has a name of its own, such as a holiday's, beside that of the week."""
    return bool(day.closed) and day.closed != f"{day.day:%A}"


def _bar(day: Day, kinds: list[str], most: int, room: int) -> str:
    """One stretch for each kind; whatever falls due at all is seen."""
    bar = ""
    for number, kind in enumerate(kinds):
        count = day.by_kind.get(kind, 0)
        bar += _sign(number, ceil(count / most * room) if count else 0)
    return bar


def _sign(number: int, times: int = 1) -> str:
    """A kind's mark: a colour where colours are welcome, else a letter, which every terminal and file can show."""
    if coloured():
        return style("█" * times, fg=_COLOURS[number % len(_COLOURS)])
    return _LETTERS[number % len(_LETTERS)] * times


def _legend(found: Forecast, kinds: list[str]) -> Iterator[str]:
    if not kinds:
        yield "Nothing falls due in this time."
        return
    yield ""
    for number, kind in enumerate(kinds):
        count = sum(day.by_kind.get(kind, 0) for day in found.days)
        yield f"{_sign(number)} {kind:24} {count:>8}  the {found.parties[kind]} must act"
    totals: dict[str, int] = {}
    for day in found.days:
        for party, count in found.by_party(day).items():
            totals[party] = totals.get(party, 0) + count
    yield "  " + ", ".join(f"{party} {count}" for party, count in sorted(totals.items())) + f"; {sum(totals.values())} in all"


COMMANDS = (forecast,)
