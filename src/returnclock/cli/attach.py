"""``returnclock attach``: puts the triggers of the change feed on a shop's own tables, and takes them away."""

from __future__ import annotations

import sys

import click

from returnclock.cli.opening import opened
from returnclock.cli.output import json_option, print_json
from returnclock.errors import Refused


@click.command()
@click.option("--remove", is_flag=True, help="Take the triggers away; reconcile then finds what changes.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def attach(remove: bool, yes: bool, as_json: bool) -> None:
    """Note changes on the shop's own tables by triggers. Shows its SQL first, and asks.

    Only for tables that returnclock.toml maps; those of our own have their triggers from "db upgrade".
    """
    from returnclock.mapping.attaching import execute, plan
    from returnclock.mapping.watching import unwatched, watches

    wiring = opened()
    market = wiring.settings.market
    if not wiring.rulebook.market.mapped:
        raise Refused(reason='the market\'s tables are our own, and "returnclock db upgrade" has put their triggers in place.')
    statements, views = plan(wiring.engine, watches(market), remove=remove)
    beyond = [] if remove else [*unwatched(market), *views]
    if not as_json:
        click.echo("\n\n".join(f"{statement};" for statement in statements) or "There is nothing to do.")
    if statements and not yes:
        _insist(as_json)
    execute(wiring.engine, statements)
    if as_json:
        print_json({"done": statements, "found_by_reconcile_only": beyond})
        return
    if statements:
        click.echo(f"\nDone: {len(statements)} statements." + ("" if remove else " Changes are noted from now on."))
    if beyond:
        click.echo(f"No trigger can tell of {', '.join(beyond)}: reconcile finds those changes, as often as [ticks] says.")


def _insist(as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise Refused(reason="nothing was changed. Repeat with --yes to do it without being asked.")
    if not click.confirm("\nExecute these statements?"):
        raise Refused(reason="nothing was changed.")


COMMANDS = (attach,)
