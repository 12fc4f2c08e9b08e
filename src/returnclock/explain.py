"""Explain: tells the whole story of one row's deadlines from the ledger, the frozen policy and the outbox. Read-only.

Nothing is worked out again: the steps of the counting are those that were kept when the date was given, so the story is
what really happened even after a rule, a holiday or a time zone has changed, and after purge has moved it into the archive.
Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from returnclock.calendars import zone
from returnclock.errors import NotFound
from returnclock.facts import read_facts
from returnclock.kinds import DeadlineKind
from returnclock.localtime import say_local
from returnclock.notice_facts import Untrue
from returnclock.parcels import judge
from returnclock.policy import Policy
from returnclock.recall import Kept, recall
from returnclock.rulebook import Rulebook
from returnclock.settings import MailSettings
from returnclock.spelling import as_kept
from returnclock.starts import anchor_fault, order_fault
from returnclock.tables.clock import LIVE_STATES, changes, problems
from returnclock.tables.keys import keys_of
from returnclock.telemetry import Event
from returnclock.telling import sentence

_MOVED = (Event.RESUMED, Event.EXTENDED, Event.POSTPONED, Event.SPARED)


@dataclass(frozen=True)
class Story:
    """One deadline's story: what it is now, by which rule, how it was counted, what happened, what comes next.

    ``summary`` says it in one breath; each of ``events`` has under ``told`` what happened, as a sentence.
    """

    summary: str
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


def explain(
    connection: Connection, book: Rulebook, mail: MailSettings, table: str, subject_id: str, now: datetime
) -> Explanation:
    """Tell the story of one row of the market.

    Raises:
        NotFound: no kind of deadline binds such a table, or there is neither such a row nor any memory of it.
    """
    table = book.market.named(table, {kind.subject.name for kind in book.kinds})
    kinds = book.binding(table)
    subject_id = as_kept(connection, kinds, subject_id)
    stories, without = [], []
    exists = False
    around = {(table, subject_id)}
    for kind in kinds:
        (facts,) = read_facts(connection, kind, keys_of([subject_id], kind.subject_key)) or (None,)
        exists = exists or facts is not None
        around |= _around(kind, facts)
        remembered = recall(connection, kind, subject_id)
        told = [_story(kind, _waiting(connection, book, mail, kept, now), facts, now) for kept in remembered]
        stories += told
        if not any(story.deadline["state"] in LIVE_STATES for story in told):
            reason = _why_none(connection, book, kind, facts, bool(told), now)
            if reason:
                without.append({"kind": kind.name, "reason": reason})
    if not exists and not stories:
        raise NotFound(what=f"row in {table} with the id", which=subject_id, hint="")
    return Explanation(table, subject_id, exists, tuple(stories), tuple(without), _problems(connection, around))


def _waiting(connection: Connection, book: Rulebook, mail: MailSettings, kept: Kept, now: datetime) -> Kept:
    """The same, and of each notice that waits why it would not be sent as things stand, if so: ``untrue_because``."""
    unsent: list[Any] = [SimpleNamespace(**notice) for notice in kept.notices if notice["state"] in ("queued", "sending")]
    judged = judge(connection, book, mail, unsent, now) if unsent else ()
    untrue = {one.row.id: one.reason for one in judged if isinstance(one, Untrue)}
    notices = tuple(notice | {"untrue_because": untrue.get(notice["id"])} for notice in kept.notices)
    return replace(kept, notices=notices)


def _story(kind: DeadlineKind, kept: Kept, facts: Any, now: datetime) -> Story:
    row = SimpleNamespace(**kept.deadline)
    happened = [{**event, "told": sentence(event, kind)} for event in kept.events]
    policy = Policy.from_definition(kept.definition)
    ends = {"same_time": "at the same time of day", "end_of_day": "with the last day"}[policy.ends]
    rule = f"{policy.period} for {kind.title}, ending {ends}; counted for the {row.party}"
    following = _next(kind, row, facts, kept.notices, happened, now)
    if kept.archived_at is not None:
        following += f" Purge moved its history to clock_archive on {kept.archived_at:%Y-%m-%d}."
    summary, steps = _summary(kind, row, now), _steps(happened)
    return Story(summary, kept.deadline, rule, kept.definition, steps, tuple(happened), tuple(kept.notices), following)


def _summary(kind: DeadlineKind, row: Any, now: datetime) -> str:
    """How it stands, in one sentence, in the time of the place where the days are counted."""
    local = zone(row.schedule["zone"])
    until = say_local(row.promised_at.astimezone(local))
    if row.state == "running":
        return _still_running(kind, row, until, now)
    if row.state == "held":
        return f"The clock for {kind.title} is held. Without the hold it would end {until}."
    ended = say_local(row.settled_at.astimezone(local)) if row.settled_at else "at a time that was not kept"
    if row.state == "fired":
        return _taken_effect(kind, row, until, ended)
    if row.state == "met":
        # Settled is when it was seen; what was seen after the time was up may have come before, and is not known to have.
        when = "in time" if row.settled_at and row.settled_at <= row.promised_at else "before the rule took effect"
        return f"{kind.told.came} {when} (there was time until {until}); that was seen {ended}."
    if row.fired_at:
        return f"{kind.told.over}. The rule had taken effect {ended}, and that was taken back."
    return f"{kind.told.over}; that was seen {ended}. There would have been time until {until}."


def _still_running(kind: DeadlineKind, row: Any, until: str, now: datetime) -> str:
    if now < row.promised_at and now < row.due_at:
        return f"{kind.told.runs} until {until}: {_span(row.promised_at - now)} left."
    if now < row.due_at:  # grace, or somebody who is warned first
        acts = say_local(row.due_at.astimezone(zone(row.schedule["zone"])))
        left = _span(row.due_at - now)
        return f"The time for {kind.awaits_what} ended {until}, and the rule takes effect {acts}: {left} left."
    past = f"{_span(now - row.due_at)} ago"
    ended = f"{until}, {past}," if row.due_at == row.promised_at else f"{until}; the rule was to take effect {past},"
    return f"The time for {kind.awaits_what} ended {ended} and the next sweep enforces it."


def _taken_effect(kind: DeadlineKind, row: Any, until: str, ended: str) -> str:
    if row.fired_at and row.fired_at < min(row.promised_at, row.due_at):  # nothing but an operator's hand does that
        return f"The rule took effect {ended} by hand, before the time for {kind.awaits_what} was up ({until})."
    late = row.fired_at - row.due_at if row.fired_at else timedelta()
    after = f", {_span(late)} after it was due" if late >= timedelta(minutes=1) else ""
    return f"{kind.told.missed} by {until}, so the rule took effect {ended}{after}."


def _span(length: timedelta) -> str:
    """A length of time in its two largest units."""
    minutes = int(length.total_seconds()) // 60
    parts = [(minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute")]
    said = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count]
    return " and ".join(said[:2]) or "less than a minute"


def _steps(happened: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Every step to the date, from when it was last counted; what moved it since goes on from there."""
    steps: list[str] = []
    for event in happened:
        detail = event["detail"] or {}
        if "steps" in detail:
            steps = [*steps, *detail["steps"]] if event["event"] in _MOVED else list(detail["steps"])
    return tuple(steps)


def _why_held(happened: Sequence[dict[str, Any]]) -> str:
    by_whom = [event["detail"] for event in happened if event["event"] == Event.HELD]
    if not by_whom:
        return ""
    until = f", until {by_whom[-1]['until']}" if by_whom[-1].get("until") else ""
    return f" (hold {by_whom[-1]['hold']} by {by_whom[-1]['by']}: {by_whom[-1]['reason']}{until})"


def _next(
    kind: DeadlineKind,
    row: Any,
    facts: Any,
    notices: Sequence[dict[str, Any]],
    happened: Sequence[dict[str, Any]],
    now: datetime,
) -> str:
    waiting = sum(1 for one in notices if one["state"] in ("queued", "sending") and not one["untrue_because"])
    mail = f" {waiting} notice(s) wait to be delivered." if waiting else ""
    if row.state == "held":
        return f"It is held{_why_held(happened)}; nothing happens until it is resumed, and what was left is kept." + mail
    if row.state != "running":
        return ("Nothing more comes of this deadline." if not waiting else "") + mail
    if facts is None or not facts.runs or facts.starts_at != row.starts_at:
        return "The row no longer runs from this start: it is settled at the next stamp and cannot fire." + mail
    acts = f"{kind.event} at {row.due_at:%Y-%m-%d %H:%M:%S} UTC unless the clock stops before"
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
