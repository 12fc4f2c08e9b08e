"""The dates that policies make, against golden tables, a naive count that shares nothing with the code, and laws."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from returnclock.calendars import CalendarBook, Peak, zone
from returnclock.errors import BadPolicy
from returnclock.period import Period, Unit
from returnclock.policy import Policy, Reckoning, due_at
from tests.unit.golden.read import golden
from tests.unit.made_up_policies import BOOK, DAYS, STARTS, ZONES, calendar, policies, utc

PEAKS = {
    "singles": Peak("Singles' Day", "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=11", 7, Period(3, Unit.BUSINESS_DAY)),
    "friday": Peak("Black Friday", "FREQ=YEARLY;BYMONTH=11;BYDAY=4FR", 4, Period(2, Unit.BUSINESS_DAY)),
    "newyear": Peak("New Year", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=28", 7, Period(1, Unit.BUSINESS_DAY)),
}


def reckoned(starts: str, policy: Policy, name: str = "DE-BY", zone_name: str = "UTC") -> Reckoning:
    there = zone(zone_name)
    return due_at(datetime.fromisoformat(starts).replace(tzinfo=there), policy, calendar(name), there)


def periods(text: str) -> tuple[Period, ...]:
    return tuple(Period.parse(part) for part in text.split(","))


def case_id(case: dict[str, str]) -> str:
    return " ".join(list(case.values())[:4])


# --- Golden tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden("local_time.txt"), ids=case_id)
def test_local_time_agrees_with_the_golden_table(case: dict[str, str]) -> None:
    policy = Policy(Period.parse(case["period"]), ends=case["ends"])
    result = reckoned(case["starts"], policy, zone_name=case["zone"])
    assert (result.promised_at, result.last_day) == (utc(case["promised"]), date.fromisoformat(case["last day"]))
    assert result.due_at == result.promised_at


@pytest.mark.parametrize("case", golden("business_days.txt"), ids=case_id)
def test_business_days_agree_with_the_golden_table(case: dict[str, str]) -> None:
    policy = Policy(Period.parse(case["period"]), ends="end_of_day")
    result = reckoned(case["starts"], policy, case["calendar"])
    expected = date.fromisoformat(case["last day"])
    assert (result.last_day, result.promised_at) == (expected, utc(str(expected + timedelta(days=1))))


@pytest.mark.parametrize("case", golden("roll_grace_peaks.txt"), ids=lambda case: " ".join(list(case.values())[:8]))
def test_roll_grace_closures_and_peaks_agree_with_the_golden_table(case: dict[str, str]) -> None:
    closures = [date.fromisoformat(day) for day in case["closures"].split() if day != "-"]
    book = CalendarBook("US", closures=closures, peaks=[PEAKS[name] for name in case["peaks"].split() if name != "-"])
    policy = Policy(Period.parse(case["period"]), ends=case["ends"], roll=case["roll"], grace=Period.parse(case["grace"]))
    result = due_at(utc(case["starts"]), policy, calendar(case["calendar"], book), zone("UTC"))
    assert (result.promised_at, result.due_at) == (utc(case["promised"]), utc(case["due"]))


@pytest.mark.parametrize("case", golden("reminders.txt"), ids=case_id)
def test_reminders_agree_with_the_golden_table(case: dict[str, str]) -> None:
    policy = Policy(Period.parse(case["period"]), ends=case["ends"], remind=periods(case["remind"]))
    result = reckoned(case["starts"], policy, "DE", case["zone"])
    local = [moment.astimezone(zone(case["zone"])).strftime("%Y-%m-%d %H:%M") for moment in result.reminders]
    assert local == [moment.strip() for moment in case["reminders"].split(",") if moment != "-"]


# --- A count that shares nothing with the code -----------------------------------------------------------------------

# Weekdays off (Monday is 0) and the holidays of 2026 up to the spring of 2027, typed in from the official lists.
NAIVE = {
    "DE-BY": ((5, 6), "1-1 1-6 4-3 4-6 5-1 5-14 5-25 6-4 8-15 10-3 11-1 12-25 12-26", "1-1 1-6"),
    "US": ((5, 6), "1-1 1-19 2-16 5-25 6-19 7-3 9-7 10-12 11-11 11-26 12-25", "1-1 1-18"),
    "IL": ((4, 5), "4-2 4-8 4-22 5-22 9-12 9-13 9-21 9-26 10-3", ""),
}


@pytest.mark.parametrize("name", NAIVE)
def test_business_days_equal_a_naive_count_from_every_day_of_2026(name: str) -> None:
    days_off, holidays_2026, holidays_2027 = NAIVE[name]
    typed = [f"2026-{day}" for day in holidays_2026.split()] + [f"2027-{day}" for day in holidays_2027.split()]
    holidays = {date(*map(int, day.split("-"))) for day in typed}
    for offset in range(365):
        start = date(2026, 1, 1) + timedelta(days=offset)
        for count in (1, 3, 10):
            last, left = start, count
            while left > 0:
                last += timedelta(days=1)
                if last.weekday() not in days_off and last not in holidays:
                    left -= 1
            policy = Policy(Period(count, Unit.BUSINESS_DAY), ends="end_of_day")
            assert reckoned(f"{start}T12:00", policy, name).last_day == last, (name, start, count)


# --- Laws ------------------------------------------------------------------------------------------------------------


@given(STARTS, policies(), st.sampled_from(ZONES), st.sampled_from(["DE-BY", "CN", "AE"]))
@settings(deadline=None, max_examples=300)
def test_due_never_before_promised_nor_promised_before_the_start(
    starts: datetime, policy: Policy, zone_name: str, name: str
) -> None:
    result = due_at(starts, policy, calendar(name), zone(zone_name))
    assert result.due_at >= result.promised_at > starts
    assert result.promised_at.tzinfo is result.due_at.tzinfo is UTC


@given(STARTS, policies(), st.sampled_from(ZONES))
@settings(deadline=None, max_examples=300)
def test_reminders_ascend_and_lie_between_start_and_promise(starts: datetime, policy: Policy, zone_name: str) -> None:
    result = due_at(starts, policy, BOOK.default, zone(zone_name))
    assert list(result.reminders) == sorted(set(result.reminders))
    assert all(starts < moment < result.promised_at for moment in result.reminders)


@given(STARTS, st.timedeltas(timedelta(), timedelta(days=60)), policies(), st.sampled_from(ZONES))
@settings(deadline=None, max_examples=300)
def test_later_start_never_has_an_earlier_last_day(starts: datetime, later: timedelta, policy: Policy, zone_name: str) -> None:
    # The last day, not the moment: with same_time, Friday 17:00 and Saturday 16:00 both lead to Monday.
    first, second = (due_at(at, policy, BOOK.default, zone(zone_name)) for at in (starts, starts + later))
    assert first.last_day <= second.last_day
    if policy.ends == "end_of_day":
        assert first.promised_at <= second.promised_at


@given(STARTS, DAYS, st.sampled_from(ZONES))
@settings(deadline=None, max_examples=300)
def test_end_of_day_begins_the_first_local_day_after_the_last_one(starts: datetime, period: Period, zone_name: str) -> None:
    result = due_at(starts, Policy(period, "end_of_day"), BOOK.default, zone(zone_name))
    just_before = result.promised_at - timedelta(microseconds=1)
    assert just_before.astimezone(zone(zone_name)).date() == result.last_day
    assert result.promised_at.astimezone(zone(zone_name)).date() > result.last_day


@given(STARTS, DAYS, st.sampled_from(ZONES))
@settings(deadline=None, max_examples=300)
def test_same_time_keeps_the_wall_clock_where_the_clocks_allow(starts: datetime, period: Period, zone_name: str) -> None:
    there = zone(zone_name)
    result = due_at(starts, Policy(period), BOOK.default, there)
    wall = datetime.combine(result.last_day, starts.astimezone(there).time())
    readings = [wall.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1)]
    assert result.promised_at == max(readings)


@given(STARTS, st.integers(0, 2000), st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.HOUR]), st.sampled_from(ZONES))
@settings(deadline=None)
def test_elapsed_periods_ignore_zone_and_calendar(starts: datetime, count: int, unit: Unit, zone_name: str) -> None:
    result = due_at(starts, Policy(Period(count, unit)), calendar("SA"), zone(zone_name))
    assert result.promised_at - starts == count * timedelta(**{f"{unit.value}s": 1})


@given(STARTS, DAYS, st.sampled_from(["DE-BY", "CN", "SA"]))
@settings(deadline=None)
def test_rolled_deadline_ends_on_a_business_day_and_none_is_passed_over(starts: datetime, period: Period, name: str) -> None:
    plain, rolled = (
        due_at(starts, Policy(period, "end_of_day", roll), calendar(name), zone("UTC")).last_day
        for roll in ("none", "next_business_day")
    )
    assert calendar(name).is_business_day(rolled)
    between = (plain + timedelta(days=n) for n in range((rolled - plain).days))
    assert not any(calendar(name).is_business_day(day) for day in between)


@given(policies())
def test_policy_survives_its_definition(policy: Policy) -> None:
    again = Policy.from_definition(policy.definition())
    assert again == policy
    assert again.digest == policy.digest


@given(policies(), policies())
def test_different_promises_have_different_digests(one: Policy, other: Policy) -> None:
    assume(one != other)
    assert one.digest != other.digest


def test_digest_stays_what_it_was_when_deadlines_were_stamped() -> None:
    # Stored in clock_policies: another value here would part every open deadline from its policy.
    # sha256sum of {"calendar":"market","ends":"same_time","grace":"0 days","period":"5 days",
    # "remind":["2 days","1 day"],"roll":"none"} on one line without the space.
    policy = Policy(Period(5, Unit.DAY), remind=periods("1 day,2 days"))
    assert policy.digest == "feac7bef4bb3dd48"


def test_last_day_is_never_rolled_onto_a_date_that_the_zone_left_out() -> None:
    book, apia = CalendarBook("DE", closures=[date(2011, 12, 29)]), zone("Pacific/Apia")
    starts = datetime(2011, 12, 28, 12, tzinfo=apia)
    policy = Policy(Period(1, Unit.DAY), "end_of_day", "next_business_day")
    # Thursday 29 is a closure, Friday 30 never was, then the weekend.
    assert due_at(starts, policy, book.default, apia).last_day == date(2012, 1, 2)
    # A Friday that did exist would have been a business day.
    assert due_at(starts, policy, book.default, zone("UTC")).last_day == date(2011, 12, 30)


def test_one_instant_makes_one_date_however_its_offset_is_written() -> None:
    policy, there = Policy(Period(5, Unit.DAY), "end_of_day"), zone("Europe/Berlin")
    here = datetime(2026, 5, 10, 22, 30, tzinfo=UTC)
    elsewhere = here.astimezone(zone("America/New_York"))
    assert due_at(here, policy, BOOK.default, there) == due_at(elsewhere, policy, BOOK.default, there)


def test_reminders_are_kept_with_the_earliest_first() -> None:
    policy = Policy(Period(5, Unit.DAY), remind=periods("1 hour,1 day,3 days,1 business day,1 day"))
    assert [str(offset) for offset in policy.remind] == ["3 days", "1 business day", "1 day", "1 hour"]


# --- The steps, in words ---------------------------------------------------------------------------------------------


def test_steps_tell_every_day_that_was_skipped_and_why() -> None:
    book = CalendarBook("DE", "BY", closures=[date(2026, 12, 24)])
    starts = datetime(2026, 12, 18, 16, tzinfo=zone("Europe/Berlin"))
    policy = Policy(Period(10, Unit.BUSINESS_DAY), "end_of_day", grace=Period(1, Unit.HOUR))
    assert due_at(starts, policy, book.default, zone("Europe/Berlin")).steps == (
        "Starts Fri 18 Dec 2026 16:00 (Europe/Berlin).",
        "The day of the event is not counted (EU 1182/71 art. 3(1)).",
        "Sat 19 Dec to Sun 20 Dec 2026 skipped: weekend.",
        "Mon 21 Dec to Wed 23 Dec 2026 are business days 1 to 3 of 10.",
        "Thu 24 Dec 2026 skipped: closure of the shop.",
        "Fri 25 Dec 2026 skipped: Christmas Day.",
        "Sat 26 Dec to Sun 27 Dec 2026 skipped: weekend.",
        "Mon 28 Dec to Thu 31 Dec 2026 are business days 4 to 7 of 10.",
        "Fri 1 Jan 2027 skipped: New Year's Day.",
        "Sat 2 Jan to Sun 3 Jan 2027 skipped: weekend.",
        "Mon 4 Jan to Tue 5 Jan 2027 are business days 8 to 9 of 10.",
        "Wed 6 Jan 2027 skipped: Epiphany.",
        "Thu 7 Jan 2027 is business day 10 of 10.",
        "Ends with the last day, Thu 7 Jan 2027: due Fri 8 Jan 2027 00:00 (Europe/Berlin), 2027-01-07 23:00 UTC.",
        "Grace of 1 hour from there:",
        "Takes effect Fri 8 Jan 2027 01:00 (Europe/Berlin), 2027-01-08 00:00 UTC.",
    )


@pytest.mark.parametrize(
    ("starts", "zone_name", "period", "sentence"),
    [
        ("2026-03-28 02:30", "Europe/Berlin", "1 day", "where the clock goes forward: 03:30 counts."),
        ("2026-10-24 02:30", "Europe/Berlin", "1 day", "where the clock goes back: the second counts."),
        ("2011-12-29 12:00", "Pacific/Apia", "1 day", "Fri 30 Dec 2011 skipped: this date never existed in"),
        ("2011-12-29 12:00", "Pacific/Apia", "1 business day", "Fri 30 Dec 2011 skipped: this date never existed in"),
        (
            "2026-01-31 12:00",
            "UTC",
            "1 month",
            "Sat 28 Feb 2026, the last day of that month (EU 1182/71 art. 3(2)(c)).",
        ),
        ("2026-05-04 12:00", "UTC", "48 hours", "Ends 48 hours of elapsed time later: due Wed 6 May 2026 12:00 (UTC)"),
    ],
)
def test_steps_tell_what_is_unusual(starts: str, zone_name: str, period: str, sentence: str) -> None:
    told = "\n".join(reckoned(starts, Policy(Period.parse(period)), zone_name=zone_name).steps)
    assert sentence in told


def test_steps_name_the_peak_season_and_what_it_adds() -> None:
    book = CalendarBook("CN", peaks=[PEAKS["singles"]])
    steps = due_at(utc("2026-11-05 10:00"), Policy(Period(5, Unit.BUSINESS_DAY)), book.default, zone("UTC")).steps
    assert "Singles' Day (11 Nov to 17 Nov) adds 3 business days." in steps
    assert "Mon 16 Nov to Tue 17 Nov 2026 are business days 7 to 8 of 8." in steps


def test_steps_of_a_count_over_years_stay_readable() -> None:
    steps = reckoned("2026-01-01 12:00", Policy(Period(2500, Unit.BUSINESS_DAY))).steps
    assert len(steps) < 70
    assert any(step.startswith("In all, 2500 business days are counted and ") for step in steps)
    assert "business day" in steps[-2] and "2500 of 2500" in steps[-2]


# --- What is refused -------------------------------------------------------------------------------------------------


def test_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        due_at(datetime(2026, 1, 1), Policy(Period(1, Unit.DAY)), BOOK.default, zone("UTC"))


@pytest.mark.parametrize("period", ["31 days", "5 weeks", "1 month", "744 hours"])
def test_date_past_the_year_9999_is_refused_in_a_sentence(period: str) -> None:
    with pytest.raises(BadPolicy, match=r"leads past the dates that can be reckoned"):
        reckoned("9999-12-01T00:00", Policy(Period.parse(period)))


def test_last_reckonable_day_is_still_reckoned() -> None:
    assert reckoned("9999-12-01T00:00", Policy(Period(30, Unit.DAY))).last_day == date(9999, 12, 31)


def test_count_past_the_known_holidays_is_refused() -> None:
    policy = Policy(Period(10, Unit.BUSINESS_DAY))
    assert reckoned("2100-12-01 12:00", policy).last_day == date(2100, 12, 15)
    with pytest.raises(BadPolicy, match="public holidays are known from 1991-01-01 to 2100-12-31"):
        reckoned("2100-12-25 12:00", policy)


def test_seasons_that_reach_each_other_without_end_are_refused() -> None:
    endless = Peak("Every month", "FREQ=MONTHLY;BYMONTHDAY=1", 1, Period(25, Unit.BUSINESS_DAY))
    book = CalendarBook("US", peaks=[endless])
    with pytest.raises(BadPolicy, match="without end"):
        due_at(utc("2026-01-15"), Policy(Period(20, Unit.BUSINESS_DAY)), book.default, zone("UTC"))


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"perod": "5 days"}, 'perod: a policy has no such key (did you mean "period"?).'),
        ({"period": "5 days", "zzz": 1}, "zzz: a policy has no such key; the keys are period, ends, roll"),
        ({}, 'period: a policy needs one, such as "5 days".'),
        ({"period": "5 dayz"}, "period: '5 dayz' is not a period."),
        ({"period": 5}, "period: 5 is not a period."),
        ({"period": "5 days", "grace": "-1 days"}, "grace: '-1 days' is not a period."),
        ({"period": "5 days", "ends": "end of day"}, 'ends: "end of day" is not known (did you mean "end_of_day"?)'),
        ({"period": "5 days", "roll": "next"}, 'write "none" or "next_business_day".'),
        ({"period": "5 days", "calendar": None}, 'calendar: "None" is not known'),
        ({"period": "5 days", "remind": "2 days"}, "remind: '2 days' is not a list of periods"),
        ({"period": "5 days", "remind": ["2 dais"]}, "remind: '2 dais' is not a period."),
        ({"period": "5 days", "remind": ["0 days"]}, "remind: a reminder at the deadline itself comes too late."),
        ({"period": "48 hours", "roll": "next_business_day"}, "roll: a period of 48 hours is only moved with ends"),
    ],
)
def test_bad_definition_names_the_key_and_what_is_right(definition: dict[str, object], message: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        Policy.from_definition(definition)
    assert message in str(caught.value)


def test_morning_of_reminders_is_nine() -> None:
    result = reckoned("2026-05-04 16:00", Policy(Period(15, Unit.DAY), "end_of_day", remind=periods("1 day")))
    assert result.reminders[0].time() == time(9)
