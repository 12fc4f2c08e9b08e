"""``returnclock vacation``: the days on which a seller is away, which its deadlines in days do not count."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click

from returnclock.cli.asking import intervention
from returnclock.cli.intervene import desk_for
from returnclock.cli.opening import opened
from returnclock.cli.output import json_option, print_json, print_table
from returnclock.cli.typed import IDENTITY

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def vacation() -> None:
    """The vacations of sellers: their deadlines in days and business days skip them."""


@vacation.command()
@click.argument("seller", type=IDENTITY)
@click.argument("first", metavar="FIRST_DAY", type=_DAY)
@click.argument("last", metavar="LAST_DAY", type=_DAY)
@intervention
def add(seller: int, first: datetime, last: datetime, **asked: Any) -> None:
    """Announce a vacation of SELLER from FIRST_DAY to LAST_DAY (YYYY-MM-DD, in the seller's zone).

    Not retroactive: days up to today count. Deadlines that run already are moved by the days to come.
    """
    from returnclock.ops.vacation import announce

    desk = desk_for(opened(), asked["by"], asked["reason"], asked["dry_run"])
    result = announce(desk, seller, first.date(), last.date())
    told = f"Seller {seller}: {result['granted']} day(s) do not count ({_span(result['days'])})"
    _tell(result, asked, f"{told}; {result['moved']} running deadline(s) moved.")


@vacation.command()
@click.argument("number", metavar="ID", type=IDENTITY)
@intervention
def remove(number: int, **asked: Any) -> None:
    """Take a vacation back. Dates that were given stay; its later days count again, and free the year's cap for others."""
    from returnclock.ops.vacation import take_back

    desk = desk_for(opened(), asked["by"], asked["reason"], asked["dry_run"])
    result = take_back(desk, number)
    _tell(result, asked, f"Vacation {number} of seller {result['seller']} is taken back.")


@vacation.command("list")
@click.option("--seller", type=IDENTITY, help="Only those of this seller.")
@json_option
def list_vacations(seller: int | None, as_json: bool) -> None:
    """List vacations, the latest first."""
    from sqlalchemy import select

    from returnclock.database import all_rows, reading
    from returnclock.tables.interventions import vacations as table

    wiring = opened()
    chosen = select(table).order_by(table.c.first_day.desc(), table.c.id.desc())
    if seller is not None:
        chosen = chosen.where(table.c.seller_id == seller)
    with reading(wiring.engine) as connection:
        rows = [dict(row._mapping) for row in all_rows(connection, chosen)]
    if as_json:
        print_json(rows)
        return
    headings = {"id": "id", "seller_id": "seller", "first_day": "first day", "last_day": "last day"}
    headings |= {"announced_at": "announced", "removed_at": "taken back"}
    print_table(rows, headings, empty="No vacation is known.")


def _span(days: list[date]) -> str:
    return f"{days[0]} to {days[-1]}" if days else "none"


def _tell(result: dict[str, Any], asked: dict[str, Any], sentence: str) -> None:
    if asked["as_json"]:
        print_json(result)
    else:
        click.echo(f"Nothing was changed (--dry-run); else: {sentence}" if asked["dry_run"] else sentence)


COMMANDS = (vacation,)
