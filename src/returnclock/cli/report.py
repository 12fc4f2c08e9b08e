"""What ``status`` and ``check`` say: gathered once from the database, told to people or judged for monitoring."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from returnclock import health, schema
from returnclock.cli.output import instant, span, style
from returnclock.database import reading
from returnclock.settings import redacted, seconds
from returnclock.wiring import Wiring

_SLACK_S = 60  # a tick may be this much later than its interval before anybody is worried


def gather(wiring: Wiring) -> dict[str, Any]:
    """Read the state of everything, in one transaction."""
    schema.require_upgraded(wiring.engine)
    book = wiring.rulebook
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        waiting, oldest = health.unstamped_changes(connection, now)
        ran = health.last_runs(connection)
        nothing: dict[str, Any] = {"succeeded_at": None, "failed_at": None, "error": None}
        return {
            "at": now,
            "database": redacted(wiring.settings.database_url),
            "late_limit_s": seconds(wiring.settings.late_limit),
            "overdue": health.overdue(connection, book, now),
            "due_within_an_hour": health.due_within(connection, now, timedelta(hours=1)),
            "deadlines": health.counts_by_state(connection),
            "unstamped_changes": {"count": waiting, "oldest_s": oldest},
            "notices": health.notices_by_state(connection),
            "problems": health.open_problems(connection),
            "cannot_start": health.cannot_start(connection),
            "holds": health.standing_holds(connection, now),
            "paused": health.standing_pauses(connection, book, now),
            "amnesty": {"unwarned": health.unwarned(connection, book, now), "spared": health.spared(connection)},
            "tasks": {task: ran.get(task, nothing) for task in wiring.tasks},
        }


def judge(report: dict[str, Any], wiring: Wiring) -> tuple[int, str]:
    """A monitoring plugin's verdict: the worst thing first, in one line."""
    limit = seconds(wiring.settings.late_limit)
    rest = health.at_rest(report["paused"], wiring.rulebook)
    late = [found for found in report["overdue"] if found["oldest_s"] > limit and found["kind"] not in rest]
    if late:
        worst = max(late, key=lambda found: float(found["oldest_s"]))
        return 2, f"{worst['count']} {worst['kind']} deadline(s) late, the oldest by {span(worst['oldest_s'])}"
    paused = [pause for pause in report["paused"] if pause["too_long"]]
    if paused:
        longest = max(paused, key=lambda pause: float(pause["for_s"]))
        return 2, f"{longest['name']} rests since {span(longest['for_s'])}, by {longest['actor']}: {longest['reason']}"
    stale = _stale(report, wiring)
    if stale:
        return 2, f"no success of {', '.join(stale)} for longer than it should take; do worker and beat run?"
    if report["unstamped_changes"]["oldest_s"] > limit:
        return 2, f"changes wait to be stamped since {span(report['unstamped_changes']['oldest_s'])}"
    failing = [task for task, ran in report["tasks"].items() if _is_failing(ran)]
    warnings = [f"{task} failed last" for task in failing]
    if report["notices"].get("dead"):
        warnings.append(f"{report['notices']['dead']} dead notice(s)")
    if report["amnesty"]["unwarned"]:
        warnings.append(f"{sum(report['amnesty']['unwarned'].values())} deadline(s) whose party is not warned yet")
    if report["paused"]:
        warnings.append("at rest: " + ", ".join(pause["name"] for pause in report["paused"]))
    if report["problems"]:
        warnings.append(f"{report['problems']} row(s) with problems")
    if warnings:
        return 1, "; ".join(warnings)
    running = sum(states.get("running", 0) for states in report["deadlines"].values())
    return 0, f"nothing late, {running} deadline(s) running"


def _is_failing(ran: dict[str, Any]) -> bool:
    return ran["failed_at"] is not None and (ran["succeeded_at"] is None or ran["failed_at"] > ran["succeeded_at"])


def _stale(report: dict[str, Any], wiring: Wiring) -> list[str]:
    ticks = wiring.settings.ticks
    interval = {"stamp": ticks.stamp, **dict.fromkeys(wiring.rulebook.tasks(), ticks.sweep)}
    found = []
    for task, every in interval.items():
        succeeded = report["tasks"][task]["succeeded_at"]
        if succeeded is None or (report["at"] - succeeded).total_seconds() > 3 * seconds(every) + _SLACK_S:
            found.append(task)
    return found


def tell(report: dict[str, Any]) -> None:
    """Print the report for a person, the urgent things first."""
    click.echo(f"{report['database']} at {instant(report['at'])}")
    if report["overdue"]:
        for found in report["overdue"]:
            late = found["oldest_s"] > report["late_limit_s"]
            told = f"{'LATE' if late else 'Due '}  {found['count']} {found['kind']}, the oldest since {span(found['oldest_s'])}"
            click.echo(style(told, fg="red" if late else "yellow", bold=late))
    else:
        click.echo(style("Nothing is late.", fg="green"))
    _tell_interventions(report)
    _tell_deadlines(report)
    notices = report["notices"]
    told = ", ".join(f"{count} {state}" for state, count in sorted(notices.items())) or "none yet"
    click.echo(style(f"Notices: {told}.", fg="red" if notices.get("dead") else None))
    waiting = report["unstamped_changes"]
    if waiting["count"]:
        click.echo(f"Changes to be stamped: {waiting['count']}, the oldest for {span(waiting['oldest_s'])}.")
    if report["problems"]:
        click.echo(style(f'Rows with problems: {report["problems"]} ("returnclock problems" lists them).', fg="yellow"))
    click.echo("Tasks, when each last succeeded:")
    for task, ran in report["tasks"].items():
        ago = span((report["at"] - ran["succeeded_at"]).total_seconds()) + " ago" if ran["succeeded_at"] else "never"
        click.echo(f"  {task:24} {ago}")
        if _is_failing(ran):
            click.echo(style(f"  {'':24} failed {instant(ran['failed_at'])}: {ran['error']}", fg="red"))


def _tell_interventions(report: dict[str, Any]) -> None:
    for pause in report["paused"]:
        told = f"RESTS {pause['name']} since {span(pause['for_s'])}, by {pause['actor']}: {pause['reason']}"
        click.echo(style(told, fg="red" if pause["too_long"] else "yellow", bold=pause["too_long"]))
    for one in report["holds"]:
        until = f"until {instant(one['until'])}" if one["until"] else "until it is resumed"
        told = f"HELD  {one['scope']} (hold {one['id']}) since {instant(one['since'])} {until}, by {one['by']}: {one['reason']}"
        click.echo(style(told, fg="yellow"))
    amnesty = report["amnesty"]
    if amnesty["unwarned"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in amnesty["unwarned"].items())
        click.echo(style(f"Not warned yet, though the reminder should be out: {counted}. They are warned first.", fg="yellow"))
    if amnesty["spared"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in amnesty["spared"].items())
        click.echo(f"Running beyond their date, because they had to be warned first: {counted}.")
    if report["cannot_start"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in report["cannot_start"].items())
        click.echo(style(f'Clocks that cannot start, for want of a date: {counted} ("returnclock problems").', fg="yellow"))


def _tell_deadlines(report: dict[str, Any]) -> None:
    coming = report["due_within_an_hour"]
    click.echo("Within the hour: " + (", ".join(f"{n} {kind}" for kind, n in coming.items()) or "nothing") + ".")
    if report["deadlines"]:
        click.echo("Deadlines:")
    for kind, states in report["deadlines"].items():
        click.echo(f"  {kind:24} " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
