"""Hands: which notices a worker is sending now, and how those before them ended; written in one transaction for all.

A notice is marked ``sending`` before it is handed to the mail server, and marked with what became of it afterwards. What
is ``sending`` when a worker dies may or may not have been sent, and nobody can know. Imports outbox, ledger and problems.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import uniform
from typing import Any

from sqlalchemy import Connection, Engine

from returnclock import ledger, outbox, problems
from returnclock.clock import Clock
from returnclock.database import writing
from returnclock.faults import Fault
from returnclock.ledger import Hand
from returnclock.mail import Mailer
from returnclock.rulebook import Rulebook
from returnclock.settings import MailSettings, seconds
from returnclock.tally import Tally
from returnclock.telemetry import Event

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=4)  # RFC 5321 4.5.4.1: the interval may grow to two or three hours and beyond


def pause_after(attempts: int) -> timedelta:
    """How long a notice waits after so many attempts, the last of which did not succeed."""
    pause: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    return min(pause, LONGEST_PAUSE) * uniform(0.75, 1.25)


@dataclass
class Post:
    """What delivery works with; one for each run."""

    engine: Engine
    clock: Clock
    book: Rulebook
    mailer: Mailer
    mail: MailSettings
    hand: Hand
    worker: str
    tally: Tally = field(default_factory=Tally)

    def gives_up(self, row: Any, now: datetime) -> bool:
        """Whether a notice has been tried for so long (``give_up_after``) that it is not tried again."""
        return bool(now - row.queued_at > timedelta(seconds=seconds(self.mail.give_up_after)))


@dataclass(frozen=True)
class Parcel:
    """One message ready to go: the notices that it carries, its address and its bytes.

    judged_at, examined_at: when the notices were found true, by the database's clock, and in seconds of this process.
    """

    rows: tuple[Any, ...]
    address: str
    message_id: str
    raw: bytes
    judged_at: datetime
    examined_at: float


@dataclass(frozen=True)
class Mark:
    """What became of the notices of one message, to be written into outbox, ledger and problems.

    event: the ledger's; None where there is nothing to tell.
    pause: after which they are tried again; None where that is the end of them.
    asked: the message that the mail server was asked to take, which counts as an attempt; None where it was not asked.
    """

    rows: tuple[Any, ...]
    state: str
    event: Event | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    pause: timedelta | None = None
    asked: Parcel | None = None
    problem: Fault | None = None


def turn(post: Post, marks: Sequence[Mark], following: Sequence[Parcel]) -> list[Parcel]:
    """Write what became of the last parcels and that the following ones are in hand, in one transaction.

    Returns:
        those of the following that may be sent: a lease that ended may have passed to another worker.
    """
    with writing(post.engine) as connection:
        now = post.clock.now(connection)
        rows = [row for mark in marks for row in mark.rows] + [row for parcel in following for row in parcel.rows]
        held = outbox.still_held(connection, post.worker, [row.id for row in rows])
        taken = [parcel for parcel in following if held.issuperset(row.id for row in parcel.rows)]
        done = write(post, connection, marks, held, now, taken)
    post.tally.add(done)
    return taken


def write(
    post: Post, connection: Connection, marks: Sequence[Mark], held: set[int], now: datetime, taken: Sequence[Parcel] = ()
) -> Tally:
    """Write marks, but of notices that are not ``held``, and what is taken in hand.

    Returns:
        what is to be counted once it is committed.
    """
    done = Tally()
    marked = [(mark, row) for mark in marks for row in mark.rows if row.id in held]
    values = [_marked(mark, row, now) for mark, row in marked]
    values += [_in_hand(post.worker, parcel, row, now) for parcel in taken for row in parcel.rows]
    outbox.mark(connection, post.worker, values)
    told: defaultdict[Event, list[dict[str, Any]]] = defaultdict(list)
    for mark, row in marked:
        _count(done, mark, row, now)
        if mark.event is not None:
            told[mark.event].append(of_notice(row, mark.detail))
    for event, events in told.items():
        ledger.record_each(connection, post.hand, now, event, events)
    if faults := [mark.problem for mark, _ in marked if mark.problem is not None]:
        problems.record(connection, (), faults, now)
        done.problems = len(faults)
    return done


def _marked(mark: Mark, row: Any, now: datetime) -> dict[str, Any]:
    asked = mark.asked
    return {
        "id": row.id,
        "state": mark.state,
        "attempts": row.attempts + (asked is not None),
        "message_id": row.message_id if asked is None else asked.message_id,
        "recipient": row.recipient if asked is None else asked.address,
        "error": row.error if mark.event is None else mark.error,
        "next_attempt_at": None if mark.pause is None else now + mark.pause,
        "sent_at": now if mark.state == "sent" else row.sent_at,
        "leased_by": None,
        "leased_until": None,
    }


def _in_hand(worker: str, parcel: Parcel, row: Any, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": "sending",
        "attempts": row.attempts + 1,
        "message_id": parcel.message_id,
        "recipient": parcel.address,
        "error": row.error,
        # If nothing is written any more. The first time the lease is pause enough; what ends each worker that takes it, or is
        # cut off each time, waits longer and longer.
        "next_attempt_at": now + pause_after(row.attempts) if row.attempts else row.next_attempt_at,
        "sent_at": row.sent_at,
        "leased_by": worker,
        "leased_until": now + outbox.LEASE,
    }


def of_notice(row: Any, detail: dict[str, Any]) -> dict[str, Any]:
    """A notice as the ledger tells of it."""
    told = {"notice": row.notice, "party": row.party, "outbox_id": row.id, **detail}
    return {"deadline_id": row.deadline_id, "kind": row.kind, "subject_id": row.subject_id, "detail": told}


def _count(done: Tally, mark: Mark, row: Any, now: datetime) -> None:
    counted = done.of(row.kind)
    counted.skipped += mark.state == "suppressed"
    if mark.state == "sent":
        counted.changed += 1
        counted.max_lateness_s = max(counted.max_lateness_s, (now - row.queued_at).total_seconds())
