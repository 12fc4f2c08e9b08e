"""Why the clock of a row cannot start: its order or a date is missing, or the date is unreadable, to come or long past.

Imports faults and kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

from returnclock.faults import Fault
from returnclock.kinds import DeadlineKind
from returnclock.tables.types import Unreadable

# A front end's clock may run ahead of the database's; beyond that a date in the future is a mistake, such as local time.
CLOCK_SKEW = timedelta(minutes=5)
# Before there were marketplaces: what an unset date turns into in most languages (1970, 1900, year 1).
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# The faults that keep a clock from starting.
NO_START = ("overdue_start", "missing_date", "unreadable_date", "future_date", "ancient_date")


def anchor_fault(kind: DeadlineKind, row: Any, now: datetime) -> Fault | None:
    """Why a running row's clock cannot start, if it cannot: no date, an unreadable one, one in the future or long past."""
    starts_at, *anchors = _dates(len(kind.anchors))(row)
    if Unreadable not in map(type, anchors) and starts_at is not None and EARLIEST <= starts_at <= now + CLOCK_SKEW:
        return None

    def fault(code: str, problem: str) -> Fault:
        return Fault(kind.subject.name, row.subject_id, code, problem, kind.name)

    columns = " or ".join(kind.anchor_places)
    of = f"{kind.subject.name} {row.subject_id}"
    for name, written in zip(kind.anchor_places, anchors, strict=True):
        if isinstance(written, Unreadable):
            return fault(
                "unreadable_date",
                f'{of}: {name} is "{written}", which is not a date. Write ISO 8601 in UTC, such as 2026-11-27 17:40:00. '
                f"Until then {kind.title} has no deadline.",
            )
    if row.starts_at is None:
        return fault("missing_date", f"{of}: {kind.title} has no deadline, because {columns} is empty. Write the date.")
    by_fallback = bool(kind.fallback) and row.anchor_0 is None
    if row.starts_at > now + CLOCK_SKEW and not by_fallback:
        return fault(
            "future_date",
            f"{of}: {columns} is {row.starts_at:%Y-%m-%d %H:%M} UTC, in the future. Nothing has happened yet that could start "
            f"{kind.title}; mend the date (is it local time?), or it starts by itself when the moment comes.",
        )
    if row.starts_at < EARLIEST:
        return fault(
            "ancient_date",
            f"{of}: {columns} is {row.starts_at:%Y-%m-%d}, as an unset date often is. Write the real date; "
            f"until then {kind.title} has no deadline.",
        )
    return None


@cache
def _dates(anchors: int) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter("starts_at", *(f"anchor_{number}" for number in range(anchors)))


def start_fault(kind: DeadlineKind, row: Any, expected_before: datetime) -> Fault | None:
    """That a row's clock should long have started and cannot, because the date that starts it was never written."""
    expected = row.start_expected_at
    if expected is None or isinstance(expected, Unreadable) or not EARLIEST <= expected < expected_before:
        return None
    columns = " or ".join(kind.anchor_places)
    said = (
        f"{kind.subject.name} {row.subject_id} was expected by {expected:%Y-%m-%d} and has no {columns}. If it has "
        f"happened, write the date: until then {kind.title} is not counted."
    )
    return Fault(kind.subject.name, row.subject_id, "overdue_start", said, kind.name)


def order_fault(kind: DeadlineKind, row: Any) -> Fault | None:
    """That a row's order does not exist, so that neither its parties nor its calendar are known."""
    if kind.order_id is None or row.order_id is not None:
        return None
    of = f"{kind.subject.name} {row.subject_id}"
    named = "has no order_id" if row.written_order_id is None else f"names order {row.written_order_id}, which does not exist"
    return Fault(
        kind.subject.name,
        row.subject_id,
        "no_order",
        f"{of} {named}. Insert the order or mend order_id; until then it gets no new deadline.",
    )
