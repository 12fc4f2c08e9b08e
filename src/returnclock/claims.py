"""Claims: finds what is due of a kind, and locks it with its subject, in a time that does not grow with the tables.

In two steps: the first running deadlines in the order of their moment, by the index alone; then of these the ones that are
still true, each looked up by key. As one join PostgreSQL planned to read the whole table of subjects, as soon as there was
history: it takes the running deadlines for as often due as the settled ones, which all are. A tick with nothing to do took
half a second in front of a million deadlines. Imports kinds and tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.types import NullType

from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import deadlines, is_running
from returnclock.tables.expressions import beyond
from returnclock.tables.keys import among
from returnclock.tables.types import read_instant

Moment = Column[Any]  # deadlines.c.due_at or deadlines.c.remind_at
Condition = ColumnElement[bool]

COUNTED = 10_000  # deadlines of a kind; to count on through a million costs as much as twenty batches, after every run
_LOOKED_AT = 1000  # deadlines of a kind that a tick looks at to see whether there is work


@dataclass
class Place:
    """How far one run has come through what is due of a kind, as (moment, id): ``claimed``, and committed, ``after``.

    The next batch begins there and not at the beginning of the index. What has fired stands there until it is cleaned away,
    which any long transaction of a front end puts off: each batch would read again all that were fired before it.
    """

    claimed: tuple[datetime, int] | None = None
    after: tuple[datetime, int] | None = None


def claim(
    connection: Connection,
    kind: DeadlineKind,
    moment: Moment,
    now: datetime,
    size: int,
    place: Place,
    allowed: Condition,
    *columns: Any,
) -> tuple[int, Sequence[Row[Any]]]:
    """Lock the next deadlines whose moment has come, and the subjects of those that are still true and ``allowed``.

    What a front end or another worker holds is passed over, and left for the next tick.

    Returns:
        how many deadlines were looked at, fewer than ``size`` at the end; and of those that are true a row each, with id,
        subject_id, due_at and the other columns.
    """
    # The moments as the driver gives them: of a thousand only the last is looked at.
    first = _first(kind, moment, now, size, place.after)
    first = first.with_only_columns(deadlines.c.id, type_coerce(moment, NullType()).label("moment"))
    found = connection.execute(first.with_for_update(skip_locked=True)).all()
    place.claimed = _place(found[-1]) if found else place.after
    if not found:
        return 0, ()
    of = None if connection.dialect.name in ("mysql", "mariadb") else [kind.subject]
    true = still_due(kind, moment, now, [row.id for row in found], *columns, allowed=allowed)
    return len(found), connection.execute(true.with_for_update(skip_locked=True, of=of)).all()


def _place(row: Row[Any]) -> tuple[datetime, int]:
    moment = read_instant(row.moment)
    assert isinstance(moment, datetime)
    return moment, row.id


def still_due(
    kind: DeadlineKind, moment: Moment, now: datetime, ids: Sequence[int], *columns: Any, allowed: Condition | None = None
) -> Select[Any]:
    """Those of the deadlines whose moment has come and that are still true and ``allowed``, in the order of their moment.

    columns, allowed: expressions over ``clock_deadlines`` and the subject.
    """
    # The limit keeps the two apart: PostgreSQL would look for the ids in the index of what is due, and read all of that.
    kept = select(deadlines).where(among(deadlines.c.id, ids)).limit(len(ids)).subquery("kept")
    over_kept = ClauseAdapter(kept).traverse
    chosen = _true(kind, kept, [over_kept(column) for column in columns]).where(kept.c[moment.key] <= now)
    chosen = chosen if allowed is None else chosen.where(over_kept(allowed))
    return chosen.order_by(kept.c[moment.key], kept.c.id)


def is_any_due(
    connection: Connection,
    kinds: Sequence[DeadlineKind],
    moment: Moment,
    now: datetime,
    allowed: Callable[[DeadlineKind], Condition],
) -> bool:
    """Whether there may be anything to claim: also where none of the first is true and more stand behind them."""
    # Asked of all kinds at once and without their subjects: it is the whole of an idle tick. Each in the order of the index,
    # or PostgreSQL reads the table from its beginning, to come upon one soon where there is none.
    one_each = [_first(kind, moment, now, 1, None).subquery() for kind in kinds]
    if not one_each:  # a sweep whose kinds are all off
        return False
    if connection.execute(union_all(*(select(one.c.id) for one in one_each))).first() is None:
        return False
    for kind in kinds:
        first = connection.execute(_first(kind, moment, now, _LOOKED_AT, None)).all()
        true = still_due(kind, moment, now, [row.id for row in first], allowed=allowed(kind)).limit(1)
        if len(first) == _LOOKED_AT or (first and connection.execute(true).first()):
            return True
    return False


def count_due(connection: Connection, kind: DeadlineKind, moment: Moment, now: datetime, most: int = 0) -> Row[Any]:
    """Count the deadlines whose moment has come and that are still true, among the first ``most`` (`COUNTED` if 0).

    Returns:
        ``number``, and the ``oldest`` moment among them or None.
    """
    first = _first(kind, moment, now, most or COUNTED, None).subquery()
    counting = select(func.count().label("number"), func.min(first.c.moment).label("oldest"))
    return connection.execute(counting.join_from(first, kind.subject, kind.still_true(first))).one()


def all_due(kind: DeadlineKind, moment: Moment, now: datetime, *columns: Any) -> Select[Any]:
    """All whose moment has come and that are still true, in the order of their moment; it may take its time."""
    return all_true(kind, *columns).where(moment <= now).order_by(moment, deadlines.c.id)


def all_true(kind: DeadlineKind, *columns: Any) -> Select[Any]:
    """All running deadlines of the kind that are still true, due or not."""
    return _true(kind, deadlines, columns)


def _true(kind: DeadlineKind, kept: FromClause, columns: Sequence[Any]) -> Select[Any]:
    chosen = select(kept.c.id, kept.c.subject_id, kept.c.due_at, *columns).join_from(kept, kind.subject, kind.still_true(kept))
    return chosen.where(kept.c.kind == kind.name, kept.c.state == literal_column("'running'"))


def _first(kind: DeadlineKind, moment: Moment, now: datetime, size: int, after: tuple[datetime, int] | None) -> Select[Any]:
    chosen = (
        select(deadlines.c.id, deadlines.c.subject_id, deadlines.c.starts_at, moment.label("moment"))
        .where(deadlines.c.kind == kind.name, is_running, moment <= now)
        .order_by(moment, deadlines.c.id)
        .limit(size)
    )
    return chosen if after is None else chosen.where(beyond((moment, deadlines.c.id), after))
