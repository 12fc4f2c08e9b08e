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
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Integer,
    Row,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.sql.elements import True_
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.types import NullType

from returnclock.batches import COUNTED
from returnclock.database import all_rows
from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import deadlines, is_running
from returnclock.tables.expressions import beyond
from returnclock.tables.keys import Given, among, keys_of
from returnclock.tables.types import read_instant

Moment = Column[Any]  # deadlines.c.due_at or deadlines.c.remind_at
Condition = ColumnElement[bool]

_LOOKED_AT = 1000  # deadlines of a kind that a tick looks at to see whether there is work


@dataclass
class Progress:
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
    progress: Progress,
    allowed: Condition,
    columns: tuple[Any, ...] = (),
) -> tuple[int, Sequence[Row[Any]]]:
    """Lock the next deadlines whose moment has come, and the subjects of those that are still true and ``allowed``.

    What a front end or another worker holds is passed over, and left for the next tick.

    Returns:
        how many deadlines were looked at, fewer than ``size`` at the end; and of those that are true a row each, with id,
        subject_id, due_at and the other columns.
    """
    after = progress.after
    found = connection.execute(_locking_first(moment, after is not None), _of_first(kind, now, size, after)).all()
    progress.claimed = _position(found[-1]) if found else after
    if not found:
        return 0, ()
    return len(found), still_due(connection, kind, moment, now, found, columns, allowed=allowed, locks=True)


@lru_cache
def _locking_first(moment: Moment, goes_on: bool) -> Select[Any]:
    """Built once, as all that a batch asks: to build such a statement takes Python as long as PostgreSQL takes to answer it."""
    after = (bindparam("after_moment", type_=moment.type), bindparam("after_id", type_=deadlines.c.id.type))
    kind, now = bindparam("kind", type_=deadlines.c.kind.type), bindparam("now", type_=moment.type)
    first = _first(kind, moment, now, bindparam("size", type_=Integer()), after if goes_on else None)
    # The moments as the driver gives them: of a thousand only the last is looked at.
    moment_as_it_is = type_coerce(moment, NullType()).label("moment")
    first = first.with_only_columns(deadlines.c.id, deadlines.c.subject_id, moment_as_it_is)
    return first.with_for_update(skip_locked=True)


def _of_first(kind: DeadlineKind, now: datetime, size: int, after: tuple[datetime, int] | None) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": kind.name, "now": now, "size": size}
    return given | ({"after_moment": after[0], "after_id": after[1]} if after else {})


def _position(row: Row[Any]) -> tuple[datetime, int]:
    moment = read_instant(row.moment)
    assert isinstance(moment, datetime)
    return moment, row.id


def still_due(
    connection: Connection,
    kind: DeadlineKind,
    moment: Moment,
    now: datetime,
    found: Sequence[Row[Any]],
    columns: tuple[Any, ...] = (),
    *,
    allowed: Condition | None = None,
    locks: bool = False,
) -> Sequence[Row[Any]]:
    """Those of the deadlines whose moment has come and that are still true and ``allowed``, in the order of their moment.

    found: rows with the deadlines' id and subject_id. columns, allowed: expressions over ``clock_deadlines`` and the subject.
    locks: whether the subjects are locked, and those left out that somebody else holds.
    """
    chosen, over_kept = _among_kept(kind, moment, columns)
    given: dict[str, Any] = {"now": now, "ids": [row.id for row in found], "number": len(found)}
    if connection.dialect.name == "postgresql":
        # By their keys as well: it would read all subjects of a small table, and of a large one as often as its statistics err.
        chosen = chosen.where(among(kind.subject_key, Given("keys")))
        given["keys"] = keys_of([row.subject_id for row in found], kind.subject_key)
    if allowed is not None and not isinstance(allowed, True_):
        chosen = chosen.where(over_kept(allowed))
    if locks:
        of = None if connection.dialect.name in ("mysql", "mariadb") else [kind.subject]
        chosen = chosen.with_for_update(skip_locked=True, of=of)
    return all_rows(connection, chosen, given)


@lru_cache(maxsize=256)
def _among_kept(
    kind: DeadlineKind, moment: Moment, columns: tuple[Any, ...]
) -> tuple[Select[Any], Callable[[ColumnElement[Any]], ColumnElement[Any]]]:
    # The limit keeps the two apart: PostgreSQL would look for the ids in the index of what is due, and read all of that.
    given = select(deadlines).where(among(deadlines.c.id, Given("ids")))
    kept = given.limit(bindparam("number", type_=Integer())).subquery("kept")
    over_kept = ClauseAdapter(kept).traverse
    chosen = _true(kind, kept, [over_kept(column) for column in columns])
    chosen = chosen.where(kept.c[moment.key] <= bindparam("now", type_=moment.type))
    return chosen.order_by(kept.c[moment.key], kept.c.id), over_kept


def still_true(connection: Connection, kind: DeadlineKind, found: Sequence[Row[Any]]) -> set[int]:
    """The ids of those of the deadlines, in whatever state, whose row runs from their start; found: with id and subject_id.

    PostgreSQL looks them up by their ids first, and the subjects by their keys. Before it has statistics it would otherwise
    read for each subject of the table all deadlines of the same start: minutes for four thousand.
    """
    columns = (deadlines.c.id, deadlines.c.subject_id, deadlines.c.starts_at)
    given = select(*columns).where(among(deadlines.c.id, [row.id for row in found])).cte("kept")
    kept = given.prefix_with("MATERIALIZED", dialect="postgresql")
    true = select(kept.c.id).join_from(kept, kind.subject, kind.still_true(kept))
    if connection.dialect.name == "postgresql":
        true = true.where(among(kind.subject_key, keys_of([row.subject_id for row in found], kind.subject_key)))
    return set(connection.execute(true).scalars())


def is_any_due(
    connection: Connection,
    kinds: Sequence[DeadlineKind],
    moment: Moment,
    now: datetime,
    allowed: Callable[[DeadlineKind], Condition],
) -> bool:
    """Whether there may be anything to claim: also where none of the first is true and more stand behind them."""
    if not kinds:  # a sweep whose kinds are all off
        return False
    if connection.execute(_one_of_each(tuple(kind.name for kind in kinds), moment), {"now": now}).first() is None:
        return False
    for kind in kinds:
        first = connection.execute(_first(kind.name, moment, now, _LOOKED_AT, None)).all()
        if len(first) == _LOOKED_AT or (first and still_due(connection, kind, moment, now, first, allowed=allowed(kind))):
            return True
    return False


@lru_cache
def _one_of_each(kinds: tuple[str, ...], moment: Moment) -> CompoundSelect[Any]:
    # Asked of all kinds at once and without their subjects: it is the whole of an idle tick. Each in the order of the index,
    # or PostgreSQL reads the table from its beginning, to come upon one soon where there is none.
    now = bindparam("now", type_=moment.type)
    one_each = [_first(literal_column(f"'{kind}'"), moment, now, literal_column("1"), None).subquery() for kind in kinds]
    return union_all(*(select(one.c.id) for one in one_each))


def count_due(connection: Connection, kind: DeadlineKind, moment: Moment, now: datetime, most: int = 0) -> Row[Any]:
    """Count the deadlines whose moment has come and that are still true, among the first ``most`` (`COUNTED` if 0).

    Returns:
        ``number``, and the ``oldest`` moment among them or None.
    """
    first = _first(kind.name, moment, now, most or COUNTED, None).subquery()
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


def _first(kind: Any, moment: Moment, now: Any, size: Any, after: tuple[Any, Any] | None) -> Select[Any]:
    """The first deadlines in the order of their moment; what it is given are values, or parameters that get theirs later."""
    chosen = (
        select(deadlines.c.id, deadlines.c.subject_id, deadlines.c.starts_at, moment.label("moment"))
        .where(deadlines.c.kind == kind, is_running, moment <= now)
        .order_by(moment, deadlines.c.id)
        .limit(size)
    )
    return chosen if after is None else chosen.where(beyond((moment, deadlines.c.id), after))
