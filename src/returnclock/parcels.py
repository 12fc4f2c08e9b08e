"""Parcels: leased notices that are still true, written, addressed and ready to be sent. Imports outbox, mail and ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from returnclock import ledger, outbox, problems
from returnclock.clock import Clock
from returnclock.database import writing
from returnclock.errors import MailError, NoticeRefused
from returnclock.faults import no_address
from returnclock.ledger import Hand
from returnclock.mail import Letter, Mailer, compose, message_id, write_digest, write_letter
from returnclock.notice_facts import Ready, Untrue, examine
from returnclock.rulebook import Rulebook
from returnclock.settings import MailSettings
from returnclock.tally import Tally
from returnclock.telemetry import Event

UNCERTAIN = "may have been sent before: the connection or the worker was lost before the mail server's answer was kept"


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


@dataclass(frozen=True)
class Parcel:
    """One message ready to go: the notices that it carries, its address and its bytes."""

    rows: tuple[Any, ...]
    address: str
    message_id: str
    raw: bytes


@dataclass(frozen=True)
class Mark:
    """How a parcel ended, to be written into the outbox: the new values and the ledger's event."""

    parcel_rows: tuple[Any, ...]
    values: dict[str, Any]
    event: Event
    detail: dict[str, Any]


def prepare(post: Post, size: int, digests: bool) -> tuple[int, list[Parcel]]:
    """Lease notices, put away those that are no longer true or cannot be written, and pack the others.

    Returns:
        how many notices were leased, and the parcels.
    """
    with writing(post.engine) as connection:
        now = post.clock.now(connection)
        leased = outbox.lease(connection, post.worker, now, size, digests=digests)
        for row in leased:
            if row.state == "sending":
                detail = {"notice": row.notice, "party": row.party, "reason": UNCERTAIN}
                ledger.record(connection, post.hand, now, Event.NOTICE_AMBIGUOUS, [row.deadline_id], detail)
        ready: list[Ready] = []
        for judged in examine(connection, post.book, post.mail, leased, now):
            if isinstance(judged, Untrue):
                end(post, connection, Mark((judged.row,), *_suppressed(judged)), now)
            else:
                ready.append(judged)
        parcels = []
        for bundle in [ready] if digests and ready else [[one] for one in ready]:
            try:
                parcels.append(_pack(post, bundle, now))
            except NoticeRefused as fault:
                _bury(post, connection, bundle, fault, now)
    for row in leased:
        post.tally.of(row.kind).examined += 1
    return len(leased), parcels


def _suppressed(judged: Untrue) -> tuple[dict[str, Any], Event, dict[str, Any]]:
    values = {"state": "suppressed", "error": judged.reason, "next_attempt_at": None}
    return values, Event.NOTICE_SUPPRESSED, {"notice": judged.row.notice, "reason": judged.reason}


def _pack(post: Post, bundle: Sequence[Ready], now: datetime) -> Parcel:
    address = bundle[0].facts["recipient_address"]
    if not address:
        raise NoticeRefused(reason=f"the {bundle[0].row.party} has no e-mail address")
    try:
        return _written(post, bundle, address, now)
    except MailError:
        raise
    except Exception as fault:  # a shop's own kind may bring a text that fails on one row; the rows beside it go out
        raise NoticeRefused(reason=f"it cannot be written: {type(fault).__name__}: {fault}") from fault


def _written(post: Post, bundle: Sequence[Ready], address: str, now: datetime) -> Parcel:
    domain = post.mail.sender.rsplit("@", 1)[-1].rstrip("> ")
    identity = message_id("+".join(one.row.key for one in bundle), domain)
    raw = compose(
        _letter(post, bundle),
        sender=post.mail.sender,
        to_name=bundle[0].facts["recipient_name"],
        to_address=address,
        reply_to=post.mail.reply_to,
        message_id=identity,
        date=now,
    )
    return Parcel(tuple(one.row for one in bundle), address, identity, raw)


def _letter(post: Post, bundle: Sequence[Ready]) -> Letter:
    if bundle[0].notice.digest:
        market = {**bundle[0].facts, "zone": post.book.market_zone}
        return write_digest([(one.notice, one.facts) for one in bundle], market)
    return write_letter(bundle[0].notice, bundle[0].facts)


def _bury(post: Post, connection: Connection, bundle: Sequence[Ready], fault: MailError, now: datetime) -> None:
    rows = tuple(one.row for one in bundle)
    values = {"state": "dead", "error": str(fault), "next_attempt_at": None}
    end(post, connection, Mark(rows, values, Event.NOTICE_DEAD, {"reason": str(fault)}), now)
    first = bundle[0].facts
    if not first["recipient_address"] and first["recipient_id"] is not None:
        table, identity = f"{rows[0].party}s", str(first["recipient_id"])
        problems.record(connection, (), [no_address(table, identity)], now)
        post.tally.problems += 1


def end(post: Post, connection: Connection, mark: Mark, now: datetime) -> None:
    """Write how a parcel ended into outbox and ledger, unless its lease has passed to another worker."""
    released = {"leased_by": None, "leased_until": None}
    sent = {"sent_at": now} if mark.values["state"] == "sent" else {}
    for row in mark.parcel_rows:
        if outbox.mark(connection, post.worker, row.id, **(mark.values | released | sent)):
            detail = {"notice": row.notice, "party": row.party, "outbox_id": row.id, **mark.detail}
            ledger.record(connection, post.hand, now, mark.event, [row.deadline_id], detail)
            counted = post.tally.of(row.kind)
            counted.changed += mark.values["state"] == "sent"
            counted.skipped += mark.values["state"] == "suppressed"
            if mark.values["state"] == "sent":
                counted.max_lateness_s = max(counted.max_lateness_s, (now - row.queued_at).total_seconds())
