"""The commands that look and change nothing: explain, deadlines, problems, check."""

from __future__ import annotations

from typing import Any

import click

from returnclock.cli.output import instant, json_option, print_json, print_table, style
from returnclock.errors import BadInstant, ReturnclockError


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Answer like a monitoring plugin: 0 OK, 1 warning, 2 critical, 3 unknown; one line that says why."""
    from returnclock.cli.report import gather, judge
    from returnclock.wiring import wire

    try:
        wiring = wire()
    except ReturnclockError as fault:
        code, told, report = 3, str(fault), {}
    else:
        try:
            report = gather(wiring)
            code, told = judge(report, wiring)
        except ReturnclockError as fault:
            code, told, report = 2, str(fault), {}
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code]
    if as_json:
        print_json({"status": word, "message": told, "report": report})
    else:
        click.echo(f"{word}: {told}")
    ctx.exit(code)


@click.command()
@click.argument("table")
@click.argument("identity", metavar="ID")
@json_option
def explain(table: str, identity: str, as_json: bool) -> None:
    """Tell the whole story of one row: "returnclock explain disputes 81".

    Rule, each step of the counting, reminders, who did what, and what comes next.
    """
    from returnclock.cli.storytelling import tell_story
    from returnclock.database import reading
    from returnclock.explain import explain as explained
    from returnclock.schema import require_upgraded
    from returnclock.wiring import wire

    wiring = wire()
    require_upgraded(wiring.engine)
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        explanation = explained(connection, wiring.rulebook, table, identity, now)
    if as_json:
        print_json(explanation.as_json())
    else:
        tell_story(explanation)


@click.command()
@click.option("--kind", help="Only this kind, such as seller_response.")
@click.option("--state", type=click.Choice(["running", "held", "met", "fired", "void"]), help="Only this state.")
@click.option("--party", type=click.Choice(["seller", "buyer", "platform"]), help="Only those that bind this party.")
@click.option("--due-before", metavar="TIME", help="Only those due before this time (ISO 8601, UTC unless it says).")
@click.option("--late", is_flag=True, help="Only those that are running and due already.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
def deadlines(
    kind: str | None,
    state: str | None,
    party: str | None,
    due_before: str | None,
    late: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List deadlines, those due first first."""
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.schema import require_upgraded
    from returnclock.tables.clock import deadlines as table
    from returnclock.tables.types import Unreadable, read_instant
    from returnclock.wiring import wire

    before = read_instant(due_before)
    if isinstance(before, Unreadable):
        raise BadInstant(text=due_before)
    wiring = wire()
    require_upgraded(wiring.engine)
    names = ("id", "kind", "subject_id", "party", "state", "starts_at", "promised_at", "due_at", "remind_at", "fired_at")
    chosen = select(*(table.c[name] for name in names)).order_by(table.c.due_at, table.c.id).limit(limit)
    if kind:
        chosen = chosen.where(table.c.kind == wiring.rulebook.kind(kind).name)
    if state or late:
        chosen = chosen.where(table.c.state == (state or "running"))
    if party:
        chosen = chosen.where(table.c.party == party)
    if before:
        chosen = chosen.where(table.c.due_at < before)
    with reading(wiring.engine) as connection:
        if late:
            chosen = chosen.where(table.c.due_at <= wiring.clock.now(connection))
        rows = [dict(row._mapping) for row in connection.execute(chosen)]
    if as_json:
        print_json(rows)
        return
    headings = ("id", "kind", "subject", "party", "state", "starts", "promised", "due", "next reminder", "fired")
    print_table(rows, dict(zip(names, headings, strict=True)), empty="No deadline matches.")
    if len(rows) == limit:
        click.echo(f"Only the first {limit} are shown; --limit shows more.")


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also those that were mended.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@json_option
def problems(show_all: bool, limit: int, as_json: bool) -> None:
    """List the rows that were set aside or fell back, each with what to do about it."""
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.schema import require_upgraded
    from returnclock.tables.clock import problems as table
    from returnclock.wiring import wire

    wiring = wire()
    require_upgraded(wiring.engine)
    chosen = select(table).order_by(table.c.resolved_at.is_not(None), table.c.first_seen_at.desc()).limit(limit)
    if not show_all:
        chosen = chosen.where(table.c.resolved_at.is_(None))
    with reading(wiring.engine) as connection:
        rows: list[dict[str, Any]] = [dict(row._mapping) for row in connection.execute(chosen)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("No problems.")
    for row in rows:
        mended = f"  (mended {instant(row['resolved_at'])})" if row["resolved_at"] else ""
        click.echo(f"{style(instant(row['first_seen_at']), dim=True)}  {row['problem']}{mended}")
    if len(rows) == limit:
        click.echo(f"Only the first {limit} are shown; --limit shows more.")


COMMANDS = (explain, deadlines, problems, check)
