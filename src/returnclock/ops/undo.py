"""Undo: takes an automatic action back, re-arms the clock and tells the parties. Imports given_back, holds and targets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, literal, select, update

from returnclock import claims, ledger, outbox
from returnclock.errors import Refused
from returnclock.facts import away_of
from returnclock.kinds import DeadlineKind
from returnclock.kinds.correction import corrections
from returnclock.moves import dates_of, moved_schedule, telling
from returnclock.ops.given_back import before_firing, give_back, unchanged
from returnclock.ops.targets import Desk, Pages, counted
from returnclock.ops.turn import in_turn
from returnclock.period import Period
from returnclock.policy import Policy, Reckoning
from returnclock.promises import told_outcomes
from returnclock.remaining import Dates, rearmed
from returnclock.scopes import Scope
from returnclock.tables.clock import deadlines, policies
from returnclock.telemetry import Event


def undo(desk: Desk, scope: Scope, *, period: Period | None = None, fired_from: datetime | None = None) -> dict[str, Any]:
    """Take back what fired within the reversal window (``undo_within``); in one transaction.

    period: the time that the party gets from now on, counted as its policy counts; by default what its first reminder leaves
    it, and where there is none, the whole period. fired_from: only what fired at this moment or later.

    Raises:
        Refused: the scope names one row, and nothing of it could be undone.
        CommitUncertain: as `in_turn` does.
    """

    def act(connection: Connection) -> dict[str, Any]:
        now = desk.clock.now(connection)
        since = max(now - desk.book.guards.undo_within, fired_from or now - desk.book.guards.undo_within)
        pages = Pages(connection, whole=scope.is_one_row)
        found = counted(connection, desk.book, scope, "fired")
        done = {"undone": 0, "rearmed": 0, "queued": 0}
        for kind in desk.book.active():
            chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
            chosen = chosen.join(kind.subject, kind.binds()).where(scope.covers(kind), deadlines.c.state == "fired")
            chosen = chosen.where(deadlines.c.fired_at >= since, *unchanged(kind))
            for rows in pages.of(chosen, kind):
                for name, number in _undo_page(connection, desk, kind, rows, period, now).items():
                    done[name] += number
        if scope.is_one_row and not done["undone"]:
            raise Refused(reason=_why_not(scope, found, desk))
        result = {"scope": scope.document(), **desk.said(), "matched": sum(found.values()), "left": pages.left}
        result["would"] = done["undone"]
        changed = dict.fromkeys(done, 0) if desk.dry_run else done
        return {**result, **changed, "dry_run": desk.dry_run}

    return in_turn(desk.engine, act, str(scope))


def _why_not(scope: Scope, found: dict[str, int], desk: Desk) -> str:
    if not found:
        return f"{scope} has no deadline that fired; there is nothing to undo."
    days = desk.book.guards.undo_within
    return f"{scope} cannot be undone: it was changed since it fired, it fired longer ago than {days}, or before this was kept."


def _undo_page(
    connection: Connection, desk: Desk, kind: DeadlineKind, rows: Sequence[Row[Any]], period: Period | None, now: datetime
) -> dict[str, int]:
    known = before_firing(connection, kind, rows)
    ready = [row for row in rows if row.id in known]
    if desk.dry_run or not ready:
        return {"undone": len(ready)}
    give_back(connection, kind, ready, known, now)
    again = claims.still_true(connection, kind, ready)
    away = away_of(connection, desk.book, kind, [row.subject_id for row in ready])
    moves, told = [], []
    for row in ready:
        dates = dates_of(desk.book, row, now)
        dates = dates.leaving_out(away.get(row.subject_id, ()), after=dates.day_before(now))
        reckoned = rearmed(dates, period or _fair(dates.policy), now)
        moves.append(_rearmed(desk, kind, row, dates, reckoned, now, runs=row.id in again))
        told.append(telling(kind, row, reckoned, **desk.said(), anew=True, rearmed=row.id in again))
    _write(connection, moves, now)
    ledger.record_each(connection, desk.hand, now, Event.UNDONE, told)
    queued = _correct(connection, kind, {row.id: row.round for row in ready}, now)
    return {"undone": len(ready), "rearmed": len(again), "queued": queued}


def _correct(connection: Connection, kind: DeadlineKind, rounds: dict[int, int], now: datetime) -> int:
    """Queue a correction to each party who was told of the outcome, or may have been, and to nobody else."""
    heard = told_outcomes(connection, rounds)
    return sum(
        outbox.queue(connection, kind, [notice], [one for one, by in heard.items() if notice.to.value in by], now)
        for notice in corrections(kind)
    )


def _fair(policy: Policy) -> Period:
    """What the party gets unless the operator says otherwise: what its first reminder leaves it, else the whole period."""
    return next((lead for lead in policy.remind if lead.count), policy.period)


def _rearmed(
    desk: Desk, kind: DeadlineKind, row: Row[Any], dates: Dates, reckoned: Reckoning, now: datetime, *, runs: bool
) -> dict[str, Any]:
    return {
        "of": row.id,
        "to_state": "running" if runs else "void",
        "to_promised": reckoned.promised_at if runs else row.promised_at,
        "to_due": reckoned.due_at if runs else row.due_at,
        "to_remind": reckoned.next_reminder(now) if runs else None,
        "to_warn": desk.book.guards.warn_by(kind, reckoned, now) if runs else None,
        "to_settled": None if runs else now,
        "to_schedule": moved_schedule(row, dates, reckoned) if runs else row.schedule,
    }


def _write(connection: Connection, moves: Sequence[dict[str, Any]], now: datetime) -> None:
    rearming = (
        update(deadlines)
        .where(deadlines.c.id == bindparam("of"), deadlines.c.state == "fired")
        .values(
            state=bindparam("to_state"),
            promised_at=bindparam("to_promised"),
            due_at=bindparam("to_due"),
            remind_at=bindparam("to_remind"),
            warn_by=bindparam("to_warn"),
            spared_at=None,
            fired_at=None,
            settled_at=bindparam("to_settled"),
            schedule=bindparam("to_schedule"),
            stamped_at=literal(now, deadlines.c.stamped_at.type),
            round=deadlines.c.round + 1,
        )
    )
    connection.execute(rearming, list(moves))
