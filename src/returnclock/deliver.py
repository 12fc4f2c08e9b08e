"""Deliver: takes notices from the outbox to the mail server; the network is outside every transaction.

A notice is leased by one worker, looked at once more, marked ``sending``, sent, and marked ``sent``. The marks of a few
letters share one transaction (see ``round``), so a worker that dies leaves at most ``MOST_IN_HAND`` of which nobody knows
whether they went out; those are sent again under the same Message-ID and the ledger says so: never lost comes before never
twice. Imports round, parcels, outbox and mail.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine, func, select

from returnclock import outbox
from returnclock.batches import counted
from returnclock.carriers import Carriers
from returnclock.clock import Clock
from returnclock.database import reading, retried
from returnclock.hands import Post
from returnclock.parcels import Supply
from returnclock.round import Round
from returnclock.tables.clock import outbox as notices
from returnclock.tally import Tally


def deliver(post: Post, *, limit: int | None = None, batch_size: int = 100, seconds: float | None = None) -> Tally:
    """Deliver what is due until the outbox has no more, ``limit`` notices were taken in hand, or ``seconds`` are over.

    The backlog is counted up to `batches.COUNTED`.

    Raises:
        MailServerDown: the server takes no mail now; everything untried is queued again and charged nothing.
    """
    with ThreadPoolExecutor(1, "clerk") as clerk, Carriers(post.mailer) as carriers:
        supply = Supply(post, clerk, limit=limit, batch_size=batch_size, seconds=seconds)
        letters = Round(post, supply, clerk, carriers)
        if letters.begin():
            letters.go()
    post.tally.backlog = retried(partial(_waiting, post.engine, post.clock))
    return post.tally


def has_work(connection: Connection, now: datetime) -> bool:
    """Whether any notice is due for delivery and in nobody's hands."""
    return outbox.is_any_free(connection, now)


def would_deliver(engine: Engine, clock: Clock, *, limit: int | None = None) -> Tally:
    """Count the notices that are due for delivery now, and change nothing."""
    tally = Tally()
    with reading(engine) as connection:
        now = clock.now(connection)
        chosen = select(notices.c.kind, func.count().label("waiting")).where(*outbox.free(now)).group_by(notices.c.kind)
        for row in connection.execute(chosen):
            tally.of(row.kind).examined = tally.of(row.kind).changed = row.waiting
    return tally


def _waiting(engine: Engine, clock: Clock) -> int:
    with reading(engine) as connection:
        free = outbox.free(clock.now(connection))
        return counted(connection, select(notices.c.id).where(*free).order_by(notices.c.next_attempt_at))
