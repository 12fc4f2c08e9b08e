"""Which rule holds for which row: the kinds that are on, their policies and overrides, and the calendars.

Written once from the settings (`write_rulebook`). Imports kinds and everything that they import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from returnclock.calendars import CalendarBook, did_you_mean
from returnclock.errors import NotFound, UnknownKind
from returnclock.kinds import DeadlineKind
from returnclock.market import OWN, Market
from returnclock.policy import Policy, Reckoning

MATCHED_BY = ("country", "subdivision", "category", "seller")


@dataclass(frozen=True)
class Rule:
    """The policies of one kind: the first override whose every condition matches, else the general one.

    Rows whose clock would have started before ``effective_from`` are left alone. ``late_limit``: after how many seconds a
    deadline of this kind that is due and not enforced is an alarm; None takes that of the settings. It is no part of the
    policy: nothing that people are told hangs on it.
    """

    kind: DeadlineKind
    policy: Policy
    overrides: tuple[tuple[Mapping[str, str], Policy], ...] = ()
    effective_from: datetime | None = None
    late_limit: float | None = None

    def policy_for(self, facts: Mapping[str, Any]) -> Policy:
        """Choose by the order's country, subdivision, category and seller."""
        for when, policy in self.overrides:
            if all(str(facts.get(name) or "") == wanted for name, wanted in when.items()):
                return policy
        return self.policy


@dataclass(frozen=True)
class Guards:
    """What protects parties and operators, as lengths of time and counts; see ``OpsSettings``.

    stale_after: how late a reminder may go out and still count.
    """

    warning_lead: timedelta | None = timedelta(hours=24)
    stale_after: timedelta = timedelta(hours=6)
    burst_a_minute: int | None = None
    undo_within: timedelta = timedelta(days=14)
    pause_alarm_after: timedelta = timedelta(hours=1)
    hold_alarm_after: timedelta = timedelta(days=7)
    vacation_days_a_year: int = 30
    start_expected_within: timedelta = timedelta(days=14)

    def warn_by(self, kind: DeadlineKind, reckoning: Reckoning, now: datetime) -> datetime | None:
        """When a warning must be out so that the deadline may take effect at its time; None where none is owed by us.

        That is the warning lead before the effect. Where even the first reminder that is still to come is due later than
        that, it is this reminder's time and what a mail may be late: ``stale_after``, at most a quarter of its own lead.
        Reminders that were past when the row was stamped were never owed.
        """
        first = reckoning.next_reminder(now) if kind.notices_for("reminder") else None
        if first is None or self.warning_lead is None:
            return None
        late = min(self.stale_after, (reckoning.due_at - first) / 4)
        return max(reckoning.due_at - self.warning_lead, first + late)


NO_GUARDS = Guards(warning_lead=None)


@dataclass(frozen=True)
class Rulebook:
    """Every kind that is on, by name, with its rule; the calendars; the market's own zone, and where its tables are.

    guards: what protects parties and operators. without: the kinds that cannot run on the shop's own tables, and for want of
    what. sweeps: their tasks, which stay known.
    """

    rules: Mapping[str, Rule]
    kinds: tuple[DeadlineKind, ...]
    calendars: CalendarBook
    market_zone: str
    guards: Guards = Guards()
    market: Market = OWN
    without: Mapping[str, str] = field(default_factory=dict)
    sweeps: tuple[str, ...] = ()

    def active(self) -> list[DeadlineKind]:
        """The kinds that are on."""
        return [kind for kind in self.kinds if kind.name in self.rules]

    def on_table(self, table_name: str) -> list[DeadlineKind]:
        """The kinds that are on and bind rows of one table."""
        return [kind for kind in self.active() if kind.subject.name == table_name]

    def binding(self, table: str) -> list[DeadlineKind]:
        """The kinds that bind rows of one table, whether they are on or off.

        Raises:
            NotFound: there is none; the message names the nearest table, or all.
        """
        found = [kind for kind in self.kinds if kind.subject.name == table]
        if not found:
            tables = sorted({kind.subject.name for kind in self.kinds})
            close = get_close_matches(table, tables, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else f"; deadlines bind {', '.join(tables)}"
            raise NotFound(what="table with deadlines", which=table, hint=hint)
        return found

    def is_heeded(self, kind: DeadlineKind) -> bool:
        """Whether another kind that is on depends on what this kind's firing changes; of a shop's tables nobody knows."""
        if self.market.mapped:
            return True
        changed = {(kind.subject.name, column) for column in kind.effect}
        return any(changed & other.heeds for other in self.active() if other.name != kind.name)

    def kind(self, name: str) -> DeadlineKind:
        """Find a kind by name, whether it is on or off.

        Raises:
            UnknownKind: there is none; the message names the nearest.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        names = [kind.name for kind in self.kinds]
        raise UnknownKind(kind=name, hint=did_you_mean(name, names), known=", ".join(names))

    def tasks(self) -> dict[str, list[DeadlineKind]]:
        """The sweeps, each with the kinds that it enforces; a sweep whose kinds are all off has an empty list."""
        swept: dict[str, list[DeadlineKind]] = {task: [] for task in self.sweeps}
        for kind in self.kinds:
            swept.setdefault(kind.task, [])
            if kind.name in self.rules:
                swept[kind.task].append(kind)
        return swept
