"""Explain: tells the whole story of one row's deadlines from the ledger, the frozen policy and the outbox. Read-only.

Nothing is worked out again: the steps of the counting are those that were kept when the date was given, so the story is
what really happened even after a rule, a holiday or a time zone has changed. Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from returnclock.errors import NotFound
from returnclock.facts import read_facts
from returnclock.faults import anchor_fault, order_fault
from returnclock.kinds import DeadlineKind
from returnclock.policy import Policy
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import LIVE_STATES, changes, deadlines, events, outbox, policies, problems
from returnclock.tables.types import keys_of


@dataclass(frozen=True)
class Story:
    """One deadline's story: what it is now, by which rule, how it was counted, what happened, what comes next."""

    deadline: dict[str, Any]
    rule: str
    policy: dict[str, Any]
    steps: tuple[str, ...]
    events: tuple[dict[str, Any], ...]
    notices: tuple[dict[str, Any], ...]
    next: str


@dataclass(frozen=True)
class Explanation:
    """All that there is to say of one row: a story for each deadline, the silence of the others, and its problems."""

    table: str
    id: str
    exists: bool
    stories: tuple[Story, ...]
    without: tuple[dict[str, str], ...]
    problems: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The same, ready for JSON but for its instants."""
        return asdict(self)


def explain(connection: Connection, book: Rulebook, table: str, subject_id: str, now: datetime) -> Explanation:
    """Tell the story of one row of the market.

    Raises:
        NotFound: no kind of deadline binds such a table, or there is neither such a row nor any memory of it.
    """
    table = book.market.named(table, {kind.subject.name for kind in book.kinds})
    kinds = [kind for kind in book.kinds if kind.subject.name == table]
    if not kinds:
        tables = sorted({kind.subject.name for kind in book.kinds})
        close = get_close_matches(table, tables, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else f"; deadlines bind {', '.join(tables)}"
        raise NotFound(what="table with deadlines", which=table, hint=hint)
    stories, without = [], []
    exists = False
    around = {(table, subject_id)}
    for kind in kinds:
        (facts,) = read_facts(connection, kind, keys_of([subject_id], kind.subject_key)) or (None,)
        exists = exists or facts is not None
        around |= _around(kind, facts)
        told = [_story(connection, kind, row, facts, now) for row in _kept(connection, kind, subject_id)]
        stories += told
        if not any(story.deadline["state"] in LIVE_STATES for story in told):
            reason = _why_none(connection, book, kind, facts, bool(told), now)
            if reason:
                without.append({"kind": kind.name, "reason": reason})
    if not exists and not stories:
        raise NotFound(what=f"row in {table} with the id", which=subject_id, hint="")
    return Explanation(table, subject_id, exists, tuple(stories), tuple(without), _problems(connection, around))


def _kept(connection: Connection, kind: DeadlineKind, subject_id: str) -> Sequence[Row[Any]]:
    chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    chosen = chosen.where(deadlines.c.kind == kind.name, deadlines.c.subject_id == subject_id)
    return connection.execute(chosen.order_by(deadlines.c.starts_at)).all()


def _story(connection: Connection, kind: DeadlineKind, row: Row[Any], facts: Any, now: datetime) -> Story:
    about = select(events).where(events.c.deadline_id == row.id).order_by(events.c.id)
    happened = [dict(event._mapping) for event in connection.execute(about)]
    counted = [event["detail"] for event in happened if event["detail"] and "steps" in event["detail"]]
    mailed = connection.execute(select(outbox).where(outbox.c.deadline_id == row.id).order_by(outbox.c.id))
    notices = tuple(dict(notice._mapping) for notice in mailed)
    told = dict(row._mapping)
    definition = told.pop("definition")
    policy = Policy.from_definition(definition)
    rule = f"{policy.period} for {kind.title}, ends at the {policy.ends.replace('_', ' ')}, on the {row.party}'s clock"
    steps = tuple(counted[-1]["steps"]) if counted else ()
    return Story(told, rule, definition, steps, tuple(happened), notices, _next(kind, row, facts, notices, now))


def _next(kind: DeadlineKind, row: Row[Any], facts: Any, notices: Sequence[dict[str, Any]], now: datetime) -> str:
    waiting = sum(1 for notice in notices if notice["state"] in ("queued", "sending"))
    mail = f" {waiting} notice(s) wait to be delivered." if waiting else ""
    if row.state == "held":
        return "It is held; nothing happens until it is resumed." + mail
    if row.state != "running":
        return ("Nothing more comes of this deadline." if not waiting else "") + mail
    if facts is None or not facts.runs or facts.starts_at != row.starts_at:
        return "The row no longer runs from this start: it is settled at the next stamp and cannot fire." + mail
    acts = f"{kind.event} at {row.due_at:%Y-%m-%d %H:%M:%S} UTC unless the {row.party} acts first"
    if row.due_at <= now:
        acts = f"{kind.event} with the next sweep: it is due since {row.due_at:%Y-%m-%d %H:%M:%S} UTC"
    reminder = f"a reminder at {row.remind_at:%Y-%m-%d %H:%M:%S} UTC, then " if row.remind_at else ""
    return f"Next: {reminder}{acts}.{mail}"


def _why_none(connection: Connection, book: Rulebook, kind: DeadlineKind, facts: Any, had_one: bool, now: datetime) -> str:
    if kind.name not in book.rules:
        return "" if facts is None else f"{kind.title} has no deadline: this kind is off until it has a period."
    if facts is None:
        return ""
    if not facts.runs:
        return "" if had_one else f"{kind.title} has no deadline: the row does not run."
    fault = order_fault(kind, facts) or anchor_fault(kind, facts, now)
    if fault is not None:
        return fault.problem
    since = book.rules[kind.name].effective_from
    if since is not None and facts.starts_at < since:
        return f"{kind.title} has no deadline: it started before effective_from ({since:%Y-%m-%d})."
    noted = select(changes.c.id).where(changes.c.table_name == kind.subject.name, changes.c.subject_id == facts.subject_id)
    if connection.execute(noted.limit(1)).first():
        return f"{kind.title} has no deadline yet: the change is noted and waits to be stamped."
    return "" if had_one else f"{kind.title} has no deadline yet; reconcile will find it."


def _around(kind: DeadlineKind, facts: Any) -> set[tuple[str, str]]:
    """The rows that a subject's deadline leans on: its order and its parties."""
    if facts is None or kind.order_id is None:
        return set()
    named = {("orders", facts.order_id), ("sellers", facts.seller), ("buyers", facts.buyer)}
    return {(table, str(identity)) for table, identity in named if identity is not None}


def _problems(connection: Connection, around: set[tuple[str, str]]) -> tuple[dict[str, Any], ...]:
    rows = or_(*(and_(problems.c.table_name == table, problems.c.subject_id == one) for table, one in sorted(around)))
    return tuple(dict(row._mapping) for row in connection.execute(select(problems).where(rows).order_by(problems.c.id)))
