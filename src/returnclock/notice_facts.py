"""Whether a queued notice is still true, and the facts that its letter is written from. Imports the nouns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parseaddr
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    null,
    select,
    true,
)

from returnclock.kinds import DeadlineKind, Notice, Party, Value
from returnclock.kinds.correction import corrections
from returnclock.rulebook import Rulebook
from returnclock.settings import MailSettings
from returnclock.tables.clock import deadlines, outbox, policies
from returnclock.tables.keys import Given, among, as_text
from returnclock.tables.types import legible

# What tells of a date that is still to come: untrue once the date has passed or a later one is on its way.
AHEAD = ("reminder", "warning")


@dataclass(frozen=True)
class Ready:
    """A notice that may be sent: its row in the outbox, its text, and the facts to write it from."""

    row: Row[Any]
    notice: Notice
    facts: dict[str, Any]


@dataclass(frozen=True)
class Untrue:
    """A notice that is no longer true, and why."""

    row: Row[Any]
    reason: str


def examine(
    connection: Connection,
    book: Rulebook,
    mail: MailSettings,
    leased: Sequence[Row[Any]],
    now: datetime,
    held: Container[int],
) -> list[Ready | Untrue]:
    """Look at leased notices as the database stands now, in the order in which they were leased.

    held: the deadlines that a hold covers, whether it has marked them yet or not.
    """
    by_kind: defaultdict[str, list[int]] = defaultdict(list)
    for row in leased:
        by_kind[row.kind].append(row.deadline_id)
    found: dict[int, Row[Any]] = {}
    for name, ids in by_kind.items():
        if any(kind.name == name for kind in book.kinds):
            found |= {row.deadline_id: row for row in connection.execute(_known(book.kind(name)), {"ids": ids})}
    newest = _newest_reminders(connection, [row.deadline_id for row in leased if row.notice in AHEAD])
    judged = [_judge(book, mail, row, found.get(row.deadline_id), newest, now) for row in leased]
    return [_unless_held(one, held) if isinstance(one, Ready) else one for one in judged]


def _unless_held(judged: Ready, held: Container[int]) -> Ready | Untrue:
    stands_still = judged.row.notice in AHEAD and judged.row.deadline_id in held
    return Untrue(judged.row, "a hold covers the deadline: its time stands still") if stands_still else judged


def _judge(
    book: Rulebook, mail: MailSettings, row: Row[Any], known: Row[Any] | None, newest: dict[int, int], now: datetime
) -> Ready | Untrue:
    if known is None:
        return Untrue(row, "the row that it is about no longer exists, or its kind is not installed")
    kind = book.kind(row.kind)
    reason = _untrue(kind, row, known, newest, now)
    if reason:
        return Untrue(row, reason)
    notice = _notice(kind, row)
    if notice is None:
        return Untrue(row, "this version of returnclock has no such notice")
    facts = _facts(kind, notice, known, mail, now)
    if row.notice == "warning":  # the communicated date has passed: what is told is when it takes effect
        facts |= {"promised_at": facts["due_at"], "ends": "same_time"}
    return Ready(row, notice, facts)


def _notice(kind: DeadlineKind, row: Row[Any]) -> Notice | None:
    """The text of a queued notice, found by its moment and party: texts may have changed places since it was queued."""
    queued_as = row.key.split(".")[2]
    moment = "reminder" if queued_as == "warning" else queued_as
    texts = kind.notices_for(moment)
    if moment == "undone":
        texts += corrections(kind)
    return next((one for one in texts if one.to.value == row.party), None)


def _untrue(kind: DeadlineKind, row: Row[Any], known: Row[Any], newest: dict[int, int], now: datetime) -> str:
    if row.notice == "undone":
        return "it has taken effect again" if known.state == "fired" else ""
    if int(row.key.split(".")[1]) != known.round:
        return "the deadline was re-opened or moved since"
    if row.notice in AHEAD:
        if known.state != "running" or not known.still_true:
            return "the deadline no longer runs"
        if now >= (known.due_at if row.notice == "warning" else known.promised_at):
            return "the communicated date has passed"
        if newest.get(row.deadline_id, row.id) > row.id:
            return "a later reminder is on its way"
        return ""
    if known.state != "fired":
        return "the deadline's effect was taken back"
    if not known.outcome_stands:
        return "what it tells was put right since"
    return ""


def _newest_reminders(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    if not ids:
        return {}
    chosen = select(outbox.c.deadline_id, outbox.c.id).where(
        among(outbox.c.deadline_id, ids), outbox.c.notice == "reminder", outbox.c.state.not_in(("dead", "suppressed"))
    )
    return {row.deadline_id: row.id for row in connection.execute(chosen.order_by(outbox.c.id))}


@lru_cache(maxsize=256)
def _known(kind: DeadlineKind) -> Select[Any]:
    """What is known of some deadlines of a kind and what they are about; built once, which takes as long as running it."""
    has = kind.subject.name
    disputes, refunds, orders = (kind.market[name].columns for name in ("disputes", "refunds", "orders"))
    about = {
        "dispute_kind": disputes["kind"] if has == "disputes" else null(),
        "reason": disputes["reason"] if has == "disputes" else null(),
        "amount": cast(refunds["amount"], String(60)) if has == "refunds" else null(),
        "currency": refunds["currency"] if has == "refunds" else null(),
        "method": refunds["method"] if has == "refunds" else null(),
        "refund_status": refunds["status"] if has == "refunds" else null(),
    }
    ordered = kind.order_id is not None
    of_order = {
        "order_id": kind.order_id if kind.order_id is not None else null(),
        "order_number": orders["number"] if ordered else null(),
        "category": orders["category"] if ordered else null(),
        "free_return": orders["free_return"] if ordered else null(),
    }
    of_party = {
        f"{party}_{name}": kind.market[f"{party}s"].columns[name] if ordered else null()
        for party in ("seller", "buyer")
        for name in ("id", "name", "email", "locale")
    }
    columns = [expression.label(name) for name, expression in (about | of_order | of_party).items()]
    return (
        kind.with_parties(
            deadlines.c.id.label("deadline_id"),
            deadlines.c.subject_id,
            deadlines.c.starts_at,
            deadlines.c.promised_at,
            deadlines.c.due_at,
            deadlines.c.state,
            deadlines.c.round,
            deadlines.c.schedule,
            policies.c.definition,
            kind.still_true().label("still_true"),
            _outcome_stands(kind).label("outcome_stands"),
            as_text(kind.subject_key).label("subject_text"),
            literal(has).label("subject_table"),
            *columns,
        )
        .join(deadlines, kind.binds())
        .join(policies, policies.c.id == deadlines.c.policy_id)
        .where(among(deadlines.c.id, Given("ids")))
    )


def _outcome_stands(kind: DeadlineKind) -> ColumnElement[bool]:
    """Whether what a firing has done may still be told: the row has not been opened again, and no date of it was taken back.

    What happens to the row afterwards, such as a decision upon an escalated dispute, does not unsay that it was escalated.
    """
    if not kind.firing_stops:
        return kind.still_true()
    if not kind.outcome_stays:
        return true()
    written = (kind.subject.c[name].is_not(None) for name, value in kind.effect.items() if isinstance(value, Value))
    return and_(not_(func.coalesce(kind.runs_while, false())), *written)


def _facts(kind: DeadlineKind, notice: Notice, known: Row[Any], mail: MailSettings, now: datetime) -> dict[str, Any]:
    facts = {name: legible(value) for name, value in known._mapping.items()}
    to = notice.to.value
    if notice.to is Party.PLATFORM:
        recipient = {"recipient_name": None, "recipient_address": parseaddr(mail.ops)[1], "recipient_id": None, "locale": "en"}
    else:
        recipient = {
            "recipient_name": facts[f"{to}_name"],
            "recipient_address": facts[f"{to}_email"],
            "recipient_id": facts[f"{to}_id"],
            "locale": facts[f"{to}_locale"],
        }
    schedule = facts.pop("schedule")
    return {
        **facts,
        "is_open": facts["state"] == "running" and bool(facts["still_true"]),
        **recipient,
        "zone": schedule["zone"],
        "last_day": date.fromisoformat(schedule["last_day"]),
        "ends": facts.pop("definition")["ends"],
        "now": now,
        "market_name": mail.market_name,
        "site_url": mail.site_url,
    }
