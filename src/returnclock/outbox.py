"""The outbox: notices are queued in the transaction of what they tell, leased by one worker, and marked. Imports tables.

A notice is one row, unique by its key (deadline, round, notice, ordinal, party), so that queueing twice queues once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Insert,
    Integer,
    Row,
    Select,
    bindparam,
    func,
    insert,
    join,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.sql.expression import ColumnElement

from returnclock import ledger
from returnclock.bulk import RowsUpdate
from returnclock.database import insert_new
from returnclock.kinds import DeadlineKind, Notice
from returnclock.likeness import alike
from returnclock.tables.clock import deadlines, is_unsent, outbox
from returnclock.tables.keys import Given, among, as_text, by_index
from returnclock.telemetry import Event

LEASE = timedelta(minutes=5)


def queue(
    connection: Connection,
    kind: DeadlineKind,
    notices: Sequence[Notice],
    deadline_ids: Sequence[int],
    now: datetime,
    *,
    ordinal: int = 0,
    not_before: datetime | None = None,
    moment: str | None = None,
) -> int:
    """Queue each of the notices for each of the deadlines, in one statement.

    ordinal: which of several reminders; part of the key. not_before: when a digest is due. moment: what the notices are
    queued as, where that is not their own moment: "warning" for a reminder that tells the effective date. Those that
    are queued already are passed over.

    Returns:
        how many notices are new.
    """
    if not notices:
        return 0
    inserting = insert_new(connection, outbox, (outbox.c.key,))
    inserting = inserting.from_select(_QUEUED, _rows(tuple(notices), moment)).execution_options(preserve_rowcount=True)
    return connection.execute(inserting, {"of_ids": deadline_ids, **moments(now, not_before, ordinal)}).rowcount


_QUEUED = ("key", "kind", "deadline_id", "notice", "party", "state", "attempts", "queued_at", "next_attempt_at")


def queueing(notices: tuple[Notice, ...], of: FromClause | None = None) -> Insert:
    """The statement that queues notices, all of which must be new (to pass others over costs PostgreSQL a sixth more).

    of: what has the columns of the deadlines that are meant; otherwise they are those with the ids ``of_ids``. The parameters
    are `moments`.
    """
    return insert(outbox).from_select(_QUEUED, _rows(notices, None) if of is None else _each(notices, None, of))


def moments(now: datetime, not_before: datetime | None, ordinal: int = 0) -> dict[str, Any]:
    """The parameters of the statements that queue."""
    return {"said_at": now, "digest_at": not_before or now, "said_ordinal": f".{ordinal}."}


@lru_cache
def _rows(notices: tuple[Notice, ...], moment: str | None) -> Select[Any]:
    return _each(notices, moment, deadlines).where(among(deadlines.c.id, Given("of_ids")))


def _each(notices: tuple[Notice, ...], moment: str | None, of: FromClause) -> Select[Any]:
    """A row for each notice of each deadline; its key names deadline, round, moment, ordinal and party."""
    said = union_all(*(_said(notice, moment or notice.moment) for notice in notices)).subquery("said")
    rows = select(
        as_text(of.c.id) + "." + as_text(of.c.round) + said.c.key,
        *(of.c.kind, of.c.id, said.c.notice, said.c.party),
        _text("queued"),
        literal_column("0", Integer()),
        bindparam("said_at", type_=outbox.c.queued_at.type),
        said.c.due,
    )
    return rows.select_from(join(of, said, true()))  # one look at each deadline, whatever there is to say of it


def _said(notice: Notice, moment: str) -> Select[Any]:
    name = "digest" if notice.digest else moment
    ordinal = bindparam("said_ordinal", type_=outbox.c.key.type)
    return select(
        (_text(f".{moment}") + ordinal + _text(notice.to.value)).label("key"),
        _text(name).label("notice"),
        _text(notice.to.value).label("party"),
        bindparam("digest_at" if notice.digest else "said_at", type_=outbox.c.next_attempt_at.type).label("due"),
    )


def _text(word: str) -> ColumnElement[str]:
    return literal(word, outbox.c.notice.type)


def lease(connection: Connection, worker: str, now: datetime, size: int, *, digests: bool) -> list[Row[Any]]:
    """Take notices that are due for this worker alone, oldest first; the lease ends by itself if the worker dies.

    A row that is found in ``sending`` under a lease that ended was in the hands of a worker that died between the mail
    server's answer and the mark: it comes back with that state, and nobody can know whether it was sent.
    """
    of_digest = outbox.c.notice == "digest" if digests else outbox.c.notice != "digest"
    subject_id = select(deadlines.c.subject_id).where(deadlines.c.id == outbox.c.deadline_id).scalar_subquery()
    chosen = select(outbox, subject_id.label("subject_id")).where(*free(now), of_digest)
    chosen = chosen.order_by(outbox.c.next_attempt_at, outbox.c.id)
    chosen = chosen.limit(size).with_for_update(skip_locked=True)
    rows = list(connection.execute(chosen))
    if rows:
        connection.execute(
            update(outbox)
            .where(among(outbox.c.id, [row.id for row in rows]))
            .values(leased_by=worker, leased_until=now + LEASE, state="queued")
        )
    return rows


def is_any_free(connection: Connection, now: datetime) -> bool:
    """Whether there is any notice that `lease` would take."""
    return connection.execute(select(outbox.c.id).where(*free(now)).limit(1)).first() is not None


def free(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a notice is due for delivery and in nobody's hands."""
    in_no_hand = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now)
    return (is_unsent, outbox.c.next_attempt_at <= now, in_no_hand)


_HELD = (outbox.c.leased_by == bindparam("worker", type_=outbox.c.leased_by.type), is_unsent)
_MARKING = RowsUpdate(
    outbox,
    (
        *("state", "attempts", "message_id", "recipient", "error"),
        *("next_attempt_at", "sent_at", "leased_by", "leased_until"),
    ),
    *_HELD,
)


_OF_IDS = by_index(select(outbox.c.id).where(among(outbox.c.id, Given("ids")), *_HELD), outbox)
_STILL_HELD = _OF_IDS.order_by(outbox.c.id).with_for_update()


def still_held(connection: Connection, worker: str, ids: Sequence[int]) -> set[int]:
    """Which of these notices this worker still has in hand, locked until the transaction ends.

    A lease that ended may have passed to another worker; then what became of the notice is for that one to write.
    """
    return set(connection.execute(_STILL_HELD, {"ids": ids, "worker": worker}).scalars())


def mark(connection: Connection, worker: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Change notices that this worker has in hand: each row has the id and all columns that delivery changes."""
    _MARKING.run(connection, rows, worker=worker)


def error_groups(connection: Connection) -> list[dict[str, Any]]:
    """The errors of dead notices, the most frequent first; what differs from notice to notice (addresses, numbers) is left out.

    Returns:
        of each group its code, how many notices it has, its error, and the newest of its notices.
    """
    chosen = select(outbox.c.error, func.count().label("number"), func.max(outbox.c.id).label("newest"))
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(chosen.where(outbox.c.state == "dead").group_by(outbox.c.error)):
        error = alike(row.error or "")
        group = found.setdefault(error, {"group": _code(error), "count": 0, "error": error, "newest": 0})
        group["count"] += row.number
        group["newest"] = max(group["newest"], row.newest)
    return sorted(found.values(), key=lambda group: (-group["count"], group["group"]))


def _code(error: str) -> str:
    return hashlib.sha256(error.encode()).hexdigest()[:6]


def requeue(
    connection: Connection,
    hand: ledger.Hand,
    now: datetime,
    ids: Sequence[int] | None,
    reason: str = "",
    *,
    kind: str | None = None,
    group: str | None = None,
    dry_run: bool = False,
) -> list[int]:
    """Queue dead or suppressed notices again, or all dead ones where ``ids`` is None; each is judged anew when it is sent.

    kind, group: only dead notices of this kind of deadline, or of this group of errors.

    Returns:
        the ids of those that were queued.
    """
    chosen = select(outbox.c.id, outbox.c.deadline_id, outbox.c.error)
    if ids is None:
        chosen = chosen.where(outbox.c.state == "dead")
    else:
        chosen = chosen.where(among(outbox.c.id, ids), outbox.c.state.in_(("dead", "suppressed")))
    if kind is not None:
        chosen = chosen.where(outbox.c.kind == kind)
    rows = connection.execute(chosen.order_by(outbox.c.id).with_for_update()).all()
    if group is not None:
        rows = [row for row in rows if _code(alike(row.error or "")) == group]
    done = [row.id for row in rows]
    if done and not dry_run:
        connection.execute(
            update(outbox)
            .where(among(outbox.c.id, done), outbox.c.state.in_(("dead", "suppressed")))
            .values(state="queued", attempts=0, queued_at=now, next_attempt_at=now, error=None)
        )
        concerned = sorted({row.deadline_id for row in rows})
        ledger.record(connection, hand, now, Event.NOTICE_REQUEUED, concerned, {"reason": reason} if reason else None)
    return done
