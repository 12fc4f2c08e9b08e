"""What is known of a subject when its days are counted: the row, its order and its parties; and the counting itself.

Imports rulebook, policy, calendars, kinds and tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, false, literal, null, or_, select

from returnclock.calendars import Calendar, CalendarBook, zone
from returnclock.courses import Ground, ground
from returnclock.database import all_rows
from returnclock.errors import UnknownCountry, UnknownSubdivision, UnknownZone
from returnclock.kept_days import counted_days
from returnclock.kinds import DeadlineKind, Party
from returnclock.localtime import end_of_local_day
from returnclock.policy import Policy, Reckoning
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import archive, deadlines
from returnclock.tables.document import read_document
from returnclock.tables.keys import among, as_text, keys_of
from returnclock.tables.types import Instant
from returnclock.vacations import announced, days_announced


@dataclass(frozen=True, slots=True)
class Counted:
    """A due date with all that made it: the policy, the name of the zone, the calendar, and the reckoning.

    anew: counted from the present instead of from the row's start. counted_from: the instant from which days were counted;
    later than the row's start where it was counted anew. days: the calendar itself, with the seller's vacation that it skips.
    """

    policy: Policy
    zone: str
    days: Calendar
    reckoning: Reckoning
    counted_from: datetime
    anew: bool = False

    @property
    def calendar(self) -> str:
        """The name of the calendar."""
        return self.days.name

    def schedule(self) -> dict[str, Any]:
        """What ``clock_deadlines.schedule`` keeps: zone, calendar, first instant, last local day and every reminder.

        Of the calendar the name, and of its days those that the date was counted over (`kept_days`).
        """
        local = zone(self.zone)
        away = {"away": sorted(self.days.away)} if self.days.away else {}
        return {
            **away,
            **counted_days(self.policy, self.days, local, self.counted_from, self.reckoning),
            "zone": self.zone,
            "calendar": self.calendar,
            "counted_from": self.counted_from,
            "last_day": self.reckoning.last_day,
            "reminders": self.reckoning.reminders,
            **ends_as_shown(self.policy, self.reckoning, local),
        }


def ends_as_shown(policy: Policy, reckoning: Reckoning, local: ZoneInfo) -> dict[str, str]:
    """For ``schedule``: a date that by its policy would end with a day, and has been moved to another time, says so.

    ``clock_due`` would otherwise promise the whole of that day.
    """
    moved = policy.ends == "end_of_day" and reckoning.promised_at != end_of_local_day(reckoning.last_day, local)
    return {"ends": "same_time"} if moved else {}


def read_facts(
    connection: Connection, kind: DeadlineKind, ids: Sequence[Any], *, awaited_before: datetime | None = None
) -> Sequence[Any]:
    """Read the rows of a kind's subject with those ids, each with its order and parties, and whether and from when it runs.

    Where the party is a seller who has announced vacations, ``vacations`` holds them.

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
    return _with_vacations(connection, kind, all_rows(connection, chosen))


def _with_vacations(connection: Connection, kind: DeadlineKind, rows: Sequence[Row[Any]]) -> Sequence[Any]:
    if not _heeds_vacations(kind):
        return rows
    of_all = announced(connection, {row.seller for row in rows} - {None})
    return [_WithVacations(row, of_all[row.seller]) if row.seller in of_all else row for row in rows] if of_all else rows


def _heeds_vacations(kind: DeadlineKind) -> bool:
    # A shop's own sellers may have keys of any type; ``clock_vacations`` names those of the contract's table.
    return kind.party is Party.SELLER and kind.order_id is not None and not kind.market.mapped


def read_archived(connection: Connection, kind: DeadlineKind, subject_ids: Sequence[str]) -> dict[str, list[Any]]:
    """What purge has moved away of those subjects' deadlines of the kind, by subject, with the names of their columns."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    if subject_ids:
        chosen = select(archive.c.subject_id, archive.c.content).where(
            archive.c.kind == kind.name, among(archive.c.subject_id, subject_ids), archive.c.table_name == deadlines.name
        )
        for row in connection.execute(chosen.order_by(archive.c.id)):
            found[row.subject_id].append(SimpleNamespace(**read_document(deadlines, row.content)))
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
    of_order = (orders[name].label(name) for name in ("number", "country", "subdivision", "category"))
    return [orders["id"].label("order_id"), written, *of_order, *wanted, *parties]


def count(book: Rulebook, kind: DeadlineKind, facts: Any, starts: datetime, *, given: frozenset[date] = frozenset()) -> Counted:
    """Count a deadline from its start, by the rule, zone and calendar that hold for the row.

    given: days of vacation that are left out whatever is granted today.

    What a row names and the world does not know falls back: a zone to the market's, a country or subdivision to the next
    wider calendar that is known. `faults.py` says so in ``clock_problems``.

    Raises:
        BadPolicy: the date lies beyond what calendars know.
    """
    return count_by(book, policy_of(book, kind, facts), kind, facts, starts, given=given)


def policy_of(book: Rulebook, kind: DeadlineKind, facts: Any) -> Policy:
    """The policy by which a row is counted from its start."""
    rule = book.rules[kind.name]
    return rule.policy_for(facts._mapping) if rule.overrides else rule.policy


def count_by(
    book: Rulebook,
    policy: Policy,
    kind: DeadlineKind,
    facts: Any,
    starts: datetime,
    *,
    given: frozenset[date] = frozenset(),
) -> Counted:
    """Count a deadline from its start by a given policy."""
    country, subdivision, time_zone = facts.country, facts.subdivision, None
    if kind.party is not Party.PLATFORM and kind.order_id is not None:
        time_zone, of_party, part_of_it = _PLACE_OF_PARTY[kind.party](facts)
        if policy.calendar == "party" and of_party:
            country, subdivision = of_party, part_of_it
    found = _ground(policy, book.calendars, book.market_zone, time_zone, country, subdivision)
    away = given.union(away_for(book, kind, facts, found.zone))
    if away:
        found = ground(policy, found.calendar.layered(away), found.zone)
    return Counted(policy, found.zone.key, found.calendar, found.reckon(starts), starts)


_PLACE_OF_PARTY = {
    party: attrgetter(f"{party}_time_zone", f"{party}_country", f"{party}_subdivision") for party in (Party.SELLER, Party.BUYER)
}


@lru_cache(maxsize=4096)
def _ground(
    policy: Policy,
    calendars: CalendarBook,
    market_zone: str,
    time_zone: str | None,
    country: str | None,
    subdivision: str | None,
) -> Ground:
    """By what is counted in a place; most rows of a batch share theirs."""
    return ground(policy, calendar_or_default(calendars, country, subdivision), zone_or(time_zone, market_zone))


def away_for(book: Rulebook, kind: DeadlineKind, facts: Any, local: ZoneInfo) -> Mapping[date, datetime]:
    """The days on which the seller who must act is away, each with when that was announced; nobody else's stop a clock."""
    if kind.party is not Party.SELLER or not isinstance(facts, _WithVacations):
        return {}
    return days_announced(facts.vacations, local, book.guards.vacation_days_a_year)


def away_of(
    connection: Connection, book: Rulebook, kind: DeadlineKind, subject_ids: Sequence[str]
) -> dict[str, Mapping[date, datetime]]:
    """What `away_for` says today of each subject; for kinds of other parties nothing."""
    if not subject_ids or not _heeds_vacations(kind):
        return {}
    rows = read_facts(connection, kind, keys_of(subject_ids, kind.subject_key))
    return {row.subject_id: away_for(book, kind, row, zone_or(row.seller_time_zone, book.market_zone)) for row in rows}


class _WithVacations:
    """A row of facts, and the vacations that its seller has announced."""

    def __init__(self, row: Row[Any], vacations: Sequence[Any]) -> None:
        self._row, self.vacations = row, vacations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


def counting_start(kind: DeadlineKind, kept: Any) -> datetime:
    """From when a deadline's days were counted: its start, or when it ran again if its kind then counts anew."""
    said = kept.schedule.get("counted_from")
    if said is not None:
        return datetime.fromisoformat(said)
    # Deadlines of an older version do not say it; one that was re-opened was counted from its stamp.
    anew = kind.reopening == "restarts" and kept.round > 0
    return kept.stamped_at if anew else kept.starts_at  # type: ignore[no-any-return]


def zone_or(name: str | None, fallback: str) -> ZoneInfo:
    """The named zone, or the fallback where the name is missing or unknown."""
    try:
        return zone(name) if name else zone(fallback)
    except UnknownZone:
        return zone(fallback)


def calendar_or_default(calendars: CalendarBook, country: str | None, subdivision: str | None) -> Calendar:
    """The narrowest calendar that is known: the subdivision's, the country's, or the market's own."""
    try:
        return calendars.get(country, subdivision if country else None)
    except UnknownSubdivision:
        return calendars.get(country, None)
    except UnknownCountry:
        return calendars.default
