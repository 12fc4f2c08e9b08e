"""Recount: counts every open deadline anew by a rulebook, and says how each would move. Read-only.

What `preview` sums up and `restamp` writes is judged here, in one place. Deadlines come in pages by id, each page in a short
transaction of its own, so that a million of them cost neither memory nor a long snapshot. Imports the noun rooms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, literal_column, select

from returnclock.clock import Clock
from returnclock.database import reading, retried
from returnclock.errors import BadPolicy
from returnclock.facts import Counted, count, counting_start, read_facts
from returnclock.holds import covered, standing
from returnclock.kept_days import kept_away
from returnclock.kinds import DeadlineKind
from returnclock.promises import not_before_told, told_of
from returnclock.rulebook import Rulebook
from returnclock.starts import order_fault
from returnclock.tables.clock import LIVE_STATES, deadlines, events, is_live, policies
from returnclock.tables.keys import among, keys_of
from returnclock.telemetry import Event


class Case(StrEnum):
    """What the rules would do with one open deadline. The first four are changes; the others stay as they are."""

    EARLIER = "earlier"
    LATER = "later"
    FIRES_NOW = "would fire now"
    REMINDERS = "other reminders"
    UNCHANGED = "unchanged"
    PROMISED = "kept, a notice has promised it"
    INTERVENED = "left alone, an operator has intervened"
    UNCOUNTABLE = "uncountable"
    SWITCHED_OFF = "kind switched off"
    BEFORE_EFFECTIVE = "started before effective_from"
    NOT_RUNNING = "no longer runs"


NOTICE_GIVEN = "notice_given_at"  # in a schedule: that its date is a restamp's notice, and since when

CHANGES = (Case.EARLIER, Case.LATER, Case.FIRES_NOW, Case.REMINDERS)

# What happens to a deadline by itself. Any other event ``deadline:…`` after its date was given is a person's doing. An amnesty
# and a vacation are not: new rules reach what they moved as they reach what was stamped under the same vacation.
_BY_ITSELF = (
    *(Event.STAMPED, Event.REOPENED, Event.RESTAMPED, Event.MET, Event.VOIDED, Event.REVERTED),
    *(Event.SPARED, Event.POSTPONED),
)


@dataclass(frozen=True, slots=True)
class Move:
    """One open deadline, as it is kept and as the rules would have it.

    reason: why it cannot be counted. digest: that of the policy that it keeps.
    """

    case: Case
    kept: Row[Any]
    counted: Counted | None = None
    facts: Any = None
    reason: str = ""
    digest: str = ""


def recounted(
    engine: Engine, clock: Clock, book: Rulebook, kinds: Sequence[DeadlineKind], *, size: int
) -> Iterator[tuple[DeadlineKind, list[Move], datetime]]:
    """Every open deadline of the kinds, judged by the book: pages of one kind each, with the moment of the judgement.

    Between two pages no transaction is open: whoever takes a page may write before asking for the next one.
    """
    for kind in kinds:
        for state in LIVE_STATES:
            after = 0
            while True:
                moves, now = retried(partial(_page, engine, clock, book, kind, state, after, size))
                if moves:
                    yield kind, moves, now
                if len(moves) < size:
                    break
                after = moves[-1].kept.id


def _page(
    engine: Engine, clock: Clock, book: Rulebook, kind: DeadlineKind, state: str, after: int, size: int
) -> tuple[list[Move], datetime]:
    with reading(engine) as connection:
        now = clock.now(connection)
        # Literal words: only then is a partial index seen to serve it.
        here = (deadlines.c.kind == kind.name, deadlines.c.state == literal_column(f"'{state}'"), is_live)
        chosen = select(deadlines).where(*here, deadlines.c.id > after).order_by(deadlines.c.id).limit(size)
        rows = connection.execute(chosen).all()
        # Not joined: MariaDB would begin with the few policies, and sort all of their deadlines for each page.
        kept = select(policies.c.id, policies.c.digest).where(policies.c.id.in_({row.policy_id for row in rows}))
        digests = {row.id: row.digest for row in connection.execute(kept)} if rows else {}
        moves = _judged(connection, book, kind, rows, now) if rows else []
        return [replace(move, digest=digests[move.kept.policy_id]) for move in moves], now


def _judged(connection: Connection, book: Rulebook, kind: DeadlineKind, rows: Sequence[Row[Any]], now: datetime) -> list[Move]:
    if kind.name not in book.rules:
        return [Move(Case.SWITCHED_OFF, row) for row in rows]
    keys = keys_of({row.subject_id for row in rows}, kind.subject_key)
    facts = {row.subject_id: row for row in read_facts(connection, kind, keys)}
    # Also what a hold covers and has not marked yet.
    touched = _intervened(connection, rows) | covered(connection, kind, standing(connection, now), [row.id for row in rows])
    moves = [_judge(book, kind, row, facts.get(row.subject_id), row.id in touched, now) for row in rows]
    earlier = [move for move in moves if move.counted and move.counted.reckoning.promised_at != move.kept.promised_at]
    told = _told_by_subject(connection, kind, earlier)
    return [_as_spared(_as_promised(move, told.get(move.kept.subject_id, ()), now), now) for move in moves]


def _intervened(connection: Connection, rows: Sequence[Row[Any]]) -> set[int]:
    """Those that an operator has held, extended or otherwise moved since their date was given."""
    given = {row.id: row.stamped_at for row in rows}
    chosen = select(events.c.deadline_id, events.c.at).where(
        among(events.c.deadline_id, list(given)),
        events.c.event.like("deadline:%"),
        events.c.event.not_in([str(event) for event in _BY_ITSELF]),
    )
    return {row.deadline_id for row in connection.execute(chosen) if row.at >= given[row.deadline_id]}


def _judge(book: Rulebook, kind: DeadlineKind, row: Row[Any], facts: Any, touched: bool, now: datetime) -> Move:
    if facts is None or not facts.runs or facts.starts_at != row.starts_at:
        return Move(Case.NOT_RUNNING, row)
    if row.state == "held" or touched:
        return Move(Case.INTERVENED, row)
    since = book.rules[kind.name].effective_from
    if since is not None and row.starts_at < since:
        return Move(Case.BEFORE_EFFECTIVE, row)
    fault = order_fault(kind, facts)
    if fault is not None:
        return Move(Case.UNCOUNTABLE, row, reason=fault.problem)
    try:
        counted = count(book, kind, facts, counting_start(kind, row), given=_given_days(row))
    except BadPolicy as refused:
        return Move(Case.UNCOUNTABLE, row, reason=str(refused))
    counted = with_past_reminders(counted, row, now)
    return Move(case_of(row, counted, now), row, counted, facts)


def _given_days(row: Row[Any]) -> frozenset[date]:
    """The days of vacation that made the date as it is: it was given with them, although the vacation was taken back since."""
    last_day = date.fromisoformat(row.schedule["last_day"])
    return frozenset(day for day in kept_away(row.schedule) if day <= last_day)


def case_of(row: Row[Any], counted: Counted, now: datetime) -> Case:
    """What the newly counted date means for a running deadline."""
    new = counted.reckoning
    if row.due_at <= now and new.due_at <= now:
        return Case.UNCHANGED  # it is due either way, and the sweep has it in hand
    if (new.due_at, new.promised_at) == (row.due_at, row.promised_at):
        return Case.UNCHANGED if _coming(row, now) == [one for one in new.reminders if one > now] else Case.REMINDERS
    if new.due_at <= now:
        return Case.FIRES_NOW
    return Case.EARLIER if (new.due_at, new.promised_at) < (row.due_at, row.promised_at) else Case.LATER


def with_past_reminders(counted: Counted, row: Row[Any], now: datetime) -> Counted:
    """Keep the reminders that are past as they were, and take those to come as counted.

    A reminder's number is that of the moments before it, and one number is sent once: if the past ones were forgotten, the
    next would take a number that was sent already, and be lost.
    """
    past = [moment for moment in _reminders(row) if moment <= now]
    coming = [moment for moment in counted.reckoning.reminders if moment > now]
    return replace(counted, reckoning=replace(counted.reckoning, reminders=(*past, *coming)))


def _reminders(row: Row[Any]) -> list[datetime]:
    return [datetime.fromisoformat(moment) for moment in row.schedule["reminders"]]


def _coming(row: Row[Any], now: datetime) -> list[datetime]:
    return [moment for moment in _reminders(row) if moment > now]


def _told_by_subject(connection: Connection, kind: DeadlineKind, moved: Sequence[Move]) -> Mapping[str, Sequence[Row[Any]]]:
    """Of the subjects of the moved deadlines, all deadlines of the kind that a sent notice has promised a later date for."""
    if not moved:
        return {}
    wanted = {move.kept.subject_id: move.counted.reckoning.promised_at for move in moved if move.counted}
    columns = (deadlines.c.id, deadlines.c.subject_id, deadlines.c.promised_at, deadlines.c.schedule)
    chosen = select(*columns).where(among(deadlines.c.subject_id, sorted(wanted)), deadlines.c.kind == kind.name)
    later = [row for row in connection.execute(chosen) if row.promised_at > wanted[row.subject_id]]
    # What a restamp has given notice of counts as told before the notice is sent.
    told = told_of(connection, [row.id for row in later]) | {row.id for row in later if NOTICE_GIVEN in row.schedule}
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in later:
        if row.id in told:
            found[row.subject_id].append(row)
    return found


def _as_promised(move: Move, told: Sequence[Row[Any]], now: datetime) -> Move:
    if not told or move.counted is None:
        return move
    counted = not_before_told(move.counted, told, {row.id for row in told})
    counted = with_past_reminders(counted, move.kept, now)
    case = case_of(move.kept, counted, now)
    if case in (Case.UNCHANGED, Case.REMINDERS):
        return replace(move, case=Case.PROMISED)
    return replace(move, case=case, counted=counted)


def _as_spared(move: Move, now: datetime) -> Move:
    """What amnesty has granted is not taken away by a rule: who was told so late has that time to act."""
    kept, counted = move.kept, move.counted
    if kept.spared_at is None or counted is None or move.case not in (Case.EARLIER, Case.FIRES_NOW):
        return move
    if counted.reckoning.due_at >= kept.due_at:
        return move
    step = f"Its party was warned late and has until {kept.due_at:%Y-%m-%d %H:%M} UTC: it does not take effect before that."
    reckoning = replace(counted.reckoning, due_at=kept.due_at, steps=(*counted.reckoning.steps, step))
    counted = replace(counted, reckoning=reckoning)
    return replace(move, case=case_of(kept, counted, now), counted=counted)
