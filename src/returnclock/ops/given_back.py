"""What a subject was before its deadline fired, whether it still is what firing made of it, and giving it back. Imports holds.

The subject gets back what the ledger kept of it when the deadline fired, and only where it still is what firing made of it:
whoever has changed it since is right. Of the columns that tell when a row was last written (``touches``) neither holds: a shop
writes a row for many reasons that have nothing to do with what firing wrote, and to give back is a write like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, literal, or_, update

from returnclock.kinds import DeadlineKind, Value
from returnclock.moves import history_of
from returnclock.tables.clock import deadlines
from returnclock.tables.forms import Epoch
from returnclock.tables.keys import among, keys_of
from returnclock.tables.types import AsRead, Instant, read_instant
from returnclock.telemetry import Event


def unchanged(kind: DeadlineKind) -> list[ColumnElement[bool]]:
    """The conditions that a subject still is what firing made of it; its deadline is joined."""
    conditions: list[ColumnElement[bool]] = []
    for name, value in kind.effect.items():
        column, form = kind.subject.c[name], kind.form_of(name)
        if value is Value.NOW:
            conditions.append(form.keeps(column, deadlines.c.fired_at))
        elif value is Value.DUE_AT:  # by hand it may have been before that
            conditions.append(or_(form.keeps(column, deadlines.c.due_at), form.keeps(column, deadlines.c.fired_at)))
        else:
            conditions.append(column == value)
    return conditions


def before_firing(connection: Connection, kind: DeadlineKind, rows: Sequence[Row[Any]]) -> dict[int, dict[str, Any]]:
    """What the ledger kept of each subject when its deadline last fired, by the deadline's id.

    Of those that the shop has taken back itself since, nothing: what firing wrote may stand there again by the shop's own hand.
    """
    found: dict[int, dict[str, Any]] = {}
    for deadline_id, history in history_of(connection, [row.id for row in rows]).items():
        last = next((event for event in reversed(history) if event.event in (kind.event, Event.REVERTED)), None)
        if last is not None and last.event != Event.REVERTED:
            kept = (last.detail or {}).get("was_row", None if kind.effect else {})
            if kept is not None:
                found[deadline_id] = {name: kept.get(name) for name in kind.effect}
    return found


def give_back(
    connection: Connection, kind: DeadlineKind, ready: Sequence[Row[Any]], known: dict[int, dict[str, Any]], now: datetime
) -> None:
    """Write into the subjects what is known of them from before."""
    if not kind.effect:
        return
    alike: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row in ready:
        alike[tuple(known[row.id].values())].append(row.subject_id)
    constants = [kind.subject.c[name] == value for name, value in kind.effect.items() if not isinstance(value, Value)]
    touching = kind.touching(literal(now, Instant()))
    for was, subject_ids in alike.items():
        values = {name: _as_it_was(connection, kind, name, value) for name, value in zip(kind.effect, was, strict=True)}
        keys = keys_of(subject_ids, kind.subject_key)
        connection.execute(update(kind.subject).where(among(kind.subject_key, keys), *constants).values(touching | values))


def _as_it_was(connection: Connection, kind: DeadlineKind, name: str, value: Any) -> Any:
    """A value that `plain` has put into the ledger, for the column that it was read from.

    Only a date has become text on its way there, and is read again: what a shop keeps in a local time comes back as such,
    because it was put down as if it were UTC. What is no date to the driver (seconds since 1970, and in SQLite the text that a
    front end wrote) is written as it was read.
    """
    if not isinstance(kind.effect[name], Value):
        return value
    as_read = connection.dialect.name == "sqlite" or isinstance(kind.form_of(name), Epoch)
    moment = None if as_read else read_instant(value)
    return literal(moment, Instant()) if isinstance(moment, datetime) else literal(value, AsRead())
