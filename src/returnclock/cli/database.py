"""``returnclock db``: brings the schema up to date and says how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from returnclock.cli import faults
from returnclock.cli.output import json_option, print_json
from returnclock.errors import Refused

if TYPE_CHECKING:
    from returnclock.wiring import Wiring


@click.group()
def db() -> None:
    """The database's schema."""


@db.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Create or upgrade the tables and triggers. Safe to repeat, and two at once do no harm."""
    from returnclock import schema
    from returnclock.settings import redacted
    from returnclock.wiring import wire

    wiring = wire()
    before, after = schema.upgrade(wiring.engine, mapped=wiring.rulebook.market.mapped)
    where = redacted(wiring.settings.database_url)
    if as_json:
        print_json({"database": where, "before": before, "after": after})
    elif before == after:
        click.echo(f"{where} has schema {after} already.")
    else:
        click.echo(f"{where}: schema {before or 'none'} -> {after}.")


@db.command("check")
@json_option
@click.pass_context
def check_schema(ctx: click.Context, as_json: bool) -> None:
    """Say whether schema, triggers and mapped tables are as they must be (0 OK, 1 warning, 2 critical, 3 unknown)."""
    from returnclock.wiring import wire

    faults.answers_monitoring(ctx)
    listed: list[str] = []
    without: dict[str, str] = {}
    try:
        wiring = wire(only_looks=True)
    except Exception as fault:
        code, told = 3, faults.told(fault)
    else:
        try:
            code, told, listed = _judge(wiring)
            without = dict(wiring.rulebook.without)
        except Exception as fault:
            code, told = faults.verdict(fault), faults.told(fault)
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code]
    if as_json:
        print_json({"status": word, "message": told, "findings": listed, "kinds_off": without})
    else:
        click.echo(f"{word}: {told}")
        for finding in listed:
            click.echo(f"  - {finding}")
        for kind, want in without.items():
            click.echo(f"  {kind} is off: {want}")
    ctx.exit(code)


@db.command()
@click.option("--account", default="returnclock", show_default=True, help="The account of worker, beat and command.")
@click.option("--front-end", "front_end", default="front_end", show_default=True, help="The front end's account.")
@click.option("--host", default="%", show_default=True, help="MariaDB: from where the accounts connect.")
@json_option
def grants(account: str, front_end: str, host: str, as_json: bool) -> None:
    """Print the least rights that our own account and a front end's need, as GRANT statements; change nothing.

    "db upgrade" is for a third account, the tables' owner, with whose rights the triggers act. Feed the statements to psql or
    mariadb as that owner, once the accounts exist, and again after each upgrade: a right that is there already does no harm.
    """
    from sqlalchemy import text

    from returnclock.cli.opening import opened
    from returnclock.database import reading
    from returnclock.rights import Site, front_end_rights, own_rights
    from returnclock.schema import VERSION_TABLE

    wiring = opened()
    dialect = wiring.engine.dialect.name
    if dialect == "sqlite":
        raise Refused(
            reason="SQLite knows no accounts. Who may write the file and its folder may do everything: worker, beat, command "
            "and front end run as users who may."
        )
    if wiring.rulebook.market.mapped:
        raise Refused(reason='the market is in tables of the shop\'s own; "db check" says which rights on them are missing.')
    with reading(wiring.engine) as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one() if dialect == "postgresql" else ""
    site = Site(dialect, str(wiring.engine.url.database), schema, host)
    own, other = own_rights(site, account, wiring.kinds, VERSION_TABLE), front_end_rights(site, front_end)
    if as_json:
        print_json({account: own, front_end: other})
        return
    click.echo("\n".join([f"-- returnclock: worker, beat and command, as {account}", *own, ""]))
    click.echo("\n".join([f"-- a front end, as {front_end}", *other]))


def _judge(wiring: Wiring) -> tuple[int, str, list[str]]:
    """The exit code, the line that says why, and what was found in the shop's own tables."""
    from returnclock import schema
    from returnclock.errors import SchemaAhead, SchemaBehind
    from returnclock.mapping.checking import Finding, check_mapping

    market = wiring.rulebook.market
    if not market.mapped:
        schema.require_current(wiring.engine)
        missing = schema.missing_triggers(wiring.engine)
        if missing:
            return 1, f"triggers are missing ({', '.join(missing)}): changes are found by reconcile only", []
        return 0, f"schema {schema.needed()}, triggers in place", []
    # Asked before our own tables are there too: whoever maps wants to know first.
    found = check_mapping(wiring.engine, wiring.settings.market, market)
    try:
        schema.require_current(wiring.engine)
    except (SchemaAhead, SchemaBehind) as fault:
        found.insert(0, Finding(True, str(fault)))
    grave = sum(finding.grave for finding in found)
    listed = [finding.said for finding in found]
    if found:
        return (
            (2 if grave else 1),
            f"schema and mapping have {len(found)} fault(s), {grave} of them grave",
            listed,
        )
    return 0, f"schema {schema.needed()}, the shop's own tables are as they are mapped", []


COMMANDS = (db,)
