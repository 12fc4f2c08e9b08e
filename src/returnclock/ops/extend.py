"""Extend: gives deadlines more time, by a period in the units of their policy or until a moment. Imports holds and targets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from returnclock import ledger
from returnclock.errors import BadPeriod, BadPolicy, Refused
from returnclock.facts import away_of
from returnclock.kinds import DeadlineKind
from returnclock.moves import beginning, dates_of, history_of, moved_values, telling, write_moves
from returnclock.ops.targets import Desk, Pages, counted
from returnclock.ops.turn import in_turn
from returnclock.period import Period
from returnclock.policy import Policy, Reckoning
from returnclock.remaining import Dates, extended, extended_until
from returnclock.scopes import Scope
from returnclock.tables.clock import LIVE_STATES, deadlines, policies
from returnclock.telemetry import Event

# Further is a slip of the pen (2206 for 2026), and what hangs on the date would be counted day by day.
FARTHEST = timedelta(days=3660)


def extend(desk: Desk, scope: Scope, *, add: str | None = None, until: datetime | None = None) -> dict[str, Any]:
    """Move the communicated date of live deadlines on, and all that hangs on it; in one transaction.

    add: a period such as "2 business days", or a bare number of the units of each policy. until: the new communicated date.
    One that would not be later than it is, or not later than now, or more than ten years from now, is left alone and counted.

    Raises:
        Refused: the scope names one row, and nothing of it could be extended; or ``until`` is more than ten years from now.
        BadPeriod: ``add`` is none.
        CommitUncertain: as `in_turn` does.
    """

    def act(connection: Connection) -> dict[str, Any]:
        now = desk.clock.now(connection)
        if until is not None and until - now > FARTHEST:
            raise Refused(
                reason=f"{until:%Y-%m-%d} is more than ten years from now, so nothing was extended. Is the year right?"
            )
        pages = Pages(connection, whole=scope.is_one_row)
        found = counted(connection, desk.book, scope, *LIVE_STATES)
        result = {"scope": scope.document(), **desk.said(), "add": add, "until": until, "matched": sum(found.values())}
        moved: list[dict[str, Any]] = []
        for kind in desk.book.kinds:
            chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
            chosen = chosen.join(kind.subject, kind.still_true()).where(scope.covers(kind), deadlines.c.state.in_(LIVE_STATES))
            for rows in pages.of(chosen, kind):
                moved += _extend_page(connection, desk, kind, rows, add, until, now)
        if scope.is_one_row and not moved:
            why = (
                "no deadline of it runs"
                if not found
                else "its date would not be later than it is and later than now, or more than ten years from now, "
                "or later than calendars reach"
            )
            raise Refused(reason=f"{scope} cannot be extended: {why}.")
        dates = [told["detail"] for told in moved[:20]]
        shown = [{"was": detail["was_promised_at"], "promised_at": detail["promised_at"]} for detail in dates]
        extended_count = 0 if desk.dry_run else len(moved)
        done = {"extended": extended_count, "would": len(moved), "left": pages.left}
        return {**result, **done, "dates": shown, "dry_run": desk.dry_run}

    return in_turn(desk.engine, act, str(scope))


def _extend_page(
    connection: Connection, desk: Desk, kind: DeadlineKind, rows: Any, add: str | None, until: datetime | None, now: datetime
) -> list[dict[str, Any]]:
    history = history_of(connection, [row.id for row in rows])
    moves: dict[str, list[dict[str, Any]]] = {"running": [], "held": []}
    told = []
    away = away_of(connection, desk.book, kind, [row.subject_id for row in rows])
    for row in rows:
        dates = dates_of(desk.book, row, beginning(row, history[row.id]))
        dates = dates.leaving_out(away.get(row.subject_id, ()), after=dates.last_day)
        reckoned = _reckoned(dates, add, until)
        if reckoned is None or not max(row.promised_at, now) < reckoned.promised_at <= now + FARTHEST:
            continue
        moves[row.state].append(moved_values(desk.book, kind, row, dates, reckoned, now))
        told.append(telling(kind, row, reckoned, **desk.said()))
    if not desk.dry_run:
        for state, those in moves.items():
            write_moves(connection, those, state, state)
        ledger.record_each(connection, desk.hand, now, Event.EXTENDED, told)
    return told


def _reckoned(dates: Dates, add: str | None, until: datetime | None) -> Reckoning | None:
    try:
        if until is not None:
            return extended_until(dates, until) if until > dates.promised_at else None
        return extended(dates, period_of(add or "", dates.policy))
    except (BadPolicy, OverflowError):
        return None  # past what calendars know, or past the year 9999


def period_of(written: str, policy: Policy) -> Period:
    """A period as an operator writes it; a bare number counts the units of the policy. Raises BadPeriod."""
    text = written.strip()
    try:
        return Period(int(text), policy.period.unit) if text.isdecimal() else Period.parse(text)
    except BadPeriod:
        raise BadPeriod(text=written) from None
