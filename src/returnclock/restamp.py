"""Restamp: moves open deadlines to the dates that the rules of today give them. The only way in which a rule moves one.

A page is judged by `recount` without locks and written in one transaction that restates all of it: the deadline still runs,
with the same policy and dates as when it was judged, and no notice has promised a later day meanwhile. What changed in between
stays as it is. A crash leaves whole pages, and a second run finds the rest. Imports recount.

Locks are taken in the order that `sweep` tells. A notice that is being written holds its lock until its text is fixed, so it is
waited for, and counts as a promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select

from returnclock import ledger
from returnclock.bulk import RowsUpdate
from returnclock.clock import Clock
from returnclock.database import retried, writing
from returnclock.facts import Counted, count_by
from returnclock.holds import covered, standing
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.moves import shifted_warning
from returnclock.period import Period, Unit
from returnclock.promises import told_or_in_hand
from returnclock.recount import CHANGES, NOTICE_GIVEN, Case, Move, recounted, with_past_reminders
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import deadlines, is_running
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event
from returnclock.write_deadlines import Stamping, told_in_ledger, with_steps

Overdue = Literal["fire", "notice", "skip"]
CHANGED_MEANWHILE = "changed meanwhile"
SKIPPED = "skipped, would fire now"
GIVEN_NOTICE = "given notice"

_MOVING = RowsUpdate(deadlines, ("promised_at", "due_at", "remind_at", "warn_by", "spared_at", "policy_id", "schedule"))


@dataclass(frozen=True)
class Plan:
    """What restamp works with.

    overdue: what becomes of a deadline that would fire now: ``fire`` lets it, ``notice`` gives its party a reminder and
        ``notice_days`` more days from now, ``skip`` leaves it as it was.
    reason: why the dates move, for the ledger and for whoever asks later.
    """

    engine: Engine
    clock: Clock
    book: Rulebook
    hand: Hand
    reason: str
    overdue: Overdue
    notice_days: int = 3
    batch_size: int = 1000


@dataclass
class Restamped:
    """What restamp did, by kind: how many deadlines were moved in each case, and how many were left, each with why."""

    moved: dict[str, Counter[str]] = field(default_factory=dict)
    left: dict[str, Counter[str]] = field(default_factory=dict)

    def total(self) -> int:
        """How many deadlines were moved."""
        return sum(sum(cases.values()) for cases in self.moved.values())

    def as_json(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        by_kind = {
            kind: {"moved": dict(self.moved.get(kind, {})), "left": dict(self.left.get(kind, {}))}
            for kind in sorted({*self.moved, *self.left})
        }
        return {"moved": self.total(), "by_kind": by_kind}


def restamp(
    plan: Plan, kinds: Sequence[DeadlineKind], *, progress: Callable[[int, int], None] = lambda _looked_at, _moved: None
) -> Restamped:
    """Give every open deadline of the kinds its date by the plan's rules, page by page.

    ``progress`` is handed how many were looked at and moved, after each page.
    """
    done, looked_at = Restamped(), 0
    for kind, moves, _ in recounted(plan.engine, plan.clock, plan.book, kinds, size=plan.batch_size):
        moved, left = Counter[str](), Counter[str]()
        wanted = []
        for move in moves:
            if move.case is Case.FIRES_NOW and plan.overdue == "skip":
                left[SKIPPED] += 1
            elif move.case in CHANGES:
                wanted.append(move)
            else:
                left[str(move.case)] += 1
        if wanted:
            written = retried(partial(_write, plan, kind, wanted))
            moved.update(written)
            left[CHANGED_MEANWHILE] += len(wanted) - len(written)
        # Only now: a page that failed and was taken again is counted once.
        done.moved.setdefault(kind.name, Counter()).update(moved)
        done.left.setdefault(kind.name, Counter()).update(+left)
        looked_at += len(moves)
        progress(looked_at, done.total())
    return done


def _write(plan: Plan, kind: DeadlineKind, moves: Sequence[Move]) -> list[str]:
    """Write one page of changes.

    Returns:
        what became of each deadline that was moved.
    """
    with writing(plan.engine) as connection:
        now = plan.clock.now(connection)
        stamping = Stamping(connection, plan.book, plan.hand, now)
        unchanged = _unchanged(connection, moves)
        unchanged -= covered(connection, kind, standing(connection, now), sorted(unchanged))
        locked = [move for move in moves if move.kept.id in unchanged]
        stamping.freeze(kind, [move.counted.policy for move in locked if move.counted])
        promised = _promised(connection, locked)
        rows, told, became = [], [], []
        for move in locked:
            decided = _decided(plan, kind, move, now) if move.kept.id not in promised else None
            if decided is None:
                continue
            counted, case = decided
            rows.append(_values(stamping, kind, move, counted, case, now))
            told.append(_told(plan, kind, move, counted, case))
            became.append(case)
        _MOVING.run(connection, rows)
        ledger.record_each(connection, plan.hand, now, Event.RESTAMPED, told)
        return became


def _unchanged(connection: Connection, moves: Sequence[Move]) -> set[int]:
    """Lock the deadlines, and find those that are still as they were judged."""
    judged = {move.kept.id: _identity(move.kept) for move in moves}
    columns = [deadlines.c[name] for name in ("id", *_IDENTITY)]
    chosen = select(*columns).where(among(deadlines.c.id, sorted(judged)), is_running)
    rows = connection.execute(by_index(chosen, deadlines).order_by(deadlines.c.id).with_for_update())
    return {row.id for row in rows if _identity(row) == judged[row.id]}


_IDENTITY = ("policy_id", "starts_at", "promised_at", "due_at", "remind_at", "round")


def _identity(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _IDENTITY)


def _promised(connection: Connection, moves: Sequence[Move]) -> set[int]:
    """Of the deadlines that would move earlier, those of which a notice is in hand or was sent since they were judged."""
    earlier = [move.kept.id for move in moves if move.counted and move.counted.reckoning.promised_at < move.kept.promised_at]
    # What was told when the page was judged is in the judgement; it would not ask to move earlier.
    return told_or_in_hand(connection, earlier)


def _decided(plan: Plan, kind: DeadlineKind, move: Move, now: datetime) -> tuple[Counted, str] | None:
    """The date that a deadline gets, with what became of it; None where it is left as it was."""
    assert move.counted is not None
    if move.counted.reckoning.due_at > now or move.kept.due_at <= now:
        return move.counted, str(move.case)
    # It would fire now, also where it would not yet have done so a moment ago, when it was judged.
    if plan.overdue == "notice":
        return _given_notice(plan, kind, move, move.counted, now), GIVEN_NOTICE
    return (move.counted, str(Case.FIRES_NOW)) if plan.overdue == "fire" else None


def _given_notice(plan: Plan, kind: DeadlineKind, move: Move, by_rule: Counted, now: datetime) -> Counted:
    """Count some days from now instead of from the start; the new rule is the deadline's policy all the same."""
    policy = replace(by_rule.policy, period=Period(plan.notice_days, Unit.DAY))
    counted = count_by(plan.book, policy, kind, move.facts, now)
    step = (
        f"By the rule of {now:%Y-%m-%d} it would have ended on {by_rule.reckoning.due_at:%Y-%m-%d %H:%M} UTC. "
        f"Notice is given and {policy.period} are counted from now."
    )
    by_rule_from = replace(counted, policy=by_rule.policy, counted_from=by_rule.counted_from)
    counted = with_steps(by_rule_from, (step, *counted.reckoning.steps))
    counted = with_past_reminders(counted, move.kept, now)
    if not kind.notices_for("reminder"):
        return counted
    # One reminder at once; send-reminders queues it, and says by when the party must act now.
    reminders = tuple(sorted({now, *counted.reckoning.reminders}))
    return replace(counted, reckoning=replace(counted.reckoning, reminders=reminders))


def _values(stamping: Stamping, kind: DeadlineKind, move: Move, counted: Counted, case: str, now: datetime) -> dict[str, Any]:
    waits = move.kept.remind_at is not None and move.kept.remind_at <= now  # one that is due already is not forgotten
    coming = next((moment for moment in counted.reckoning.reminders if moment >= now), None)
    return {
        "id": move.kept.id,
        "promised_at": counted.reckoning.promised_at,
        "due_at": counted.reckoning.due_at,
        "remind_at": move.kept.remind_at if waits else coming,
        # A warning that is owed, and whose reminder is not out yet, is owed for the new date as well.
        "warn_by": stamping.book.guards.warn_by(kind, counted.reckoning, now)
        or shifted_warning(move.kept, counted.reckoning.due_at),
        # As after an extension: amnesty was granted for the date of then.
        "spared_at": None if counted.reckoning.promised_at > move.kept.promised_at else move.kept.spared_at,
        "policy_id": stamping.policy_id(kind, counted.policy),
        "schedule": counted.schedule() | ({NOTICE_GIVEN: now.isoformat()} if case == GIVEN_NOTICE else {}),
    }


def _told(plan: Plan, kind: DeadlineKind, move: Move, counted: Counted, case: str) -> dict[str, Any]:
    kept = move.kept
    before = {"promised_at": kept.promised_at.isoformat(), "due_at": kept.due_at.isoformat(), "policy": move.digest}
    return told_in_ledger(kind, kept.id, kept.subject_id, counted, case=case, reason=plan.reason, before=before)
