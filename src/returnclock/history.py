"""History: the runs that were, and what went wrong in them. Read-only. Imports tables and likeness."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select

from returnclock.likeness import LONGEST_ERROR, alike
from returnclock.tables.clock import has_failed, runs


def chosen_runs(
    connection: Connection,
    *,
    task: str | None = None,
    state: str | None = None,
    trigger: str | None = None,
    since: datetime | None = None,
    idle: bool = False,
    limit: int,
) -> list[dict[str, Any]]:
    """Runs, the newest first; ``idle`` also those that found nothing to do."""
    chosen = select(runs).where(*_conditions(task, trigger, since))
    if state == "failed":
        chosen = chosen.where(has_failed)
    elif state:
        chosen = chosen.where(runs.c.state == state)
    if not idle:
        chosen = chosen.where(or_(runs.c.idle.is_(None), runs.c.idle.is_(False)))
    return [dict(row._mapping) for row in connection.execute(chosen.order_by(runs.c.id.desc()).limit(limit))]


def has_run(connection: Connection, task: str) -> bool:
    """Whether a task has ever run, such as one of a kind that is not installed any more."""
    return connection.execute(select(runs.c.id).where(runs.c.task == task).limit(1)).first() is not None


def failures_by_error(
    connection: Connection, *, task: str | None = None, trigger: str | None = None, since: datetime | None = None
) -> list[dict[str, Any]]:
    """The failed runs in groups of the same error, the latest group first.

    An outage of days leaves a failure for every tick: they are read as a stream, and only the groups are kept.
    """
    columns = (runs.c.id, runs.c.task, runs.c.started_at, runs.c.error)
    chosen = select(*columns).where(has_failed, *_conditions(task, trigger, since)).order_by(runs.c.id)
    groups: dict[str, dict[str, Any]] = {}
    for row in connection.execution_options(stream_results=True, yield_per=1000).execute(chosen):
        error = row.error or "no error was kept"
        group = groups.setdefault(alike(error), {"count": 0, "first_at": row.started_at, "tasks": set()})
        group["count"] += 1
        group["tasks"].add(row.task)
        group |= {"last_at": row.started_at, "last_run_id": row.id, "example": error.strip()[:LONGEST_ERROR]}
    found = [{"error": error, **group, "tasks": sorted(group["tasks"])} for error, group in groups.items()]
    return sorted(found, key=lambda group: group["last_run_id"], reverse=True)


def _conditions(task: str | None, trigger: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if task:
        wanted.append(runs.c.task == task)
    if trigger:
        wanted.append(runs.c.trigger == trigger)
    if since:
        wanted.append(runs.c.started_at >= since)
    return wanted
