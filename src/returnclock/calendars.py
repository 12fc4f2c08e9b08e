"""Business days: the weekends and public holidays of a country or subdivision, the shop's closures, and peak seasons.

What a public holiday is comes from the ``holidays`` package; each year is worked out once and then only looked up.
Pure: no SQL, no Celery, no settings. Imports errors, period and peaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import holidays
from holidays.registry import COUNTRIES

from returnclock.errors import BadPolicy, UnknownCountry, UnknownSubdivision, UnknownZone
from returnclock.peaks import Peak

__all__ = ["Calendar", "CalendarBook", "Peak", "did_you_mean", "zone"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CLOSURE = "closure of the shop"
VACATION = "vacation of the seller"
AS_COUNTED = "no business day when its date was given"

# Names that zoneinfo opens but that mean another zone on another machine, or none at all.
_NOT_ZONES = frozenset({"localtime", "posixrules", "Factory"})


class Calendar:
    """The business days of one country or subdivision, for one deployment.

    A country without a subdivision has its nationwide holidays only; GB and DE, for example, keep more in each part.
    Nothing in it can be changed from outside, and threads may share it: two that meet work a year out twice, equally.
    Made by CalendarBook, which checks what it is given.
    """

    def __init__(
        self,
        country: str,
        subdivision: str | None,
        closures: frozenset[date],
        peaks: tuple[Peak, ...],
        away: frozenset[date] = frozenset(),
        turned: frozenset[date] = frozenset(),
        below: Calendar | None = None,
    ) -> None:
        self._entity = _entity(country)
        self._country, self._subdivision = country, subdivision
        self._closures, self._peaks, self._away = closures, peaks, away
        self._turned, self._below = turned, below
        self._years: dict[int, Mapping[date, str]] = {}

    @property
    def name(self) -> str:
        """What the calendar is called: "US", or "DE-BY" with a subdivision."""
        return f"{self._country}-{self._subdivision}" if self._subdivision else self._country

    @property
    def country(self) -> str:
        """The ISO 3166-1 alpha-2 code."""
        return self._country

    @property
    def subdivision(self) -> str | None:
        """The second part of the ISO 3166-2 code, or None for the whole country."""
        return self._subdivision

    @property
    def away(self) -> frozenset[date]:
        """The days of a seller's vacation, which no policy in days counts; empty but for a layered calendar."""
        return self._away

    @property
    def below(self) -> Calendar:
        """The calendar without any vacation, by which those count whom no vacation stops."""
        return self._below or self

    def layered(self, away: frozenset[date]) -> Calendar:
        """This calendar under a seller's vacation. The same one for the same days, so that counts over it are remembered."""
        return _layered(self, away) if away else self

    def turned(self, days: frozenset[date]) -> Calendar:
        """This calendar, in which each of the days is a business day if it was none, and none if it was one."""
        return _turned(self, days) if days else self

    @property
    def valid_until(self) -> date:
        """The last day whose holidays are known. The package says "no holiday" after it; look-ups here refuse."""
        return date(self._entity.end_year, 12, 31)

    @property
    def valid_from(self) -> date:
        """The first day whose holidays are known."""
        return date(self._entity.start_year, 1, 1)

    def is_business_day(self, day: date) -> bool:
        """Whether the shop works on that day. Raises BadPolicy outside ``valid_from`` to ``valid_until``."""
        return day not in (self._years.get(day.year) or self._year(day.year))

    def why_not(self, day: date) -> str | None:
        """Why that day is no business day: "Saturday", "Christmas Day", "closure of the shop". None for a business day.

        Raises BadPolicy outside ``valid_from`` to ``valid_until``.
        """
        return (self._years.get(day.year) or self._year(day.year)).get(day)

    def seasons(self, first: date, last: date) -> list[tuple[Peak, date, date]]:
        """The peak seasons that share a day with ``first`` to ``last``: peak, first day, last day; earliest first."""
        found = [(peak, begin, end) for peak in self._peaks for begin, end in peak.seasons(first, last)]
        return sorted(found, key=lambda season: season[1])

    def __repr__(self) -> str:
        return f"Calendar({self.name!r})"

    def _year(self, year: int) -> Mapping[date, str]:
        if not self.valid_from.year <= year <= self.valid_until.year:
            raise BadPolicy(
                where=f"The calendar {self.name}",
                reason=f"its public holidays are known from {self.valid_from} to {self.valid_until}, and the count "
                f"needs those of {year}. Shorten the period, or update the holidays package",
            )
        self._years[year] = known = self._worked_out(year)
        return known

    def _worked_out(self, year: int) -> dict[date, str]:
        """Every day of the year that is no business day, with the reason."""
        known = _public_holidays(self._entity, self._subdivision, year)
        reasons = {}
        for ordinal in range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1):
            day = date.fromordinal(ordinal)
            # is_working_day, not a mask of weekdays: it knows working Saturdays and when a country moved its weekend.
            if not known.is_working_day(day):
                reasons[day] = WEEKDAYS[day.weekday()] if known.is_weekend(day) else known[day]
            elif day in self._closures:
                reasons[day] = CLOSURE
            if day in self._turned and reasons.pop(day, None) is None:
                reasons[day] = AS_COUNTED
            if day in self._away:
                reasons.setdefault(day, VACATION)
        return reasons


@lru_cache(maxsize=1024)
def _layered(below: Calendar, away: frozenset[date]) -> Calendar:
    place = (below._country, below._subdivision, below._closures, below._peaks)
    return Calendar(*place, below._away | away, below._turned, below.below)


@lru_cache(maxsize=1024)
def _turned(of: Calendar, days: frozenset[date]) -> Calendar:
    return Calendar(of._country, of._subdivision, of._closures, of._peaks, of._away, of._turned ^ days)


class CalendarBook:
    """All calendars of one deployment: the default and any other, all with the same closures and peak seasons.

    Raises UnknownCountry, UnknownSubdivision or BadPolicy when it is made, rather than when the first row comes by.
    """

    def __init__(
        self,
        country: str = "US",
        subdivision: str | None = None,
        closures: Iterable[date] = (),
        peaks: Iterable[Peak] = (),
    ) -> None:
        self._closures, self._peaks = frozenset(closures), tuple(peaks)
        for closure in self._closures:
            if not isinstance(closure, date) or isinstance(closure, datetime):
                raise BadPolicy(where="calendar.closures", reason=f"{closure!r} is not a date such as 2026-12-24")
        self._calendars: dict[tuple[str, str], Calendar] = {}
        self._asked: dict[tuple[str | None, str | None], Calendar] = {}
        self._default = self._named(country, subdivision)

    @property
    def default(self) -> Calendar:
        """The market's own calendar."""
        return self._default

    def get(self, country: str | None, subdivision: str | None) -> Calendar:
        """The calendar of a country and subdivision, case ignored; None or "" takes that of the default.

        A missing subdivision is the default's only within the default's country, so that a row that leaves it out loses
        none of the holidays that the market keeps. Raises UnknownCountry, UnknownSubdivision.
        """
        asked = self._asked.get((country, subdivision))
        if asked is None:
            asked = self._named(country or self._default.country, subdivision)
            self._asked[country, subdivision] = asked
        return asked

    def called(self, name: str) -> Calendar:
        """The calendar of that name, whatever the default is today. Raises UnknownCountry, UnknownSubdivision."""
        country, _, subdivision = name.partition("-")
        return self._named(country, subdivision or None, exactly=True)

    def _named(self, country: str, subdivision: str | None, *, exactly: bool = False) -> Calendar:
        country = _country(country)
        is_defaults = bool(self._calendars) and country == self._default.country and not exactly
        chosen = subdivision or (self._default.subdivision if is_defaults else None)
        # Where the package keeps one calendar for a whole country, each of its parts has that one.
        part = _subdivision(country, chosen) if chosen and _entity(country).subdivisions else None
        key = (country, part or "")
        if key not in self._calendars:
            self._calendars[key] = Calendar(country, part, self._closures, self._peaks)
        return self._calendars[key]


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises UnknownZone; aliases of the machine such as "localtime" are refused."""
    known = _zone_names()
    if name not in known:
        raise UnknownZone(zone=name, hint=did_you_mean(name, known))
    return ZoneInfo(name)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """' (did you mean "X"?)' with the nearest of the known words, capitals ignored; "" when none is near."""
    by_lower = {right.lower(): right for right in sorted(known)}
    near = get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return f' (did you mean "{by_lower[near[0]]}"?)' if near else ""


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


@cache
def _country_words() -> Mapping[str, str]:
    """Every word for a country that the package knows (code, name, alpha-3), in lower case, with its alpha-2 code."""
    return {word.lower(): codes[1] for module, codes in COUNTRIES.items() for word in (*codes, module.replace("_", " "))}


def _country(written: str) -> str:
    """The alpha-2 code. "UK" is taken for GB, as the European Union writes it; longer words are only hinted at."""
    words = _country_words()
    word = str(written).strip().lower()
    if len(word) == 2 and word in words:
        return words[word]
    right = words.get(word)
    if right is None and (near := get_close_matches(word, words, n=1, cutoff=0.75)):
        right = words[near[0]]
    raise UnknownCountry(country=written, hint=f' (did you mean "{right}"?)' if right else "")


def _subdivision(country: str, written: str) -> str:
    """The second part of the ISO 3166-2 code. "DE-BY" and names that the package knows, as "Bayern", are understood."""
    entity = _entity(country)
    words = {code.lower(): code for code in entity.subdivisions}
    words |= {alias.lower(): code for alias, code in entity.subdivisions_aliases.items()}
    word = str(written).strip().lower()
    right = words.get(word) or words.get(word.removeprefix(f"{country.lower()}-"))
    if right is None:
        known = ", ".join(sorted(entity.subdivisions))
        hint = did_you_mean(written, (*entity.subdivisions, *entity.subdivisions_aliases))
        raise UnknownSubdivision(country=country, subdivision=written, hint=hint, known=known)
    return right


@cache
def _entity(country: str) -> type[holidays.HolidayBase]:
    entity: type[holidays.HolidayBase] = getattr(holidays, country).get_entity()
    return entity


def _public_holidays(entity: type[holidays.HolidayBase], subdivision: str | None, year: int) -> holidays.HolidayBase:
    # The language is said, or the package takes it from the environment and two workers explain one day differently.
    language = "en_US" if "en_US" in entity.supported_languages else entity.default_language
    # Saudi Arabia and some others hide that a date awaits the sighting of the moon unless asked.
    says_estimated = "islamic_show_estimated" in entity.get_supported_options()
    options: dict[str, Any] = {"islamic_show_estimated": True} if says_estimated else {}
    return entity(years=year, subdiv=subdivision, language=language, expand=False, **options)
