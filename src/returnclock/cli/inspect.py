"""The commands that look and change nothing: explain, deadlines, problems, check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from returnclock.cli import faults
from returnclock.cli.archived import tell_of_archive
from returnclock.cli.output import instant, json_option, print_json, print_table, style
from returnclock.cli.typed import AT_LEAST_ONE, moment_option

if TYPE_CHECKING:
    from datetime import datetime

    from returnclock.kinds import DeadlineKind
    from returnclock.wiring import Wiring


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Answer like a monitoring plugin: 0 OK, 1 warning, 2 critical, 3 unknown; one line that says why."""
    from returnclock.cli.report import gather, judge
    from returnclock.wiring import wire

    faults.answers_monitoring(ctx)
    report: dict[str, Any] = {}
    try:
        wiring = wire(only_looks=True)
    except Exception as fault:
        code, told = 3, faults.told(fault)
    else:
        try:
            report = gather(wiring)
            code, told = judge(report, wiring)
        except Exception as fault:
            code, told = faults.verdict(fault), faults.told(fault)
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
    from returnclock.cli.opening import opened
    from returnclock.cli.storytelling import tell_story
    from returnclock.database import reading
    from returnclock.explain import explain as explained

    wiring = opened()
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        explanation = explained(connection, wiring.rulebook, wiring.settings.mail, table, identity, now)
    if as_json:
        print_json(explanation.as_json())
    else:
        tell_story(explanation)


@click.command()
@click.option("--kind", help="Only this kind, such as seller_response.")
@click.option("--table", "table_name", help="Only those that bind rows of this table, such as disputes.")
@click.option("--subject", metavar="ID", help="Only those of the row with this id.")
@click.option("--state", type=click.Choice(["running", "held", "met", "fired", "void"]), help="Only this state.")
@click.option("--party", type=click.Choice(["seller", "buyer", "platform"]), help="Only those that bind this party.")
@moment_option("--due-after", help="Only those due at or after this time (ISO 8601, UTC unless it says).")
@moment_option("--due-before", help="Only those due before this time.")
@click.option("--late", is_flag=True, help="Only those that are running and due already.")
@click.option(
    "--order-by",
    type=click.Choice(["due", "start", "reminder", "settled", "id"]),
    default="due",
    show_default=True,
    help="By which date to list them.",
)
@click.option("--newest-first", is_flag=True, help="The other way round.")
@click.option("--limit", type=AT_LEAST_ONE, default=50, show_default=True, help="At most so many.")
@json_option
def deadlines(late: bool, order_by: str, newest_first: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """List deadlines, those due first first. "returnclock explain TABLE ID" then tells one row's story."""
    from sqlalchemy import select

    from returnclock.cli.opening import opened
    from returnclock.database import reading
    from returnclock.tables.clock import deadlines as table
    from returnclock.tables.clock import is_running

    wiring = opened()
    names = ("id", "kind", "subject_id", "party", "state", "starts_at", "promised_at", "due_at", "remind_at", "fired_at")
    by = table.c[
        {"due": "due_at", "start": "starts_at", "reminder": "remind_at", "settled": "settled_at", "id": "id"}[order_by]
    ]
    order = [by.desc(), table.c.id.desc()] if newest_first else [by, table.c.id]
    chosen = select(*(table.c[name] for name in names)).where(*_chosen(wiring, **filters)).order_by(*order).limit(limit)
    if order_by in ("reminder", "settled"):  # those without such a date have no place in its order
        chosen = chosen.where(by.is_not(None))
    with reading(wiring.engine) as connection:
        if late:
            chosen = chosen.where(is_running, table.c.due_at <= wiring.clock.now(connection))
        rows = [dict(row._mapping) for row in connection.execute(chosen)]
    tell_of_archive(wiring, _kinds(wiring, filters["kind"], filters["table_name"]), filters["subject"])
    of = {kind.name: kind.subject.name for kind in wiring.kinds}
    rows = [{"id": row["id"], "table": of.get(row["kind"]), **row} for row in rows]
    if as_json:
        print_json(rows)
        return
    shown = [{**row, "subject": f"{row['table'] or '?'} {row['subject_id']}"} for row in rows]
    columns = {"id": "id", "kind": "kind", "subject": "subject", "party": "party", "state": "state", "starts_at": "starts"}
    dates = {"promised_at": "promised", "due_at": "due", "remind_at": "next reminder", "fired_at": "fired"}
    print_table(shown, columns | dates, empty="No deadline matches.")
    if len(rows) == limit:
        click.echo(f"Only the first {limit} are shown; --limit shows more.")


def _chosen(
    wiring: Wiring,
    kind: str | None,
    table_name: str | None,
    subject: str | None,
    state: str | None,
    party: str | None,
    due_after: datetime | None,
    due_before: datetime | None,
) -> list[Any]:
    from sqlalchemy import literal_column

    from returnclock.tables.clock import deadlines as table

    kinds = _kinds(wiring, kind, table_name)
    chosen: list[Any] = []
    if kind or table_name:  # not otherwise: a shop's kind that is gone has left rows all the same
        chosen.append(table.c.kind.in_([one.name for one in kinds]))
    if state:  # literal, so that a partial index is seen to serve it
        chosen.append(table.c.state == literal_column(f"'{state}'"))
    chosen += [column == wanted for column, wanted in ((table.c.subject_id, subject), (table.c.party, party)) if wanted]
    chosen += [table.c.due_at >= due_after] if due_after else []
    return chosen + ([table.c.due_at < due_before] if due_before else [])


def _kinds(wiring: Wiring, kind: str | None, table_name: str | None) -> list[DeadlineKind]:
    kinds = [wiring.rulebook.kind(kind)] if kind else list(wiring.kinds)
    if not table_name:
        return kinds
    bound = wiring.rulebook.binding(table_name)
    return [one for one in kinds if one in bound]


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also those that were mended.")
@click.option("--limit", type=AT_LEAST_ONE, default=100, show_default=True, help="At most so many.")
@json_option
def problems(show_all: bool, limit: int, as_json: bool) -> None:
    """List the rows that were set aside or fell back, each with what to do about it."""
    from sqlalchemy import select

    from returnclock.cli.opening import opened
    from returnclock.database import reading
    from returnclock.printable import one_line
    from returnclock.tables.clock import problems as table

    wiring = opened()
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
        click.echo(f"{style(instant(row['first_seen_at']), dim=True)}  {one_line(row['problem'])}{mended}")
    if len(rows) == limit:
        click.echo(f"Only the first {limit} are shown; --limit shows more.")


COMMANDS = (explain, deadlines, problems, check)
