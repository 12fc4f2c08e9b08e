"""The commands that tell what has happened: events, which can follow the ledger, and runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from returnclock.cli.archived import tell_of_archive
from returnclock.cli.output import instant, json_option, plain, print_json, print_table, span, style
from returnclock.cli.typed import AT_LEAST_ONE, IDENTITY, Number, moment_option

if TYPE_CHECKING:
    from datetime import datetime

    from returnclock.follow import Follower
    from returnclock.wiring import Wiring

_POLL_S = 0.5


@click.command()
@click.option("--follow", "-f", "following", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--since-id", type=Number(0), help="Begin after this id. None is missed, in whatever order they commit.")
@click.option("--kind", help="Only of this kind of deadline, such as seller_response.")
@click.option("--event", "names", multiple=True, help="Only this event; may be repeated. A * stands for anything: 'notice:*'.")
@click.option("--subject", metavar="ID", help="Only of the row with this id; with --kind, or of any table.")
@click.option("--deadline", type=IDENTITY, help='Only of this deadline, by the id that "returnclock deadlines" shows.')
@click.option("--actor", help="Only what this one did: clock, or a login.")
@click.option("--run", "run_id", type=IDENTITY, help="Only what this run did.")
@click.option("--limit", type=AT_LEAST_ONE, default=50, show_default=True, help="How many; without --follow.")
@json_option
def events(following: bool, since_id: int | None, limit: int, as_json: bool, **filters: Any) -> None:
    """Tell what happened, one line for each event of the ledger, the newest last.

    With --json one object a line. To process all of them once: keep the last id, and give it to --since-id the next time.
    """
    from returnclock.cli.opening import opened

    wiring = opened()
    conditions = _conditions(wiring, **filters)
    try:
        if following:
            rows = _followed(wiring, since_id, conditions)
        elif since_id is not None:
            rows = _first(_until_caught_up(wiring, since_id, conditions), limit)
        else:
            rows = iter(_newest(wiring, conditions, limit))
            kind = filters["kind"]
            tell_of_archive(wiring, [wiring.rulebook.kind(kind)] if kind else wiring.kinds, filters["subject"])
        found = False
        for row in rows:
            _print_event(wiring, row, as_json)
            found = True
        if not found and (conditions or since_id is None):  # else whoever keeps asking what is new would be told each time
            click.echo("No event matches.", err=True)
    except KeyboardInterrupt:  # the way in which a follower is meant to end
        return


def _conditions(
    wiring: Wiring,
    kind: str | None,
    names: Sequence[str],
    subject: str | None,
    deadline: int | None,
    actor: str | None,
    run_id: int | None,
) -> list[Any]:
    from sqlalchemy import or_

    from returnclock.tables.clock import events as table

    chosen: list[Any] = []
    if kind:
        chosen.append(table.c.kind == wiring.rulebook.kind(kind).name)
    elif subject:  # the index is by kind and subject
        chosen.append(table.c.kind.in_([one.name for one in wiring.kinds]))
    if names:
        chosen.append(or_(*(_named(table.c.event, name) for name in names)))
    for column, wanted in ((table.c.subject_id, subject), (table.c.deadline_id, deadline), (table.c.actor, actor)):
        if wanted is not None:
            chosen.append(column == wanted)
    if run_id is not None:
        chosen.append(table.c.run_id == run_id)
    return chosen


def _named(column: Any, name: str) -> Any:
    if "*" not in name:
        return column == name
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%"), escape="\\")


def _newest(wiring: Wiring, conditions: Sequence[Any], limit: int) -> list[Any]:
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.tables.clock import events as table

    with reading(wiring.engine) as connection:
        chosen = select(table).where(*conditions).order_by(table.c.id.desc()).limit(limit)
        return list(reversed(connection.execute(chosen).all()))


def _until_caught_up(wiring: Wiring, since_id: int, conditions: Sequence[Any]) -> Iterator[Any]:
    from time import sleep

    from returnclock.follow import Follower

    follower = Follower(wiring.engine, since_id, conditions=conditions)
    while True:
        yield from follower.news()
        if follower.caught_up:
            return
        if follower.waits:
            sleep(_POLL_S / 5)


def _first(rows: Iterator[Any], limit: int) -> Iterator[Any]:
    from itertools import islice

    return islice(rows, limit)


def _followed(wiring: Wiring, since_id: int | None, conditions: Sequence[Any]) -> Iterator[Any]:
    from time import sleep

    from returnclock.follow import Follower

    follower = Follower(wiring.engine, since_id, conditions=conditions)
    away = False
    while True:
        rows, away = _asked(follower, away)
        yield from rows
        if _reader_has_gone():
            return
        if not rows and (follower.waits or follower.caught_up or away):
            sleep(_POLL_S)


def _asked(follower: Follower, was_away: bool) -> tuple[Sequence[Any], bool]:
    """The news; none while the database is away, which is said once."""
    from sqlalchemy.exc import DBAPIError

    from returnclock.errors import DatabaseUnreachable
    from returnclock.sqlstates import is_passing

    try:
        rows = follower.news()
    except (DatabaseUnreachable, DBAPIError) as fault:
        if isinstance(fault, DBAPIError) and not is_passing(fault):
            raise
        if not was_away:
            click.echo(f"returnclock: {fault}", err=True)
        return (), True
    return rows, False


def _reader_has_gone() -> bool:
    """Whether the pipe that is written into has lost its reader, which else shows only with the next line."""
    import select

    if not hasattr(select, "poll"):
        return False
    try:
        waiting = select.poll()
        waiting.register(sys.stdout.fileno(), 0)
        return any(said & (select.POLLERR | select.POLLHUP) for _, said in waiting.poll(0))
    except (OSError, ValueError):
        return False


def _print_event(wiring: Wiring, row: Any, as_json: bool) -> None:
    from returnclock.printable import one_line
    from returnclock.telling import about, sentence, who

    event = dict(row._mapping)
    kind = next((one for one in wiring.kinds if one.name == event["kind"]), None)
    if as_json:
        click.echo(json.dumps(event | {"told": sentence(event, kind)}, default=plain, ensure_ascii=False))
        return
    begin = style(f"{event['id']:>8}  {instant(event['at'])}", dim=True)
    of, told, whose = one_line(about(event, kind)), one_line(sentence(event, kind)), one_line(who(event))
    click.echo(f"{begin}  {style(of, bold=True)}: {told} {style(f'({whose})', dim=True)}")


@click.command()
@click.option("--task", help="Only of this task, such as escalate-disputes.")
@click.option("--state", type=click.Choice(["running", "succeeded", "failed"]), help="Only in this state.")
@click.option(
    "--trigger", type=click.Choice(["beat", "manual", "cli"]), help="Only those that beat, a call or a command started."
)
@moment_option("--since", help="Only those that started since then (ISO 8601, UTC unless it says).")
@click.option("--idle", is_flag=True, help="Also those that found nothing to do.")
@click.option("--failures", is_flag=True, help="Group the failed ones by their error.")
@click.option("--limit", type=AT_LEAST_ONE, default=50, show_default=True, help="At most so many.")
@json_option
def runs(
    task: str | None,
    state: str | None,
    trigger: str | None,
    since: datetime | None,
    idle: bool,
    failures: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List what the tasks did, the newest run first; --failures groups the errors.

    Errors are one group where they differ only in numbers, ids, times and quoted words.
    """
    from returnclock.cli.opening import opened
    from returnclock.database import reading
    from returnclock.history import chosen_runs, failures_by_error, has_run
    from returnclock.jobs import job_for

    wiring = opened()
    with reading(wiring.engine) as connection:
        if task and task != "restamp" and not has_run(connection, task):
            job_for(wiring, task)  # refuses one that there is not
        if failures:
            groups = failures_by_error(connection, task=task, trigger=trigger, since=since)
            rows: list[dict[str, Any]] = groups[:limit]
        else:
            rows = chosen_runs(connection, task=task, state=state, trigger=trigger, since=since, idle=idle, limit=limit)
    if as_json:
        print_json(rows)
    elif failures:
        _tell_failures(rows)
    else:
        _tell_runs(rows, limit)


def _tell_runs(rows: Sequence[Mapping[str, Any]], limit: int) -> None:
    shown = []
    for row in rows:
        result = row["result"] or {}
        took = (row["finished_at"] - row["started_at"]).total_seconds() if row["finished_at"] else None
        did = ", ".join(f"{name} {result[name]}" for name in ("changed", "moved", "queued", "problems") if result.get(name))
        did = did or ("nothing to change" if row["state"] == "succeeded" else "")
        said = (row["error"] or did).strip().splitlines()
        told = {"took": span(took) if took is not None else "", "did": said[0][:120] if said else ""}
        shown.append({**row, **told, "by": f"{row['trigger']} ({row['actor']})"})
    headings = {"id": "id", "task": "task", "state": "state", "by": "started by", "started_at": "started", "took": "took"}
    print_table(shown, headings | {"did": "did, or the error"}, empty="No run matches. --idle shows those with nothing to do.")
    if len(rows) == limit:
        click.echo(f"Only the newest {limit} are shown; --limit shows more.")


def _tell_failures(groups: Sequence[Mapping[str, Any]]) -> None:
    if not groups:
        click.echo(style("No run has failed.", fg="green"))
    for group in groups:
        times = "once" if group["count"] == 1 else f"{group['count']} times"
        click.echo(style(f"{times}, last {instant(group['last_at'])} in run {group['last_run_id']}", fg="red", bold=True))
        if group["count"] > 1:
            click.echo(f"  since {instant(group['first_at'])}")
        click.echo(f"  of {', '.join(group['tasks'])}")
        click.echo(f"  {group['example']}")


COMMANDS = (events, runs)
