"""Calendars: what is a business day and why, peak seasons, zones, and how what is misspelt is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import pytest

from returnclock.calendars import Calendar, CalendarBook, Peak, zone
from returnclock.errors import BadPeak, BadPolicy, UnknownCountry, UnknownSubdivision, UnknownZone
from returnclock.period import Period, Unit

THREE = Period(3, Unit.BUSINESS_DAY)
SINGLES = "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=11"
BOOK = CalendarBook("DE", "BY", closures=[date(2026, 12, 24), date(2026, 12, 27)])


def why_not(country: str, day: str, subdivision: str | None = None) -> str | None:
    return BOOK.get(country, subdivision).why_not(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("country", "day", "reason"),
    [
        ("DE", "2026-12-23", None),
        ("DE", "2026-12-24", "closure of the shop"),
        ("DE", "2026-12-25", "Christmas Day"),
        ("DE", "2026-12-26", "Saturday"),
        ("DE", "2026-12-27", "Sunday"),
        ("US", "2026-12-24", "closure of the shop"),
        ("US", "2026-07-03", "Independence Day (observed)"),
        ("SA", "2026-10-16", "Friday"),
        ("SA", "2026-10-18", None),
        ("SA", "2013-06-27", "Thursday"),
        ("AE", "2021-12-31", "Friday"),
        ("AE", "2022-01-02", "Sunday"),
        ("CN", "2026-10-10", None),
        ("CN", "2026-10-11", "Sunday"),
        ("JP", "2026-05-06", "Substitute Holiday"),
    ],
)
def test_day_off_has_its_reason_and_a_business_day_none(country: str, day: str, reason: str | None) -> None:
    assert why_not(country, day) == reason
    assert BOOK.get(country, None).is_business_day(date.fromisoformat(day)) is (reason is None)


def test_date_that_awaits_the_sighting_of_the_moon_says_so() -> None:
    assert why_not("SA", "2026-03-19") == "Eid al-Fitr Holiday (estimated)"


def test_reasons_are_english_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert CalendarBook("DE").default.why_not(date(2026, 12, 25)) == "Christmas Day"


@pytest.mark.parametrize("country", ["US", "DE", "CN", "SA", "JP", "NG", "GH", "BR"])
def test_calendar_says_the_same_for_every_day_whichever_year_is_asked_first(country: str) -> None:
    days = [date(2021, 12, 20) + timedelta(days=offset) for offset in range(400)]
    forwards, backwards = (CalendarBook(country).default for _ in range(2))
    assert [forwards.why_not(day) for day in days] == [backwards.why_not(day) for day in reversed(days)][::-1]


def test_days_without_known_holidays_are_refused() -> None:
    calendar = BOOK.get("JP", None)
    assert calendar.valid_until == date(2099, 12, 31)
    assert calendar.is_business_day(date(2099, 12, 31))
    for look_up in (calendar.is_business_day, calendar.why_not):
        with pytest.raises(BadPolicy, match="The calendar JP: its public holidays are known from 1949-01-01 to 2099-12-31"):
            look_up(date(2100, 1, 1))
        with pytest.raises(BadPolicy):
            look_up(date(1948, 12, 31))


def test_threads_that_share_a_calendar_agree() -> None:
    calendar, days = CalendarBook("CN").default, [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: [calendar.why_not(day) for day in days], range(16)))
    assert all(answer == answers[0] for answer in answers)


def test_calendar_cannot_be_changed_from_outside() -> None:
    for name in ("name", "country", "subdivision", "valid_until"):
        with pytest.raises(AttributeError):
            setattr(BOOK.default, name, "US")
    with pytest.raises(AttributeError):
        BOOK.default = BOOK.get("US", None)  # type: ignore[misc]


# --- The book --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "subdivision", "name"),
    [
        (None, None, "DE-BY"),
        ("", "", "DE-BY"),
        (None, "BE", "DE-BE"),
        ("DE", None, "DE-BY"),
        ("DE", "BE", "DE-BE"),
        ("de", "be", "DE-BE"),
        ("DE", "DE-BE", "DE-BE"),
        ("DE", "Berlin", "DE-BE"),
        (" us ", None, "US"),
        ("US", "CA", "US-CA"),
        ("UK", "SCT", "GB-SCT"),
        ("MC", "SR", "MC"),
    ],
)
def test_book_finds_the_calendar_as_rows_write_it(country: str | None, subdivision: str | None, name: str) -> None:
    assert BOOK.get(country, subdivision).name == name


def test_book_gives_one_calendar_for_one_place() -> None:
    assert BOOK.get("DE", "BY") is BOOK.get("de", "Bayern") is BOOK.get(None, None) is BOOK.default
    assert (BOOK.default.country, BOOK.default.subdivision) == ("DE", "BY")
    assert BOOK.get("US", None).subdivision is None


@pytest.mark.parametrize(
    ("country", "hint"),
    [("Germany", "DE"), ("DEU", "DE"), ("germny", "DE"), ("united kingdom", "GB"), ("USA", "US")],
)
def test_unknown_country_is_refused_with_the_right_code(country: str, hint: str) -> None:
    with pytest.raises(UnknownCountry, match=rf'the country {country!r} \(did you mean "{hint}"\?\)\. Use an ISO'):
        BOOK.get(country, None)


@pytest.mark.parametrize("country", ["XX", "ZZZZ", "D", "QQQQQQQQ"])
def test_country_that_resembles_none_is_refused_without_a_hint(country: str) -> None:
    with pytest.raises(UnknownCountry, match=f"the country {country!r}. Use an ISO"):
        CalendarBook(country)


def test_unknown_subdivision_is_refused_when_the_book_is_made_and_lists_the_known() -> None:
    with pytest.raises(UnknownSubdivision) as caught:
        CalendarBook("DE", "Bayren")
    assert str(caught.value).startswith("DE has no subdivision 'Bayren' in the holiday calendars (did you mean \"Bayern\"?)")
    assert "Known are: Augsburg, BB, BE, BW, BY, HB," in str(caught.value)


def test_default_subdivision_is_not_taken_to_another_country() -> None:
    with pytest.raises(UnknownSubdivision):
        BOOK.get("GB", "BY")
    assert BOOK.get("GB", None).name == "GB"


@pytest.mark.parametrize("closure", ["2026-12-24", datetime(2026, 12, 24), 20261224])
def test_closure_that_is_no_date_is_refused(closure: object) -> None:
    with pytest.raises(BadPolicy, match=r"calendar\.closures: .* is not a date"):
        CalendarBook("DE", closures=[closure])  # type: ignore[list-item]


# --- Peak seasons ----------------------------------------------------------------------------------------------------


def seasons(calendar: Calendar, first: str, last: str) -> list[tuple[str, str, str]]:
    found = calendar.seasons(date.fromisoformat(first), date.fromisoformat(last))
    return [(peak.name, str(begin), str(end)) for peak, begin, end in found]


@pytest.mark.parametrize(
    ("first", "last", "years"),
    [
        ("2026-11-01", "2026-11-10", []),
        ("2026-11-01", "2026-11-11", [2026]),
        ("2026-11-17", "2026-11-30", [2026]),
        ("2026-11-18", "2026-11-30", []),
        ("2026-11-17", "2027-11-11", [2026, 2027]),
        ("2026-11-18", "2028-11-10", [2027]),
    ],
)
def test_season_counts_from_its_first_to_its_last_day(first: str, last: str, years: list[int]) -> None:
    calendar = CalendarBook(peaks=[Peak("Singles' Day", SINGLES, 7, THREE)]).default
    expected = [("Singles' Day", f"{year}-11-11", f"{year}-11-17") for year in years]
    assert seasons(calendar, first, last) == expected


def test_season_over_the_year_end_belongs_to_both_years() -> None:
    calendar = CalendarBook(peaks=[Peak("New Year", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=28", 7, THREE)]).default
    assert seasons(calendar, "2027-01-03", "2027-01-03") == [("New Year", "2026-12-28", "2027-01-03")]
    assert seasons(calendar, "2027-01-04", "2027-01-04") == []


def test_seasons_come_earliest_first() -> None:
    peaks = [
        Peak("Black Friday", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4FR", 4, THREE),
        Peak("Singles' Day", SINGLES, 7, THREE),
        Peak("Easter", "FREQ=YEARLY;BYEASTER=0", 1, THREE),
    ]
    found = seasons(CalendarBook(peaks=peaks).default, "2026-01-01", "2026-12-31")
    assert [(name, begin) for name, begin, _ in found] == [
        ("Easter", "2026-04-05"),
        ("Singles' Day", "2026-11-11"),
        ("Black Friday", "2026-11-27"),
    ]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("", "must say FREQ=YEARLY or FREQ=MONTHLY"),
        ("every November", "must say FREQ=YEARLY or FREQ=MONTHLY"),
        ("FREQ=DAILY", "must say FREQ=YEARLY or FREQ=MONTHLY"),
        ("FREQ=YEARLY", "names no day; add BYMONTHDAY or BYDAY"),
        ("FREQ=YEARLY;BYMONTH=11", "names no day; add BYMONTHDAY or BYDAY"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "names a day that never occurs"),
        ("FREQ=YEARLY;BYMONTH=13;BYMONTHDAY=1", "names a day that never occurs"),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=XX", "is not an RFC 5545 RRULE (invalid 'BYDAY': XX)"),
        (SINGLES + ";INTERVAL=2", "cannot use INTERVAL"),
        (SINGLES + ";COUNT=3", "cannot use COUNT"),
        (SINGLES + ";BYHOUR=9", "cannot use BYHOUR"),
        (SINGLES + "\nEXDATE:20261111T000000", "must be a single RRULE on one line"),
    ],
)
def test_rule_that_cannot_name_seasons_is_refused(rule: str, reason: str) -> None:
    with pytest.raises(BadPeak) as caught:
        Peak("Singles' Day", rule, 7, THREE)
    assert str(caught.value).startswith('The peak season "Singles\' Day" cannot be used: ')
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "days", "adds"),
    [
        (" ", 7, THREE),
        ("p", 0, THREE),
        ("p", 367, THREE),
        ("p", True, THREE),
        ("p", 7, Period(3, Unit.DAY)),
        ("p", 7, Period(0, Unit.BUSINESS_DAY)),
    ],
)
def test_season_without_name_length_or_business_days_is_refused(name: str, days: int, adds: Period) -> None:
    with pytest.raises(BadPeak):
        Peak(name, SINGLES, days, adds)


# --- Zones -----------------------------------------------------------------------------------------------------------


def test_zone_is_made_once() -> None:
    assert zone("Europe/Lisbon") is zone("Europe/Lisbon")
    assert zone("Europe/Lisbon").key == "Europe/Lisbon"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Europe/Lisbonn", "Europe/Lisbon"), ("europe/berlin", "Europe/Berlin"), ("America/NewYork", "America/New_York")],
)
def test_misspelt_zone_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownZone, match=rf'no time zone {name!r} \(did you mean "{hint}"\?\)'):
        zone(name)


@pytest.mark.parametrize("name", ["", "localtime", "posixrules", "Factory", "/etc/localtime", "../Europe/Berlin", "right/UTC"])
def test_name_that_means_no_fixed_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)
