"""What every intervention asks for: who, why, whether to rehearse, and a confirmation that states the number."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from returnclock.cli.output import json_option
from returnclock.errors import BadUsage, Refused


def intervention(command: Any) -> Any:
    """The options of an intervention: --reason, --by, --dry-run, --yes and --json."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do not ask, however many are concerned."),
        click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing."),
        click.option("--by", metavar="NAME", help="Who decides; default: the login."),
        click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the ledger."),
    ):
        command = option(command)
    return command


def scoped(command: Any) -> Any:
    """The argument and options that say which deadlines are meant."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="All of them."),
        click.option("--where", "pairs", multiple=True, metavar="COLUMN=VALUE", help="A column of the row or its order."),
        click.option("--carrier", help="Those whose row or order has this carrier."),
        click.option("--category", help="Those whose order is of this category."),
        click.option("--seller", metavar="ID", help="Those whose order is of this seller."),
        click.option("--country", help="Those whose order is of this country, as the order writes it."),
        click.option("--kind", help="Only this kind of deadline, such as seller_response."),
        click.argument("words", metavar="[DEADLINE_ID | TABLE ID]", nargs=-1),
    ):
        command = option(command)
    return command


def where_of(asked: dict[str, Any]) -> dict[str, str]:
    """The columns and values that the options of `scoped` name; they are taken out of what was asked.

    Raises:
        BadUsage: a pair without a column or an equals sign.
    """
    where = {
        name: str(value) for name in ("country", "seller", "category", "carrier") if (value := asked.pop(name)) is not None
    }
    for pair in asked.pop("pairs"):
        name, equals, value = pair.partition("=")
        if not name.strip() or not equals:
            raise BadUsage(reason=f"--where {pair!r} is not COLUMN=VALUE, such as category=lamps.")
        where[name.strip()] = value.strip()
    return where


def confirm(number: int, what: str, *, yes: bool) -> None:
    """Ask before more than one is changed, and state the number.

    Raises:
        Refused: the answer was no, or there is nobody to ask and --yes was not said.
    """
    if number <= 1 or yes:
        return
    if not sys.stdin.isatty():
        raise Refused(reason=f"this would {what}. There is no terminal to ask on: say --yes, or look with --dry-run first.")
    if not click.confirm(f"This will {what}. Go on?", err=True):
        raise Refused(reason="nothing was changed.")


def carried_out(
    intervene: Callable[[bool], dict[str, Any]], count: str, what: Callable[[int], str], asked: dict[str, Any]
) -> Any:
    """Rehearse where that was asked, or where many may be concerned and nobody has said yes; confirm; then carry out.

    count: the key of the rehearsal's result that says how many would change. what: the sentence that is confirmed.
    """
    if asked["dry_run"]:
        return intervene(True)
    if not asked["yes"]:
        number = int(intervene(True)[count])
        confirm(number, what(number), yes=False)
    return intervene(False)
