"""What is known of a subject when its days are counted: the row, its order and its parties; and the counting itself.

Imports rulebook, policy, calendars, kinds and tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, false, literal, null, or_, select

from returnclock.calendars import Calendar, zone
from returnclock.errors import UnknownCountry, UnknownSubdivision, UnknownZone
from returnclock.kinds import DeadlineKind, Party
from returnclock.policy import Policy, Reckoning, due_at
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import archive, deadlines
from returnclock.tables.types import Instant, among, as_text, read_instant


@dataclass(frozen=True, slots=True)
class Counted:
    """A due date with all that made it: the policy, the names of zone and calendar, and the reckoning."""

    policy: Policy
    zone: str
    calendar: str
    reckoning: Reckoning

    def schedule(self) -> dict[str, Any]:
        """What ``clock_deadlines.schedule`` keeps: zone, calendar, last local day and every reminder (ISO 8601)."""
        return {
            "zone": self.zone,
            "calendar": self.calendar,
            "last_day": self.reckoning.last_day.isoformat(),
            "reminders": [moment.isoformat() for moment in self.reckoning.reminders],
        }


def read_facts(
    connection: Connection, kind: DeadlineKind, ids: Sequence[Any], *, awaited_before: datetime | None = None
) -> Sequence[Row[Any]]:
    """Read the rows of a kind's subject with those ids, each with its order and parties, and whether and from when it runs.

    awaited_before: leave out those that do not run, unless the date that starts them was expected before this moment.
    """
    raw = [column.label(f"anchor_{number}") for number, column in enumerate(kind.anchors)]
    columns: list[Any] = [
        as_text(kind.subject_key).label("subject_id"),
        kind.runs_while.label("runs"),
        kind.starts_at.label("starts_at"),
        (null() if kind.start_expected_at is None else kind.start_expected_at).label("start_expected_at"),
        *raw,
    ]
    columns += _order_columns(kind)
    chosen = kind.with_parties(*columns).where(among(kind.subject_key, ids))
    if awaited_before is not None:
        awaited = false() if kind.start_expected_at is None else kind.start_expected_at < literal(awaited_before, Instant())
        chosen = chosen.where(or_(kind.runs_while, awaited))
    return connection.execute(chosen).all()


def read_archived(connection: Connection, kind: DeadlineKind, subject_ids: Sequence[str]) -> dict[str, list[Any]]:
    """What purge has moved away of those subjects' deadlines of the kind, by subject, with the names of their columns."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    if subject_ids:
        chosen = select(archive.c.subject_id, archive.c.content).where(
            archive.c.kind == kind.name, among(archive.c.subject_id, subject_ids), archive.c.table_name == deadlines.name
        )
        for row in connection.execute(chosen.order_by(archive.c.id)):
            instants = {name: read_instant(value) for name, value in row.content.items() if name.endswith("_at")}
            found[row.subject_id].append(SimpleNamespace(**{**row.content, **instants}))
    return found


def _order_columns(kind: DeadlineKind) -> list[Any]:
    if kind.order_id is None:
        names = ("order_id", "country", "subdivision", "category", "seller")
        return [literal(None).label(name) for name in names]
    orders = kind.market["orders"].columns
    parties = [
        kind.market[f"{party}s"].columns[name].label(f"{party}_{name}")
        for party in ("seller", "buyer")
        for name in ("id", "time_zone", "country", "subdivision")
    ]
    wanted = orders["seller_id"].label("seller"), orders["buyer_id"].label("buyer")
    written = kind.order_id.label("written_order_id")
    places = (orders[name].label(name) for name in ("country", "subdivision", "category"))
    return [orders["id"].label("order_id"), written, *places, *wanted, *parties]


def count(book: Rulebook, kind: DeadlineKind, facts: Any, starts: datetime) -> Counted:
    """Count a deadline from its start, by the rule, zone and calendar that hold for the row.

    What a row names and the world does not know falls back: a zone to the market's, a country or subdivision to the next
    wider calendar that is known. `faults.py` says so in ``clock_problems``.

    Raises:
        BadPolicy: the date lies beyond what calendars know.
    """
    return count_by(book, book.rules[kind.name].policy_for(facts._mapping), kind, facts, starts)


def count_by(book: Rulebook, policy: Policy, kind: DeadlineKind, facts: Any, starts: datetime) -> Counted:
    """Count a deadline from its start by a given policy."""
    of_party = kind.party.value if kind.party is not Party.PLATFORM and kind.order_id is not None else None
    local = zone_or(getattr(facts, f"{of_party}_time_zone") if of_party else None, book.market_zone)
    country, subdivision = facts.country, facts.subdivision
    if policy.calendar == "party" and of_party and getattr(facts, f"{of_party}_country"):
        country, subdivision = getattr(facts, f"{of_party}_country"), getattr(facts, f"{of_party}_subdivision")
    calendar = calendar_or_default(book, country, subdivision)
    return Counted(policy, local.key, calendar.name, due_at(starts, policy, calendar, local))


def zone_or(name: str | None, fallback: str) -> ZoneInfo:
    """The named zone, or the fallback where the name is missing or unknown."""
    try:
        return zone(name) if name else zone(fallback)
    except UnknownZone:
        return zone(fallback)


def calendar_or_default(book: Rulebook, country: str | None, subdivision: str | None) -> Calendar:
    """The narrowest calendar that is known: the subdivision's, the country's, or the market's own."""
    try:
        return book.calendars.get(country, subdivision if country else None)
    except UnknownSubdivision:
        return book.calendars.get(country, None)
    except UnknownCountry:
        return book.calendars.default
