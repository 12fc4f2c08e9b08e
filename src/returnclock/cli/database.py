"""``returnclock db``: brings the schema up to date and says how it stands."""

from __future__ import annotations

import click

from returnclock.cli.output import json_option, print_json
from returnclock.errors import ReturnclockError


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
    """Say whether schema and triggers are as this version needs them (0 OK, 1 warning, 2 critical, 3 unknown)."""
    from returnclock import schema
    from returnclock.wiring import wire

    try:
        wiring = wire()
    except ReturnclockError as fault:
        code, told = 3, str(fault)
    else:
        try:
            schema.require_current(wiring.engine)
            missing = schema.missing_triggers(wiring.engine)
            code, told = 0, f"schema {schema.needed()}, triggers in place"
            if missing:
                code, told = 1, f"triggers are missing ({', '.join(missing)}): changes are found by reconcile only"
        except ReturnclockError as fault:
            code, told = 2, str(fault)
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code]
    if as_json:
        print_json({"status": word, "message": told})
    else:
        click.echo(f"{word}: {told}")
    ctx.exit(code)


COMMANDS = (db,)
