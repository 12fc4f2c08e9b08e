"""Deliver: takes notices from the outbox to the mail server; the network is outside every transaction.

One worker leases a batch, looks at each notice once more, marks it ``sending``, sends it, marks it ``sent``. Both marks of
neighbours share one transaction, so a worker that dies leaves at most one notice of which nobody knows whether it went
out; that one is sent again under the same Message-ID and the ledger says so: never lost comes before never twice.
Imports parcels, outbox and mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from random import uniform
from time import monotonic

from sqlalchemy import Engine, func, select

from returnclock import outbox
from returnclock.clock import Clock
from returnclock.database import reading, retried, writing
from returnclock.errors import DeliveryUncertain, MailError, MailServerDown, NoticeDeferred
from returnclock.mail import Channel
from returnclock.parcels import UNCERTAIN, Mark, Parcel, Post, end, prepare
from returnclock.settings import seconds
from returnclock.tables.clock import is_unsent
from returnclock.tables.clock import outbox as notices
from returnclock.tally import Tally
from returnclock.telemetry import Event

# While the server is down nothing is charged to the notices; they are tried again soon, but not at every tick.
SERVER_DOWN_PAUSE = timedelta(seconds=20)
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=4)  # RFC 5321 4.5.4.1: the interval may grow to two or three hours and beyond
FRESH_S = 10  # a notice that was found true longer ago is looked at again: the seller may have answered meanwhile


def deliver(post: Post, *, limit: int | None = None, batch_size: int = 100, seconds: float | None = None) -> Tally:
    """Deliver what is due until the outbox has no more, ``limit`` notices were taken in hand, or ``seconds`` are over.

    Raises:
        MailServerDown: the server takes no mail now; everything untried is queued again and charged nothing.
    """
    begun = monotonic()
    with ExitStack() as stack:
        channel: Channel | None = None
        for digests in (False, True):
            left = limit - post.tally.total("examined") if limit is not None else None
            while left is None or left > 0:
                size = batch_size if left is None else min(batch_size, left)
                taken, parcels = retried(partial(prepare, post, size, digests))
                all_sent = True
                if parcels:
                    channel = channel or _open(post, stack, parcels)
                    all_sent = _send_all(post, channel, parcels)
                left = None if left is None else left - taken
                if (taken < size and all_sent) or (seconds is not None and monotonic() - begun >= seconds):
                    break
    post.tally.backlog = retried(partial(_waiting, post.engine, post.clock))
    return post.tally


def has_work(engine: Engine, clock: Clock) -> bool:
    """Whether any notice is due for delivery and in nobody's hands."""
    with reading(engine) as connection:
        return outbox.is_any_free(connection, clock.now(connection))


def would_deliver(engine: Engine, clock: Clock, *, limit: int | None = None) -> Tally:
    """Count the notices that are due for delivery now, and change nothing."""
    tally = Tally()
    with reading(engine) as connection:
        now = clock.now(connection)
        due = notices.c.next_attempt_at <= now
        chosen = select(notices.c.kind, func.count().label("waiting")).where(is_unsent, due).group_by(notices.c.kind)
        for row in connection.execute(chosen):
            tally.of(row.kind).examined = tally.of(row.kind).changed = row.waiting
    return tally


def _waiting(engine: Engine, clock: Clock) -> int:
    with reading(engine) as connection:
        due = notices.c.next_attempt_at <= clock.now(connection)
        return int(connection.execute(select(func.count()).select_from(notices).where(is_unsent, due)).scalar_one())


def _present(post: Post) -> datetime:
    with reading(post.engine) as connection:
        return post.clock.now(connection)


def _open(post: Post, stack: ExitStack, parcels: Sequence[Parcel]) -> Channel:
    try:
        return stack.enter_context(post.mailer.open())
    except MailServerDown:
        _give_back(post, parcels, SERVER_DOWN_PAUSE)
        raise


def _give_back(post: Post, parcels: Sequence[Parcel], pause: timedelta) -> None:
    with writing(post.engine) as connection:
        ids = [row.id for parcel in parcels for row in parcel.rows]
        outbox.release(connection, post.worker, ids, post.clock.now(connection) + pause)


def _send_all(post: Post, channel: Channel, parcels: Sequence[Parcel]) -> bool:
    """Send the parcels one after the other; False when those that waited too long were given back untried."""
    before: Mark | None = None
    begun = monotonic()
    for number, parcel in enumerate(parcels):
        if monotonic() - begun > FRESH_S:
            retried(partial(_turn, post, before, None))
            _give_back(post, parcels[number:], timedelta())
            return False
        held = retried(partial(_turn, post, before, parcel))
        before = None
        if not held:
            continue
        try:
            channel.send(parcel.address, parcel.raw, parcel.message_id)
            before = _sent(parcel)
        except MailServerDown as fault:
            # The one in hand waits longer than those behind it: if it is what makes the server hang up, they pass it.
            retried(partial(_turn, post, _failed(post, parcel, fault), None))
            _give_back(post, parcels[number + 1 :], SERVER_DOWN_PAUSE)
            raise
        except MailError as fault:
            before = _failed(post, parcel, fault)
    retried(partial(_turn, post, before, None))
    return True


def _turn(post: Post, before: Mark | None, following: Parcel | None) -> bool:
    """Mark how the last parcel ended and that the next one is in hand, in one transaction."""
    with writing(post.engine) as connection:
        now = post.clock.now(connection)
        if before is not None:
            end(post, connection, before, now)
        if following is None:
            return False
        return all(
            outbox.mark(
                connection,
                post.worker,
                row.id,
                state="sending",
                attempts=row.attempts + 1,
                message_id=following.message_id,
                recipient=following.address,
                leased_until=now + outbox.LEASE,
            )
            for row in following.rows
        )


def _sent(parcel: Parcel) -> Mark:
    unsure = UNCERTAIN if any(row.state == "sending" for row in parcel.rows) else None
    values = {"state": "sent", "error": unsure, "next_attempt_at": None}
    return Mark(parcel.rows, values, Event.NOTICE_SENT, {"message_id": parcel.message_id})


def _failed(post: Post, parcel: Parcel, fault: MailError) -> Mark:
    detail = {"reason": str(fault)}
    attempts = parcel.rows[0].attempts + 1
    now = retried(partial(_present, post))
    too_old = now - parcel.rows[0].queued_at > timedelta(seconds=seconds(post.mail.give_up_after))
    passing = isinstance(fault, NoticeDeferred | DeliveryUncertain) and not too_old
    if not passing and not isinstance(fault, MailServerDown):
        return Mark(parcel.rows, {"state": "dead", "error": str(fault), "next_attempt_at": None}, Event.NOTICE_DEAD, detail)
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE) * uniform(0.75, 1.25)
    state = "sending" if isinstance(fault, DeliveryUncertain) else "queued"
    values = {"state": state, "error": str(fault), "next_attempt_at": now + pause}
    return Mark(parcel.rows, values, Event.NOTICE_DEFERRED, detail)
