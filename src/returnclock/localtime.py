"""Wall-clock time of a zone and the instants it stands for, clock changes included; and how both are written out.

A wall time that a clock change skips or repeats is read as the later instant, so that no deadline comes early for the
person it binds. Pure; imports only errors.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MICROSECOND = timedelta(microseconds=1)


def later_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant (aware, UTC) of a naive wall time.

    The second one where it occurs twice; where it does not occur, as if the clock had not yet gone forward (02:30 is
    then 03:30).
    """
    return (wall - min(_offsets(wall, zone))).replace(tzinfo=UTC)


# A century of days in one zone is 37,000; rows end within some months, and many on the same day.
@lru_cache(maxsize=8192)
def end_of_local_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (aware, UTC) after the last moment of a local day: midnight, or what stands in for it.

    Where midnight is skipped, the first instant that exists (Cairo: 01:00). Where it occurs twice, the first (Havana),
    unless the clock goes back into the day that had just ended (St. John's until 2011): then the second.
    """
    midnight = datetime.combine(day + timedelta(days=1), time())
    low, high = _offsets(midnight, zone)
    first, second = (midnight - high).replace(tzinfo=UTC), (midnight - low).replace(tzinfo=UTC)
    if first == second or (second - _MICROSECOND).astimezone(zone).date() <= day:
        return second
    if first.astimezone(zone).date() > day:
        return first
    return _change_between(first, second, day, zone)


def existing_day(day: date, zone: ZoneInfo) -> bool:
    """False for a local date that the zone left out, as Samoa did 30 December 2011 to change sides of the date line."""
    return day not in _left_out(day.year, zone)


def days_left_out(first: date, last: date, zone: ZoneInfo) -> list[date]:
    """The local dates from ``first`` to ``last`` that never existed in the zone, earliest first."""
    years = range(first.year, last.year + 1)
    return sorted(day for year in years for day in _left_out(year, zone) if first <= day <= last)


@lru_cache(maxsize=8192)
def has_one_offset(day: date, zone: ZoneInfo) -> bool:
    """Whether a local day passes without a clock change, from its first midnight to the one after it."""
    midnight = datetime.combine(day, time())
    offsets = {offset for hour in range(25) for offset in _offsets(midnight + timedelta(hours=hour), zone)}
    return len(offsets) == 1


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    one, other = wall.replace(tzinfo=zone).utcoffset(), wall.replace(tzinfo=zone, fold=1).utcoffset()
    assert one is not None and other is not None  # a ZoneInfo always knows
    return (one, other) if one <= other else (other, one)


def _change_between(first: datetime, second: datetime, day: date, zone: ZoneInfo) -> datetime:
    """The clock change that leads from within the day into the next (Toronto 1919: 23:30 to 00:30), by bisection."""
    while second - first > _MICROSECOND:
        middle = first + (second - first) // 2
        if middle.astimezone(zone).date() > day:
            second = middle
        else:
            first = middle
    return second


# A century of days in one zone is 100 entries; this holds some forty zones of it.
@lru_cache(maxsize=4096)
def _left_out(year: int, zone: ZoneInfo) -> frozenset[date]:
    first, last = date(year, 1, 2 if year == 1 else 1), date(year, 12, 30 if year == 9999 else 31)
    days = map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1))
    return frozenset(day for day in days if later_instant(datetime.combine(day, time()), zone).astimezone(zone).date() > day)


@lru_cache(maxsize=4096)
def say_day(day: date) -> str:
    """ "Fri 18 Dec 2026": in English whatever the machine's locale, which strftime would follow."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def say_days(first: date, last: date) -> str:
    """ "Mon 21 Dec to Thu 24 Dec 2026"."""
    year = "" if first.year == last.year else f" {first.year}"
    return f"{_DAYS[first.weekday()]} {say_day_of_year(first)}{year} to {say_day(last)}"


def say_day_of_year(day: date) -> str:
    """ "11 Nov"."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def say_time(moment: datetime) -> str:
    """ "16:00", with the seconds where there are any."""
    clock = f"{moment.hour:02}:{moment.minute:02}"
    return f"{clock}:{moment.second:02}" if moment.second else clock


def say_local(moment: datetime) -> str:
    """ "Fri 18 Dec 2026 16:00 (Europe/Berlin)", for a datetime that is already in its zone."""
    return say_at(moment.date(), say_time(moment), moment.tzinfo)


def say_at(day: date, clock: str, zone: tzinfo | None) -> str:
    """The same, of a local day and the time of day in words."""
    return f"{say_day(day)} {clock} ({zone})"


def say_utc(instant: datetime) -> str:
    """ "2026-12-18 15:00 UTC", for a datetime in UTC."""
    return f"{instant.date().isoformat()} {say_time(instant)} UTC"


def instant(moment: datetime | None) -> str:
    """An instant for operators: UTC, to the second, and said to be so."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "never"


def span(seconds: float) -> str:
    """A duration for operators: ``3 d 4 h``, ``2 min 5 s``, ``0.5 s``."""
    if 0 < seconds <= 0.5:  # what would round to nothing
        return f"{seconds:.1g} s"
    whole = round(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    told = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "0 s"
