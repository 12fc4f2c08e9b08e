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
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, bindparam, null, select, type_coerce, update
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

_NOW = bindparam("fired_now", type_=deadlines.c.fired_at.type)
_OF = among(deadlines.c.id, Given("of_ids"))
_SETTLED = {"state": "fired", "fired_at": _NOW, "settled_at": _NOW, "remind_at": null()}
_SETTLING_AHEAD = update(deadlines).where(_OF, deadlines.c.state == "running").values(_SETTLED)
_SETTLING = _SETTLING_AHEAD.where(deadlines.c.due_at <= _NOW)


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
    if kind.effect:
        with nullcontext() if noted else unnoted(connection):
            keys = keys_of([row.subject_id for row in ready], kind.subject_key)
            changing = _changing(kind, by_hand is not None)
            changed = connection.execute(changing, {"of_keys": keys, "fired_now": now})
        _agree(kind, len(ready), changed.rowcount, kind.subject.name)
    settling = _SETTLING if by_hand is None else _SETTLING_AHEAD
    settled = connection.execute(settling, {"of_ids": ids, "fired_now": now})
    _agree(kind, len(ready), settled.rowcount, deadlines.name)
    _record(connection, kind, hand, now, ready, by_hand or {})
    notices = kind.notices_for("outcome")
    not_before = digest_at(now) if digest_at else None
    queued = outbox.queue(connection, kind, notices, ids, now, not_before=not_before, strictly=True)
    _agree(kind, len(ready) * len(notices), queued, "clock_outbox")
    return queued


@lru_cache(maxsize=256)
def _changing(kind: DeadlineKind, ahead: bool) -> Update:
    """The statement that changes the subjects; ``ahead``: they take effect now, and not at their due moment."""
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
    values: dict[str, Any] = {}
    for name, value in kind.effect.items():
        values[name] = kind.forms.get(name, _as_it_is)(written[value]) if isinstance(value, Value) else value
    return update(kind.subject).where(among(kind.subject_key, Given("of_keys")), kind.runs_while).values(values)


def _as_it_is(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return moment


def _record(
    connection: Connection, kind: DeadlineKind, hand: Hand, now: datetime, ready: Sequence[Row[Any]], more: Mapping[str, Any]
) -> None:
    """Write the events, each with what the subject was before; nearly all were the same, so that a batch is few statements."""
    alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in ready:
        alike[tuple(row[-len(kind.effect) :]) if kind.effect else ()].append(row[0])
    for values, ids in alike.items():
        was = {name: plain(value) for name, value in zip(kind.effect, values, strict=True) if value is not None}
        detail = {**more, "was_row": was} if kind.effect else dict(more)
        ledger.record(connection, hand, now, kind.event, ids, detail or None)


def _agree(kind: DeadlineKind, expected: int, found: int, table: str) -> None:
    if expected != found:
        raise CountsDisagree(kind=kind.name, claimed=expected, changed=found, table=table)
