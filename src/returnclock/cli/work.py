"""``returnclock run TASK``: performs a task here, or has a worker perform it."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import Any

import click

from returnclock.cli.output import json_option, print_json, span
from returnclock.cli.typed import AT_LEAST_ONE, moment_option
from returnclock.errors import BadUsage


@click.command()
@click.argument("task")
@click.option("--dry-run", is_flag=True, help="Count what would happen; change nothing.")
@moment_option("--at", help="With --dry-run: as if it were then (ISO 8601, UTC unless it says).")
@click.option("--limit", type=AT_LEAST_ONE, help="Take at most this many rows in hand.")
@click.option("--queue", is_flag=True, help="Have a worker do it, and wait for its result.")
@json_option
def run(task: str, dry_run: bool, at: datetime | None, limit: int | None, queue: bool, as_json: bool) -> None:
    """Run TASK now: stamp, escalate-disputes, expire-return-windows, flag-late-refunds, close-stale-returns,
    send-reminders, deliver-mail, reconcile, audit, purge, or a sweep of your own kinds.

    Safe at any moment and any number of times: a deadline fires once, whoever asks.
    """
    if at and not dry_run:
        raise BadUsage(reason="--at works only with --dry-run: nothing may really happen at another time than now.")
    result = _queued(task, dry_run, at, limit) if queue else _here(task, dry_run, at, limit)
    if as_json:
        print_json(result)
    else:
        click.echo(_told(result))


def _here(task: str, dry_run: bool, at: datetime | None, limit: int | None) -> dict[str, Any]:
    from returnclock.jobs import job_for
    from returnclock.runs import perform
    from returnclock.schema import require_upgraded
    from returnclock.wiring import wire

    wiring = wire(only_looks=True)
    job_for(wiring, task)
    require_upgraded(wiring.engine)
    return perform(wiring, task, trigger="cli", actor=login(), dry_run=dry_run, at=at, limit=limit)


def _queued(task: str, dry_run: bool, at: datetime | None, limit: int | None) -> dict[str, Any]:
    from returnclock.jobs import job_for
    from returnclock.tasks import wiring
    from returnclock.tasks.request import TAKEN_WITHIN_S, ask_worker

    job_for(wiring(), task)
    asked = {"limit": limit, "dry_run": dry_run, "at": at.isoformat() if at else None}
    sent = False

    def waits() -> None:
        nonlocal sent
        sent = True
        click.echo(f"Sent. Waiting for a worker to take it, {TAKEN_WITHIN_S} s at most.", err=True)

    try:
        return ask_worker(task, asked, login(), waits)
    except KeyboardInterrupt:
        if sent:
            stays = f"a worker may still take {task}, until the request expires {TAKEN_WITHIN_S} s after it was sent"
            click.echo(f"\nNot waited for any longer: {stays}.", err=True)
        raise


def login() -> str:
    """Who types the command, for the ledger and the record of runs."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _told(result: dict[str, Any]) -> str:
    would = "would change" if result.get("dry_run") else "changed"
    lines = [
        f"{result['task']}: {would} {result['changed']} of {result['examined']} examined, "
        f"queued {result['queued']} notice(s), skipped {result['skipped']}, {result['problems']} problem(s), "
        f"{result['backlog']} still waiting; {result['seconds']:.2f} s."
    ]
    if result["max_lateness_s"]:
        lines.append(f"Latest: {span(result['max_lateness_s'])} after it was due.")
    for kind, counted in result["by_kind"].items():
        lines.append(f"  {kind}: " + ", ".join(f"{name} {_number(value)}" for name, value in counted.items()))
    return "\n".join(lines)


def _number(value: float | dict[str, float]) -> str:
    return " ".join(f"{name} {of:.12g}" for name, of in value.items()) if isinstance(value, dict) else f"{value:.12g}"


COMMANDS = (run,)
