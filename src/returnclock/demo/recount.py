"""Counts every deadline of the demo a second time, from the front end's writes alone, without returnclock's own counting.

Plain days, the ``holidays`` package and zones: short enough to be checked by reading. It shares no code with policy,
calendars, stamp or sweep, because a mistake that both made would not be found. Pure; imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays

Row = dict[str, Any]
Key = tuple[str, str, datetime]  # kind, id of the row, start

LONGEST_AMNESTY = timedelta(hours=26)


@dataclass(frozen=True)
class _Rule:
    """One promise: rows of which table, from when they run (None while they do not), and when it is due."""

    kind: str
    table: str
    runs_from: Callable[[Recount, Row], datetime | None]
    due: Callable[[Recount, Row, datetime], datetime]
    ends_as: tuple[str, str] | None = None


@dataclass
class Recount:
    """The market as the writes make it, and what should have happened at each tick.

    due: when each deadline that ever ran is due. expected: those that had to fire, with the tick that had to do it.
    """

    market_zone: str
    due: dict[Key, datetime] = field(default_factory=dict)
    expected: dict[Key, datetime] = field(default_factory=dict)
    _tables: dict[str, dict[int, Row]] = field(default_factory=dict)
    _running: dict[tuple[_Rule, int], datetime] = field(default_factory=dict)
    _disputed: set[int] = field(default_factory=set)
    _spared: dict[Key, datetime] = field(default_factory=dict)

    def wrote(self, table: str, row_id: int, values: Mapping[str, Any]) -> None:
        """Take notice of a write that took effect."""
        row = self._tables.setdefault(table, {}).setdefault(row_id, {"id": row_id, **_DEFAULTS.get(table, {})})
        row.update(values)
        self._look_at(table, row)
        if table == "disputes":
            self._disputed.add(row["order_id"])
            self._look_at("orders", self._tables["orders"][row["order_id"]])

    def spared(self, key: Key, at: datetime, until: datetime) -> None:
        """Amnesty was granted because the party had not been warned: once, and for little more than a day."""
        if key not in self._spared and until <= at + LONGEST_AMNESTY:
            self._spared[key] = until

    def ticked(self, at: datetime) -> None:
        """The clock worked at this instant: whatever is due by now fires, and what fires may stop running."""
        for (rule, row_id), start in list(self._running.items()):
            key = (rule.kind, str(row_id), start)
            if max(self.due[key], self._spared.get(key, self.due[key])) <= at and key not in self.expected:
                self.expected[key] = at
                if rule.ends_as:
                    self._tables[rule.table][row_id][rule.ends_as[0]] = rule.ends_as[1]
                    del self._running[rule, row_id]

    def _look_at(self, table: str, row: Row) -> None:
        for rule in _RULES:
            if rule.table != table:
                continue
            start = rule.runs_from(self, row)
            if start is None:
                self._running.pop((rule, row["id"]), None)
            else:
                self._running[rule, row["id"]] = start
                self.due[rule.kind, str(row["id"]), start] = rule.due(self, row, start)

    def is_disputed(self, order: Row) -> bool:
        """Whether any dispute of the order was ever opened."""
        return order["id"] in self._disputed

    def order_of(self, row: Row) -> Row:
        """The order that a dispute or refund is about; an order is about itself."""
        return self._tables["orders"][row["order_id"]] if "order_id" in row else row

    def zone_of(self, row: Row, party: str) -> ZoneInfo:
        """The zone of the seller or buyer, or of the market for the platform."""
        if party == "platform":
            return ZoneInfo(self.market_zone)
        return ZoneInfo(self._tables[f"{party}s"][self.order_of(row)[f"{party}_id"]]["time_zone"])


_DEFAULTS: Mapping[str, Row] = {
    "orders": {"delivered_at": None, "return_status": "open"},
    "disputes": {"status": "awaiting_seller", "awaiting_seller_since": None, "seller_replied_at": None},
    "refunds": {"status": "inspecting", "inspected_at": None, "processed_at": None, "completed_at": None},
}


def _wall(day: date, at: time, zone: ZoneInfo) -> datetime:
    """That time of that day in the zone; where the clock shows it twice or never, the later reading."""
    return max(datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    return _wall(day + timedelta(days=1), time(), zone)


@cache
def _holidays(country: str, subdivision: str | None, year: int) -> holidays.HolidayBase:
    return holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False)


def _business_day(order: Row, day: date) -> bool:
    known = _holidays(order["country"], order["subdivision"], day.year)
    return day.weekday() < 5 and day not in known


def _same_time(party: str, days: int) -> Callable[[Recount, Row, datetime], datetime]:
    def due(count: Recount, row: Row, start: datetime) -> datetime:
        local = start.astimezone(zone := count.zone_of(row, party))
        return _wall(local.date() + timedelta(days=days), local.time(), zone)

    return due


def _whole_days(party: str, days: int) -> Callable[[Recount, Row, datetime], datetime]:
    def due(count: Recount, row: Row, start: datetime) -> datetime:
        zone = count.zone_of(row, party)
        return _end_of(start.astimezone(zone).date() + timedelta(days=days), zone)

    return due


def _business_days(party: str, days: int) -> Callable[[Recount, Row, datetime], datetime]:
    def due(count: Recount, row: Row, start: datetime) -> datetime:
        zone, order = count.zone_of(row, party), count.order_of(row)
        day, left = start.astimezone(zone).date(), days
        while left:
            day += timedelta(days=1)
            left -= _business_day(order, day)
        return _end_of(day, zone)

    return due


def _silent_since(_count: Recount, dispute: Row) -> datetime | None:
    if dispute["status"] != "awaiting_seller":
        return None
    turn: datetime = dispute["awaiting_seller_since"] or dispute["opened_at"]
    return max(turn, dispute["seller_replied_at"] or turn)


def _window_from(count: Recount, order: Row) -> datetime | None:
    if order["return_status"] != "open" or count.is_disputed(order):
        return None
    delivered: datetime | None = order["delivered_at"]
    return delivered


def _refund_from(_count: Recount, refund: Row) -> datetime | None:
    return None if refund["status"] in ("completed", "cancelled") else refund["started_at"]


def _stage_from(status: str, begun: str) -> Callable[[Recount, Row], datetime | None]:
    return lambda _count, refund: refund[begun] if refund["status"] == status else None


_RULES = (
    _Rule("seller_response", "disputes", _silent_since, _same_time("seller", 5), ("status", "escalated")),
    _Rule("return_window", "orders", _window_from, _whole_days("buyer", 15), ("return_status", "expired")),
    _Rule("refund_completion", "refunds", _refund_from, _business_days("seller", 10)),
    _Rule("refund_inspection", "refunds", _stage_from("inspecting", "started_at"), _business_days("seller", 3)),
    _Rule("refund_processing", "refunds", _stage_from("processing", "inspected_at"), _business_days("seller", 7)),
    _Rule("refund_clearing", "refunds", _stage_from("clearing", "processed_at"), _business_days("platform", 3)),
    _Rule("refund_mediation", "refunds", _refund_from, _whole_days("buyer", 14)),
)
