"""Holds: the spans in which time stands still for the deadlines of a scope; what they do to deadlines is in `standstill`.

A hold is a row, so that it catches deadlines that come later; the sweep and the reminders ask for it in their claims, so
that nothing happens under it even before a deadline is marked. Imports scopes and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, not_, or_, select, true

from returnclock.kinds import DeadlineKind
from returnclock.scopes import Scope, any_of
from returnclock.tables.clock import deadlines
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among


@dataclass(frozen=True)
class Hold:
    """One row of ``clock_holds``."""

    id: int
    scope: Scope
    starts_at: datetime
    ends_at: datetime | None
    reason: str
    actor: str
    created_at: datetime
    caught_at: datetime | None
    closed_at: datetime | None

    @property
    def reaches_back(self) -> bool:
        """Whether it began before it was ordered, and so perhaps before another hold by which deadlines are held already."""
        return self.starts_at < self.created_at

    def is_over(self, now: datetime) -> bool:
        """Whether its span has ended."""
        return self.ends_at is not None and self.ends_at <= now


def begun(now: Any) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a hold has begun at an instant, or at a parameter that gets one, and that it is not done."""
    return holds.c.done_at.is_(None), holds.c.starts_at <= now


def unfinished(connection: Connection, now: datetime, *, to_come: bool = False) -> list[Hold]:
    """The holds that have begun, or are ``to_come``, and whose last deadline does not run again yet.

    Those that began first come first: what is covered by several is held from the first on.
    """
    chosen = select(holds).where(*((holds.c.done_at.is_(None),) if to_come else begun(now)))
    chosen = chosen.order_by(holds.c.starts_at, holds.c.id)
    return [read_hold(row) for row in connection.execute(chosen)]


def read_hold(row: Row[Any]) -> Hold:
    """The hold that a row of ``clock_holds`` keeps."""
    scope = Scope.from_document(row.scope)
    times = (row.created_at, row.caught_at, row.closed_at)
    return Hold(row.id, scope, row.starts_at, row.ends_at, row.reason, row.actor, *times)


def standing(connection: Connection, now: datetime) -> list[Hold]:
    """The holds that bind deadlines: begun, and not yet closed by whoever applied their end."""
    return [hold for hold in unfinished(connection, now) if hold.closed_at is None]


def not_held(kind: DeadlineKind, binding: Sequence[Hold]) -> ColumnElement[bool]:
    """The condition that none of the holds covers a deadline of the kind."""
    return not_(any_of(kind, [hold.scope for hold in binding])) if binding else true()


def binds(kind: DeadlineKind, hold: Hold) -> Select[Any]:
    """The ids of the deadlines of a kind that the hold covers; one that ended covers none that started after it."""
    chosen = select(deadlines.c.id).join(kind.subject, kind.binds()).where(hold.scope.covers(kind))
    return chosen if hold.ends_at is None else chosen.where(deadlines.c.starts_at < hold.ends_at)


def covered(connection: Connection, kind: DeadlineKind, binding: Sequence[Hold], ids: Sequence[int]) -> set[int]:
    """Those of the deadlines of a kind that any of the holds covers."""
    found: set[int] = set()
    for hold in binding if ids else ():
        if hold.scope.means(kind):
            found.update(connection.execute(binds(kind, hold).where(among(deadlines.c.id, ids))).scalars())
    return found


class Span(NamedTuple):
    """From when to when holds cover a deadline, and the first of them; None where no hold is known to."""

    start: datetime
    end: datetime
    hold: Hold | None = None


def spans_under(
    connection: Connection, kind: DeadlineKind, covering: Sequence[Hold], ids: Sequence[int], now: datetime
) -> dict[int, list[Span]]:
    """The spans up to now of those of the holds that cover each of the deadlines; none for one that has left their scopes."""
    found: dict[int, list[Span]] = {one: [] for one in ids}
    for hold in covering:
        span = Span(hold.starts_at, min(hold.ends_at or now, now), hold)
        for one in covered(connection, kind, [hold], ids):
            found[one].append(span)
    return found


def overlapping(connection: Connection, start: datetime, end: datetime) -> list[Hold]:
    """The holds whose spans overlap one, done or not; those that began first come first."""
    chosen = select(holds).where(holds.c.starts_at < end, or_(holds.c.ends_at.is_(None), holds.c.ends_at > start))
    return [read_hold(row) for row in connection.execute(chosen.order_by(holds.c.starts_at, holds.c.id))]


def joined(spans: Sequence[Span], since: datetime) -> list[Span]:
    """The spans behind a moment, those that touch as one; the first first."""
    found: list[Span] = []
    for span in sorted(spans, key=attrgetter("start", "end")):
        if span.end <= since:
            continue
        if found and span.start <= found[-1].end:
            found[-1] = found[-1]._replace(end=max(found[-1].end, span.end))
        else:
            found.append(span._replace(start=max(span.start, since)))
    return found
