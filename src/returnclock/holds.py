"""Holds: the spans in which time stands still for the deadlines of a scope; what they do to deadlines is in `standstill`.

A hold is a row, so that it catches deadlines that come later; the sweep and the reminders ask for it in their claims, so
that nothing happens under it even before a deadline is marked. Imports scopes and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, not_, select, true

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


def until_when(
    connection: Connection, kind: DeadlineKind, unfinished: Sequence[Hold], ids: Sequence[int], now: datetime
) -> dict[int, datetime]:
    """Until when each of the deadlines stands still, if it runs again now: no longer than the last hold of it lasted.

    One that no hold covers any more, such as that of a row which has left its hold's scope, stood still until now.
    """
    last: dict[int, datetime] = {}
    for hold in unfinished:
        end = min(hold.ends_at or now, now)
        for one in covered(connection, kind, [hold], ids):
            last[one] = max(last.get(one, end), end)
    return {one: last.get(one, now) for one in ids}
