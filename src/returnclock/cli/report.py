"""What ``status`` and ``check`` say: gathered once from the database, told to people or judged for monitoring."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from returnclock import health, schema
from returnclock.batches import COUNTED
from returnclock.cli.output import instant, span, style
from returnclock.database import reading, takes_writes
from returnclock.settings import redacted, seconds
from returnclock.wiring import Wiring

_MOST_ERRORS = 5
_READS_ONLY = (
    "the database takes no writes: it is a replica, or a failover is under way, or somebody has set it so; nothing is enforced "
    "until it does. If it lasts, point DATABASE_URL at the primary, or end the server's read-only mode"
)


def gather(wiring: Wiring) -> dict[str, Any]:
    """Read the state of everything, in one transaction."""
    schema.require_upgraded(wiring.engine)
    book = wiring.rulebook
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        waiting, oldest = health.unstamped_changes(connection, now)
        notices = health.notices_by_state(connection)
        return {
            "at": now,
            "database": redacted(wiring.settings.database_url),
            "takes_writes": takes_writes(connection),
            "late_limit_s": seconds(wiring.settings.late_limit),
            "overdue": [
                found | {"limit_s": wiring.late_limit(found["kind"])} for found in health.overdue(connection, book, now)
            ],
            "due_within_an_hour": health.due_within(connection, book, now, timedelta(hours=1)),
            "deadlines": health.counts_by_state(connection),
            "settled_last_day": health.settled_since(connection, book, now - timedelta(days=1)),
            "unstamped_changes": {"count": waiting, "oldest_s": oldest},
            "notices": notices,
            "oldest_notice_s": health.oldest_notice(connection, now),
            "dead_notices": [
                {"error": error, "count": number}
                for error, number in (health.dead_by_error(connection) if notices.get("dead") else ())
            ],
            "problems": health.open_problems(connection),
            "cannot_start": health.cannot_start(connection),
            "holds": health.standing_holds(connection, book, now),
            "paused": health.standing_pauses(connection, book, now),
            "amnesty": {"unwarned": health.unwarned(connection, book, now), "spared": health.spared(connection)},
            "tasks": _tasks(wiring, health.last_runs(connection, wiring.tasks), now),
        }


def _tasks(wiring: Wiring, ran: dict[str, dict[str, Any]], now: datetime) -> dict[str, dict[str, Any]]:
    """Each task: when it last succeeded and failed, how often it should, and whether it has not for too long."""
    never: dict[str, Any] = {"succeeded_at": None, "failed_at": None, "error": None}
    told = {}
    for task in wiring.tasks:
        last, every = ran.get(task, never), seconds(wiring.settings.ticks.of(task))
        age = (now - last["succeeded_at"]).total_seconds() if last["succeeded_at"] else None
        told[task] = {**last, "expected_every_s": every, "age_s": age, "stale": health.is_stale(age, every)}
    return told


def up_to(number: int) -> str:
    """A count that ends at ``COUNTED``, as people read it."""
    return f"{number}+" if number >= COUNTED else str(number)


def judge(report: dict[str, Any], wiring: Wiring) -> tuple[int, str]:
    """A monitoring plugin's verdict: the worst thing first, in one line."""
    if not report["takes_writes"]:
        return 2, _READS_ONLY
    limit = seconds(wiring.settings.late_limit)
    rest = health.at_rest(report["paused"], wiring.rulebook)
    late = [found for found in report["overdue"] if found["oldest_s"] > found["limit_s"] and found["kind"] not in rest]
    if late:
        worst = max(late, key=lambda found: float(found["oldest_s"]))
        return 2, f"{up_to(worst['count'])} {worst['kind']} deadline(s) late, the oldest by {span(worst['oldest_s'])}"
    paused = [pause for pause in report["paused"] if pause["too_long"]]
    if paused:
        longest = max(paused, key=lambda pause: float(pause["for_s"]))
        return 2, f"{longest['name']} is paused since {span(longest['for_s'])}, by {longest['actor']}: {longest['reason']}"
    stale = _stale(report, wiring)
    if stale:
        return 2, f"no success of {', '.join(stale)} for longer than it should take; do worker and beat run?"
    if report["unstamped_changes"]["oldest_s"] > limit:
        return 2, f"changes wait to be stamped since {span(report['unstamped_changes']['oldest_s'])}"
    failing = [task for task, ran in report["tasks"].items() if _is_failing(ran)]
    warnings = [f"{task} failed last" for task in failing]
    if report["notices"].get("dead"):
        warnings.append(f"{up_to(report['notices']['dead'])} dead notice(s)")
    if report["amnesty"]["unwarned"]:
        warnings.append(f"{sum(report['amnesty']['unwarned'].values())} deadline(s) whose party is not warned yet")
    if report["paused"]:
        warnings.append("paused: " + ", ".join(pause["name"] for pause in report["paused"]))
    forgotten = [one for one in report["holds"] if one["too_long"]]
    if forgotten:
        oldest = min(forgotten, key=itemgetter("since"))
        stood = span((report["at"] - oldest["since"]).total_seconds())
        warnings.append(f"{len(forgotten)} hold(s) without an end, the oldest (hold {oldest['id']}) for {stood}")
    if report["problems"]:
        warnings.append(f"{up_to(report['problems'])} row(s) with problems")
    if warnings:
        return 1, "; ".join(warnings)
    running = sum(states.get("running", 0) for states in report["deadlines"].values())
    return 0, f"nothing late, {running} deadline(s) running"


def _is_failing(ran: dict[str, Any]) -> bool:
    return ran["failed_at"] is not None and (ran["succeeded_at"] is None or ran["failed_at"] > ran["succeeded_at"])


def _stale(report: dict[str, Any], wiring: Wiring) -> list[str]:
    """The tasks that enforce deadlines and have not for too long; what only serves them is no emergency."""
    return [task for task in ("stamp", *wiring.rulebook.tasks()) if report["tasks"][task]["stale"]]


def told(report: dict[str, Any]) -> list[str]:
    """The report for a person, the urgent things first, line by line."""
    lines = [style(f"{report['database']} at {instant(report['at'])}", bold=True)]
    if not report["takes_writes"]:
        lines.append(style(f"{_READS_ONLY[0].upper()}{_READS_ONLY[1:]}.", fg="red", bold=True))
    for found in report["overdue"]:
        late = found["oldest_s"] > found["limit_s"]
        said = f"{'LATE' if late else 'Due '}  {up_to(found['count'])} {found['kind']}, the oldest by {span(found['oldest_s'])}"
        lines.append(style(said, fg="red" if late else "yellow", bold=late))
    if not report["overdue"]:
        lines.append(style("Nothing is late.", fg="green"))
    lines += [*_interventions(report), *_waiting(report), *_deadlines(report), *_freshness(report)]
    return lines


def _interventions(report: dict[str, Any]) -> list[str]:
    """What is paused or held, and what amnesty has to do with it."""
    lines = []
    for pause in report["paused"]:
        said = f"PAUSED {pause['name']} since {span(pause['for_s'])}, by {pause['actor']}: {pause['reason']}"
        lines.append(style(said, fg="red" if pause["too_long"] else "yellow", bold=pause["too_long"]))
    for one in report["holds"]:
        until = f"until {instant(one['until'])}" if one["until"] else "until it is resumed"
        said = f"HELD  {one['scope']} (hold {one['id']}) since {instant(one['since'])} {until}, by {one['by']}: {one['reason']}"
        lines.append(style(said, fg="red" if one["too_long"] else "yellow", bold=one["too_long"]))
    amnesty = report["amnesty"]
    if amnesty["unwarned"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in amnesty["unwarned"].items())
        lines.append(style(f"Not warned yet, though their reminder is due: {counted}. They are warned first.", fg="yellow"))
    if amnesty["spared"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in amnesty["spared"].items())
        lines.append(f"Running beyond their date, because they had to be warned first: {counted}.")
    if report["cannot_start"]:
        counted = ", ".join(f"{count} {kind}" for kind, count in report["cannot_start"].items())
        lines.append(style(f'Clocks that cannot start, for want of a date: {counted} ("returnclock problems").', fg="yellow"))
    return lines


def _waiting(report: dict[str, Any]) -> list[str]:
    """The backlog: changes, notices and rows with problems, each with what to type next."""
    lines = []
    waiting, notices = report["unstamped_changes"], report["notices"]
    if waiting["count"]:
        late = waiting["oldest_s"] > report["late_limit_s"]
        said = f"Changes to be stamped: {up_to(waiting['count'])}, the oldest for {span(waiting['oldest_s'])}."
        lines.append(style(said, fg="red" if late else None))
    unsent = notices.get("queued", 0) + notices.get("sending", 0)
    overdue = f", the oldest due for {span(report['oldest_notice_s'])}" if report["oldest_notice_s"] >= 1 else ""
    lines.append(f"Notices to be sent: {up_to(unsent)}{overdue}.")
    if notices.get("dead"):
        said = f'Dead notices: {up_to(notices["dead"])} ("returnclock outbox list --state dead" lists them).'
        lines.append(style(said, fg="red"))
        lines += [f"  {each['count']:>6}  {each['error']}" for each in report["dead_notices"][:_MOST_ERRORS]]
    if report["problems"]:
        said = f'Rows with problems: {up_to(report["problems"])} ("returnclock problems" lists them).'
        lines.append(style(said, fg="yellow"))
    return lines


def _deadlines(report: dict[str, Any]) -> list[str]:
    coming, settled = report["due_within_an_hour"], report["settled_last_day"]
    lines = ["Due within the hour: " + (", ".join(f"{up_to(n)} {kind}" for kind, n in coming.items()) or "none") + "."]
    kinds = sorted({*report["deadlines"], *settled})
    if kinds:
        lines.append("Deadlines, open now and settled in the last 24 hours:")
    for kind in kinds:
        states = report["deadlines"].get(kind, {})
        parts = [f"{states.get('running', 0)} running"]
        parts += [style(f"{states['held']} held", fg="yellow")] if states.get("held") else []
        parts += [f"{number} {state}" for state, number in sorted(settled.get(kind, {}).items())]
        lines.append(f"  {kind:24} " + ", ".join(parts))
    return lines


def _freshness(report: dict[str, Any]) -> list[str]:
    lines = ["Tasks, when each last succeeded:"]
    for task, ran in report["tasks"].items():
        ago = f"{span(ran['age_s'])} ago" if ran["age_s"] is not None else "never"
        late = f", and should every {span(ran['expected_every_s'])}" if ran["stale"] else ""
        lines.append(style(f"  {task:24} {ago}{late}", fg="red" if ran["stale"] else None))
        if _is_failing(ran):
            error = str(ran["error"] or "").strip().splitlines() or ["no error was kept"]
            lines.append(style(f"  {'':24} failed {instant(ran['failed_at'])}: {error[0]}", fg="red"))
    if all(ran["stale"] for ran in report["tasks"].values()):
        lines.append(
            style('Nothing has run for long. Are worker and beat up? "returnclock run TASK" works without them.', fg="red")
        )
    return lines
