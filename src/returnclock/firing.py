"""Firing: lets deadlines take effect that are claimed. Changes their subjects, settles them, records and queues.

Every statement restates the conditions, and the counts must agree or the whole transaction rolls back. The statements of a
kind are built once: to build them takes Python as long as the database takes to change a hundred rows. Imports guards,
outbox and ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Row,
    Select,
    Update,
    bindparam,
    func,
    literal_column,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from returnclock import ledger, outbox
from returnclock.errors import CountsDisagree
from returnclock.guards import unwarned
from returnclock.kinds import DeadlineKind, Value
from returnclock.ledger import Hand
from returnclock.tables.clock import deadlines
from returnclock.tables.keys import Given, among, as_text, keys_of
from returnclock.tables.types import plain
from returnclock.unnoted import unnoted

DigestHour = Callable[[datetime], datetime]
_Told = tuple[dict[str, Any] | None, list[int]]  # the detail of an event, and of which deadlines it is told

_NOW = bindparam("fired_now", type_=deadlines.c.fired_at.type)


@lru_cache(maxsize=256)
def before_firing(kind: DeadlineKind) -> tuple[Any, ...]:
    """What firing needs to know of each: whether its party was warned, and what it would change of the subject as it is."""
    # As the driver gives them: they are only compared and kept, and a thousand conversions cost more than they say.
    was = (type_coerce(kind.subject.c[name], NullType()).label(f"was_{name}") for name in kind.effect)
    return (unwarned().label("unwarned"), *was)


def fire(
    connection: Connection,
    kind: DeadlineKind,
    hand: Hand,
    now: datetime,
    ready: Sequence[Row[Any]],
    *,
    digest_at: DigestHour | None = None,
    by_hand: Mapping[str, Any] | None = None,
    noted: bool = True,
) -> int:
    """Let deadlines take effect that are claimed: change the subjects, settle, record, queue; all counts must agree.

    ready: rows with id, subject_id and the columns of `before_firing` at the end. by_hand: what the ledger says of an operator
    who has them take effect now, due or not. noted: whether the change is to be noted for stamp, because another kind heeds it.

    Returns:
        how many notices were queued.

    Raises:
        CountsDisagree: the transaction must be rolled back.
        IntegrityError: so must it; a notice of them is queued already.
    """
    ids = [row.id for row in ready]
    notices = kind.notices_for("outcome")
    given = outbox.moments(now, digest_at(now) if digest_at else None) | {"of_ids": ids, "fired_now": now}
    given["of_keys"] = keys_of([row.subject_id for row in ready], kind.subject_key)
    told = _told(kind, ready, by_hand or {})
    with nullcontext() if noted else unnoted(connection):
        if connection.dialect.name == "postgresql" and len(told) == 1:
            ((detail, _),) = told
            enacting = _at_once(kind, by_hand is not None, detail is not None)
            changed, settled, queued = connection.execute(enacting, given | ledger.told(hand, now, kind.event, detail)).one()
        else:
            changed, settled, queued = _one_by_one(connection, kind, by_hand is not None, given)
            for detail, of_ids in told:
                ledger.record(connection, hand, now, kind.event, of_ids, detail)
    _agree(kind, len(ready) if kind.effect else 0, changed, kind.subject.name)
    _agree(kind, len(ready), settled, deadlines.name)
    _agree(kind, len(ready) * len(notices), queued, "clock_outbox")
    return int(queued)


def _told(kind: DeadlineKind, ready: Sequence[Row[Any]], more: Mapping[str, Any]) -> list[_Told]:
    """What their events say, each of what the subject was before, and of which it is said; nearly all were the same."""
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in ready:
        alike[tuple(row[-len(kind.effect) :]) if kind.effect else ()].append(row[0])
    told: list[_Told] = []
    for values, ids in alike.items():
        was = {name: plain(value) for name, value in zip(kind.effect, values, strict=True) if value is not None}
        detail = {**more, "was_row": was} if kind.effect else dict(more)
        told.append((detail or None, ids))
    return told


def _one_by_one(connection: Connection, kind: DeadlineKind, ahead: bool, given: Mapping[str, Any]) -> Sequence[int]:
    """Change the subjects, settle the deadlines and queue the notices; returns how many of each."""
    counted = {"preserve_rowcount": True}
    steps = (_changing(kind, ahead), _settling(ahead), _queueing(kind))
    return [0 if one is None else connection.execute(one, given, execution_options=counted).rowcount for one in steps]


@lru_cache(maxsize=256)
def _at_once(kind: DeadlineKind, ahead: bool, with_detail: bool) -> Select[Any]:
    """All of it and the events as one statement: each would otherwise look its rows up again, and wait for an answer."""
    one: ColumnElement[int] = literal_column("1")
    columns = (deadlines.c.id, deadlines.c.kind, deadlines.c.subject_id, deadlines.c.round)
    settled = _settling(ahead).returning(*columns).cte("settled")
    changing, queueing = _changing(kind, ahead), _queueing(kind, settled)
    changed = None if changing is None else changing.returning(one).cte("changed")
    queued = None if queueing is None else queueing.returning(one).cte("queued")
    counts = [literal_column("0") if step is None else _count(step) for step in (changed, settled, queued)]
    told = ledger.recording(settled, with_detail=with_detail).cte("told")
    return cast(Select[Any], select(*counts).add_cte(told))


def _count(step: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(step).scalar_subquery()


def _queueing(kind: DeadlineKind, of: FromClause | None = None) -> Insert | None:
    notices = kind.notices_for("outcome")
    return outbox.queueing(notices, of) if notices else None


def _settling(ahead: bool) -> Update:
    settling = update(deadlines).where(among(deadlines.c.id, Given("of_ids")), deadlines.c.state == "running")
    settling = settling.values(state="fired", fired_at=_NOW, settled_at=_NOW, remind_at=None)
    return settling if ahead else settling.where(deadlines.c.due_at <= _NOW)


@lru_cache(maxsize=256)
def _changing(kind: DeadlineKind, ahead: bool) -> Update | None:
    """The statement that changes the subjects; ``ahead``: they take effect now, and not at their due moment."""
    if not kind.effect:
        return None
    due_at = (
        select(deadlines.c.due_at)
        .where(
            deadlines.c.kind == kind.name,
            deadlines.c.subject_id == as_text(kind.subject_key),
            deadlines.c.starts_at == kind.starts_at,
        )
        .scalar_subquery()
    )
    written = {Value.NOW: _NOW, Value.DUE_AT: _NOW if ahead else due_at}
    values: dict[str, Any] = {**kind.touching(_NOW)}
    for name, value in kind.effect.items():
        values[name] = kind.form_of(name).written(written[value]) if isinstance(value, Value) else value
    return update(kind.subject).where(among(kind.subject_key, Given("of_keys")), kind.runs_while).values(values)


def _agree(kind: DeadlineKind, expected: int, found: int, table: str) -> None:
    if expected != found:
        raise CountsDisagree(kind=kind.name, claimed=expected, changed=found, table=table)
