"""History: the runs that were, and what went wrong in them. Read-only. Imports tables."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select

from returnclock.tables.clock import has_failed, runs

LONGEST_ERROR = 300

# What differs between two faults that are the same: the longer forms first, or their parts would be taken one by one.
_VARYING = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}            # a UUID
    | \b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)? # a date or time
    | 0x[0-9a-f]+                                                            # an address in memory
    | '[^'\n]{0,200}' | "[^"\n]{0,200}"                                      # whatever was quoted
    | \b[0-9a-f]*\d[0-9a-f]{7,}\b                                            # a digest
    | \d+(?:[.:]\d+)*                                                        # a number, a duration, an address
    """,
    re.VERBOSE | re.IGNORECASE,
)


def alike(error: str) -> str:
    """What is left of an error's first line when all that varies is taken out: the same for the same fault."""
    lines = error.strip().splitlines()
    return _VARYING.sub("…", lines[0][:LONGEST_ERROR]) if lines else ""


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
