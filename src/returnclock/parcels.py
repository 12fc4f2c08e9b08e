"""Parcels: leased notices that are still true, written, addressed and ready to be sent. Imports hands, holds and mail."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Row

from returnclock import ledger, outbox
from returnclock.database import retried, writing
from returnclock.errors import MailError, NoticeRefused
from returnclock.faults import Fault, no_address
from returnclock.hands import Mark, Parcel, Post, of_notice, write
from returnclock.holds import covered, standing
from returnclock.mail import Letter, compose, message_id, write_digest, write_letter
from returnclock.notice_facts import AHEAD, Ready, Untrue, examine
from returnclock.rulebook import Rulebook
from returnclock.settings import MailSettings
from returnclock.telemetry import Event

UNCERTAIN = "may have been sent before: the connection or the worker was lost before the mail server's answer was kept"


def prepare(post: Post, size: int, digests: bool) -> tuple[int, list[Ready], float]:
    """Lease notices and put away those that are no longer true.

    Returns:
        how many notices were leased, those that are to be sent, and when they were looked at, in seconds of this process.
    """
    with writing(post.engine) as connection:
        now = post.clock.now(connection)
        leased = outbox.lease(connection, post.worker, now, size, digests=digests)
        unsure = [of_notice(row, {"reason": UNCERTAIN}) for row in leased if row.state == "sending"]
        ledger.record_each(connection, post.hand, now, Event.NOTICE_AMBIGUOUS, unsure)
        examined_at = monotonic()  # the wait for a lock is before it
        given_up = {row.id for row in leased if row.state == "sending" and post.gives_up(row, now)}
        judged = judge(connection, post.book, post.mail, [row for row in leased if row.id not in given_up], now)
        put_away = [_suppressed(one) for one in judged if isinstance(one, Untrue)]
        put_away += [_given_up(row) for row in leased if row.id in given_up]
        done = write(post, connection, put_away, {row.id for row in leased}, now)
    for row in leased:
        done.of(row.kind).examined += 1
    post.tally.add(done)
    return len(leased), [one for one in judged if isinstance(one, Ready)], examined_at


def judge(
    connection: Connection, book: Rulebook, mail: MailSettings, leased: Sequence[Row[Any]], now: datetime
) -> list[Ready | Untrue]:
    """Whether leased notices are true as the database stands now; none that reminds is under a hold, marked yet or not."""
    ahead = [row for row in leased if row.notice in AHEAD]
    held: set[int] = set()
    if ahead and (binding := standing(connection, now)):
        for kind in book.kinds:
            held |= covered(connection, kind, binding, [row.deadline_id for row in ahead if row.kind == kind.name])
    return examine(connection, book, mail, leased, now, held)


def _given_up(row: Row[Any]) -> Mark:
    return Mark((row,), "dead", Event.NOTICE_DEAD, {"reason": UNCERTAIN}, error=UNCERTAIN)


def _suppressed(judged: Untrue) -> Mark:
    why = {"reason": judged.reason}
    return Mark((judged.row,), "suppressed", Event.NOTICE_SUPPRESSED, why, error=judged.reason)


@dataclass(frozen=True)
class Bundle:
    """Notices that go out in one message, and when they were found true, in seconds of this process."""

    ready: tuple[Ready, ...]
    examined_at: float


class Supply:
    """The notices to be sent, fetched from the outbox batch by batch by a clerk: first the single ones, then digests.

    It ends when there are no more, after ``limit`` notices, or with the batch during which ``seconds`` are over.
    """

    def __init__(
        self, post: Post, clerk: ThreadPoolExecutor, *, limit: int | None, batch_size: int, seconds: float | None = None
    ) -> None:
        self._closes_at = inf if seconds is None else monotonic() + seconds
        self._post, self._clerk, self._left, self._batch_size = post, clerk, limit, batch_size
        self._bundles: deque[Bundle] = deque()
        self._coming: Future[list[Bundle]] | None = None
        self._digests, self._over = False, False

    def order(self, *, anew: bool = False) -> None:
        """Let the clerk fetch more where little is left; ``anew``: also what was given back."""
        if self._coming is not None and self._coming.done():
            self._receive()
        if self._coming is not None or len(self._bundles) > self._batch_size // 2:
            return
        if anew:
            self._digests, self._over = False, False
        if not self._over and self._left != 0 and monotonic() < self._closes_at:
            self._coming = self._clerk.submit(self._fetch)

    def take(self, *, wait: bool = True) -> Bundle | None:
        """The next bundle, or None when there is none; or, unless it may ``wait`` for the clerk, when none is here yet."""
        while not self._bundles:
            if not wait:
                return None
            self.order()
            if self._coming is None:
                return None
            self._receive()
        return self._bundles.popleft()

    @property
    def fetched(self) -> int:
        """How many bundles are here to be taken."""
        return len(self._bundles)

    def leave(self) -> list[Bundle]:
        """All that was fetched and not taken."""
        with suppress(Exception):  # what could not be fetched is in nobody's hands
            self._receive()
        return list(self._bundles)

    def _receive(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            self._bundles.extend(coming.result())

    def _fetch(self) -> list[Bundle]:
        size = self._batch_size if self._left is None else min(self._batch_size, self._left)
        digests = self._digests
        taken, ready, examined_at = retried(partial(prepare, self._post, size, digests))
        self._left = None if self._left is None else self._left - taken
        if taken < size:
            self._digests, self._over = True, digests
        bundles = _as_sent_before(ready) if digests else [(one,) for one in ready]
        return [Bundle(bundle, examined_at) for bundle in bundles]


def _as_sent_before(ready: Sequence[Ready]) -> list[tuple[Ready, ...]]:
    """The notices of a digest, those apart that may have gone out together: they go again under the same Message-ID."""
    by_message: defaultdict[str | None, list[Ready]] = defaultdict(list)
    for one in ready:
        by_message[one.row.message_id].append(one)
    return [tuple(those) for those in by_message.values()]


def pack(post: Post, bundle: Bundle) -> Parcel:
    """Write the letter of a bundle. Raises NoticeRefused where it cannot be written or has no address."""
    first = bundle.ready[0]
    address = first.facts["recipient_address"]
    if not address:
        raise NoticeRefused(reason=f"the {first.row.party} has no e-mail address")
    try:
        return _written(post, bundle, address, first.facts["now"])
    except MailError:
        raise
    except Exception as fault:  # a shop's own kind may bring a text that fails on one row; the rows beside it go out
        raise NoticeRefused(reason=f"it cannot be written: {type(fault).__name__}: {fault}") from fault


def _written(post: Post, bundle: Bundle, address: str, now: datetime) -> Parcel:
    identity = bundle.ready[0].row.message_id or _new_message_id(post, bundle)
    raw = compose(
        _letter(post, bundle.ready),
        sender=post.mail.sender,
        to_name=bundle.ready[0].facts["recipient_name"],
        to_address=address,
        reply_to=post.mail.reply_to,
        message_id=identity,
        date=now,
    )
    return Parcel(tuple(one.row for one in bundle.ready), address, identity, raw, now, bundle.examined_at)


def _new_message_id(post: Post, bundle: Bundle) -> str:
    # With the moment, or two markets of one sender would write different letters under one id: their keys are the same.
    said = "+".join(f"{one.row.key} {one.row.queued_at.isoformat()}" for one in bundle.ready)
    return message_id(said, post.mail.sender.rsplit("@", 1)[-1].rstrip("> "))


def _letter(post: Post, ready: Sequence[Ready]) -> Letter:
    if ready[0].notice.digest:
        market = {**ready[0].facts, "zone": post.book.market_zone}
        return write_digest([(one.notice, one.facts) for one in ready], market)
    return write_letter(ready[0].notice, ready[0].facts)


def refused(bundle: Bundle, fault: NoticeRefused) -> Mark:
    """The mark of a bundle whose letter cannot be written."""
    rows = tuple(one.row for one in bundle.ready)
    problem = _missing_address(bundle.ready[0])
    why = {"reason": str(fault)}
    return Mark(rows, "dead", Event.NOTICE_DEAD, why, error=str(fault), problem=problem)


def _missing_address(one: Ready) -> Fault | None:
    if one.facts["recipient_address"] or one.facts["recipient_id"] is None:
        return None
    return no_address(f"{one.row.party}s", str(one.facts["recipient_id"]))
