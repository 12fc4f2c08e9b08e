"""Deliver: takes notices from the outbox to the mail server; the network is outside every transaction.

A notice is leased by one worker, looked at once more, marked ``sending``, sent, and marked ``sent``. The marks of a few
letters share one transaction (see ``round``), so a run that dies leaves at most ``MOST_IN_HAND`` of which nobody knows
whether they went out; those are sent again under the same Message-ID and the ledger says so: never lost comes before never
twice. A process does one run at a time, and every process of every worker may be at one: a tick begins beside others, but
for where the mail server keeps one of them waiting (`has_work`). Imports round, parcels, outbox and mail.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
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
from returnclock.tables.clock import runs
from returnclock.tally import Tally

# Longer than a tick lasts that is not kept waiting; how long one run may have the server alone; and how long after a run that
# failed there is only one at a time.
TICK, LONGEST_ALONE, WARY = timedelta(seconds=8), timedelta(minutes=1), timedelta(minutes=2)


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
    """Whether any notice is due for delivery and in nobody's hands, and the mail server keeps no other run waiting."""
    return outbox.is_any_free(connection, now) and not _server_keeps_waiting(connection, now)


def _server_keeps_waiting(connection: Connection, now: datetime) -> bool:
    """Whether one run waits for the mail server, so that another would only wait beside it.

    A worker has few processes: with all of them at a silent server no deadline would take effect until it is given up. A run
    whose worker was killed keeps the others away no longer than a minute.
    """
    mine = (runs.c.task == "deliver-mail", runs.c.state == "running", runs.c.started_at > now - LONGEST_ALONE)
    begun = connection.execute(select(func.min(runs.c.started_at)).where(*mine)).scalar()
    if begun is None:
        return False
    failed = select(runs.c.finished_at).where(runs.c.task == "deliver-mail", runs.c.state == "failed")
    failed_at = connection.execute(failed.order_by(runs.c.id.desc()).limit(1)).scalar()
    return now - begun > TICK or (failed_at is not None and now - failed_at < WARY)


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
