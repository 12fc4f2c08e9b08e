"""Writes due dates: new deadlines, and those that run again in place. Imports the nouns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from returnclock import ledger
from returnclock.database import insert_new
from returnclock.errors import BadPolicy
from returnclock.facts import Counted, away_for, count, count_by, counting_start
from returnclock.faults import Fault
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.moves import dates_of, days_left_out, history_of
from returnclock.new_deadlines import insert_explained
from returnclock.policy import NO_GRACE, Policy
from returnclock.promises import not_before_told, told_or_in_hand
from returnclock.remaining import layered
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import deadlines, policies
from returnclock.telemetry import Event


@dataclass
class Stamping:
    """One transaction's means for writing due dates."""

    connection: Connection
    book: Rulebook
    hand: Hand
    now: datetime
    policy_ids: dict[tuple[str, str], int] = field(default_factory=dict)

    def freeze(self, kind: DeadlineKind, used: Iterable[Policy]) -> None:
        """Write those of the policies of a kind that are used for the first time: in one order, whatever their rows' order is.

        Two batches that wrote them in opposite orders would wait for one another's unique keys.
        """
        for _, policy in sorted({one.digest: one for one in used}.items(), key=itemgetter(0)):
            self.policy_id(kind, policy)

    def policy_id(self, kind: DeadlineKind, policy: Policy) -> int:
        """The row in ``clock_policies`` that freezes this policy, written when it is first used."""
        key = (kind.name, policy.digest)
        if key not in self.policy_ids:
            known = select(policies.c.id).where(policies.c.kind == kind.name, policies.c.digest == policy.digest)
            found = self.connection.execute(known).scalar()
            if found is None:  # asked first: a row that is refused as known uses up an id all the same
                row = {"kind": kind.name, "digest": policy.digest, "definition": policy.definition()}
                row["table_name"] = kind.subject.name
                unique = (policies.c.kind, policies.c.digest)
                self.connection.execute(insert_new(self.connection, policies, unique), [row])
                found = self.connection.execute(known).scalar_one()
            self.policy_ids[key] = found
        return self.policy_ids[key]


def insert_deadlines(
    stamping: Stamping,
    kind: DeadlineKind,
    rows: Sequence[Row[Any]],
    kept: Mapping[str, Sequence[Row[Any]]],
    faults: list[Fault],
) -> int:
    """Give each of the rows its due date. Another worker that was first is left alone.

    Returns:
        how many deadlines are new.
    """
    prepared: dict[tuple[str, datetime], tuple[dict[str, Any], dict[str, Any]]] = {}
    for row in sorted(rows, key=attrgetter("subject_id")):  # one order for all workers: no deadlock on the unique key
        before = kept.get(row.subject_id, ())
        try:
            counted = _counted_first(stamping, kind, row, before)
        except BadPolicy as fault:
            faults.append(_uncountable(kind, row, fault))
            continue
        if before:
            counted = _not_before_told(stamping, counted, before)
        prepared[row.subject_id, row.starts_at] = (_values(stamping, kind, row, counted), _detail(counted))
    return insert_explained(stamping.connection, stamping.hand, list(prepared.values()))


def reopen(
    stamping: Stamping,
    kind: DeadlineKind,
    pairs: Sequence[tuple[Row[Any], Row[Any]]],
    kept: Mapping[str, Sequence[Row[Any]]],
    faults: list[Fault],
) -> int:
    """Let settled deadlines run again whose rows run again from the same start.

    A kind that restarts is counted anew from now: the day on which nobody waited for the party is no day of silence. A kind
    that resumes keeps its policy and date, and only reminders that are still to come.

    Returns:
        how many run again.
    """
    told = []
    for row, before in pairs:
        recount = _counted_anew if kind.reopening == "restarts" else partial(_counted_as_before, before=before)
        try:
            counted = recount(stamping, kind, row)
        except BadPolicy as fault:
            faults.append(_uncountable(kind, row, fault))
            continue
        counted = _not_before_told(stamping, counted, kept[row.subject_id])
        values = _values(stamping, kind, row, counted)
        del values["kind"], values["subject_id"], values["starts_at"]
        changed = stamping.connection.execute(
            update(deadlines)
            .where(deadlines.c.id == before.id, deadlines.c.state == before.state)
            .where(exists().where(kind.still_true()).correlate(deadlines))
            .values(**values, state="running", round=deadlines.c.round + 1, settled_at=None, fired_at=None, spared_at=None)
        )
        if changed.rowcount:
            told.append(told_in_ledger(kind, before.id, row.subject_id, counted, was=before.state))
    ledger.record_each(stamping.connection, stamping.hand, stamping.now, Event.REOPENED, told)
    return len(told)


def _uncountable(kind: DeadlineKind, row: Row[Any], fault: BadPolicy) -> Fault:
    said = f"{kind.subject.name} {row.subject_id}: {kind.title} cannot be counted: {fault}"
    return Fault(kind.subject.name, row.subject_id, "uncountable", said, kind.name)


def _counted_first(stamping: Stamping, kind: DeadlineKind, row: Row[Any], kept: Sequence[Row[Any]]) -> Counted:
    """Count from the start, unless the row was seen at rest after it: a front end forgot to write when the turn came back.

    A start that the first anchor tells was written on purpose, and holds; but not where it was settled before. Such a deadline
    is here only where purge has moved it away: in its place it would have been re-opened.
    """
    if kept and kind.reopening == "restarts":
        if any(one.starts_at == row.starts_at for one in kept):
            return _counted_anew(stamping, kind, row)
        at_rest = row.anchor_0 != row.starts_at and all(one.settled_at is not None for one in kept)
        if at_rest and any(one.settled_at > row.starts_at for one in kept):
            return _counted_anew(stamping, kind, row)
    counted = count(stamping.book, kind, row, row.starts_at)
    if kind.fallback and row.anchor_0 is None:
        step = f"{kind.anchors[0].name} is not known: it is counted from {kind.fallback}, until the date is written."
        return with_steps(counted, (step, *counted.reckoning.steps))
    return counted


def _counted_anew(stamping: Stamping, kind: DeadlineKind, row: Row[Any]) -> Counted:
    counted = replace(count(stamping.book, kind, row, stamping.now), anew=True)
    step = f"It had stopped after its start ({row.starts_at:%Y-%m-%d %H:%M} UTC) and is counted anew from when it ran again."
    return with_steps(counted, (step, *counted.reckoning.steps))


def _counted_as_before(stamping: Stamping, kind: DeadlineKind, row: Row[Any], before: Row[Any]) -> Counted:
    """The dates that the deadline had, by the policy that it keeps, whatever settings and calendars say today.

    A vacation that was announced while it rested has moved only what ran: its days that are still to come are skipped now. So
    are all days of one that was announced before, and that a worker came to only while it rested.
    """
    frozen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    kept = stamping.connection.execute(frozen.where(deadlines.c.id == before.id)).one()
    counted_from, schedule = counting_start(kind, kept), kept.schedule
    dates = dates_of(stamping.book, kept, counted_from)
    # Without its grace, which is told as it stands: the date may have been moved since.
    counted = count_by(stamping.book, replace(dates.policy, grace=NO_GRACE), kind, row, row.starts_at)
    history = history_of(stamping.connection, [before.id])[before.id]
    away = away_for(stamping.book, kind, row, dates.zone)
    left_out = days_left_out(away, history, dates, stamping.now)
    dates = dates.leaving_out(left_out, after=dates.day_of(counted_from))
    moved = layered(dates, counted_from)
    reckoning = moved or replace(
        counted.reckoning,
        promised_at=kept.promised_at,
        due_at=kept.due_at,
        last_day=dates.last_day,
        reminders=tuple(datetime.fromisoformat(moment) for moment in schedule["reminders"]),
    )
    days = dates.ahead if moved else dates.calendar
    is_kept = "and keeps its date" if moved is None else "with the date that it had"
    effect = f" It takes effect {kept.due_at:%Y-%m-%d %H:%M} UTC." if kept.due_at != kept.promised_at else ""
    step = f"It runs again from the same start {is_kept}: {kept.promised_at:%Y-%m-%d %H:%M} UTC.{effect}"
    steps = (*counted.reckoning.steps, step, *(moved.steps if moved else ()))
    return with_steps(Counted(dates.policy, schedule["zone"], days, reckoning, counted_from), steps)


def with_steps(counted: Counted, steps: tuple[str, ...]) -> Counted:
    """The same date, told with other steps."""
    return replace(counted, reckoning=replace(counted.reckoning, steps=steps))


def _not_before_told(stamping: Stamping, counted: Counted, kept: Sequence[Row[Any]]) -> Counted:
    later = [one for one in kept if one.promised_at > counted.reckoning.promised_at]
    told = told_or_in_hand(stamping.connection, [one.id for one in later])
    return not_before_told(counted, later, told)


def _values(stamping: Stamping, kind: DeadlineKind, row: Row[Any], counted: Counted) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "subject_id": row.subject_id,
        "party": kind.party.value,
        "starts_at": row.starts_at,
        "promised_at": counted.reckoning.promised_at,
        "due_at": counted.reckoning.due_at,
        "remind_at": counted.reckoning.next_reminder(stamping.now),
        "warn_by": stamping.book.guards.warn_by(kind, counted.reckoning, stamping.now),
        "policy_id": stamping.policy_id(kind, counted.policy),
        "schedule": counted.schedule(),
        "stamped_at": stamping.now,
    }


def told_in_ledger(kind: DeadlineKind, deadline_id: int, subject_id: str, counted: Counted, **more: Any) -> dict[str, Any]:
    """The ledger's row of a date that was given: the date, what made it, and each step of the counting."""
    return {"deadline_id": deadline_id, "kind": kind.name, "subject_id": subject_id, "detail": {**more, **_detail(counted)}}


def _detail(counted: Counted) -> dict[str, Any]:
    return {
        "promised_at": counted.reckoning.promised_at,
        "due_at": counted.reckoning.due_at,
        "zone": counted.zone,
        "calendar": counted.calendar,
        "policy": counted.policy.digest,
        "anew": counted.anew,
        "steps": counted.reckoning.steps,
    }
