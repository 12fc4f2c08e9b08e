"""Policies and the dates they make: ``due_at(starts, policy, calendar, zone)`` and the steps that led there.

Pure: no SQL, no Celery, no settings, and nothing that asks the time. Imports errors, period, calendars, localtime and
daycount; every room that stamps, explains or previews a deadline comes in here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from returnclock.calendars import Calendar, did_you_mean
from returnclock.daycount import count_back, count_days, rolled
from returnclock.errors import BadPeriod, BadPolicy
from returnclock.localtime import end_of_local_day, later_instant, say_day, say_local, say_time, say_utc
from returnclock.period import Period, Unit

Ends = Literal["same_time", "end_of_day"]
Roll = Literal["none", "next_business_day"]
WhoseCalendar = Literal["market", "party"]

_WORDS: Mapping[str, tuple[str, ...]] = {
    "ends": get_args(Ends),
    "roll": get_args(Roll),
    "calendar": get_args(WhoseCalendar),
}

# Reminders of a deadline that ends with a day would fall on midnight; people are written to in the morning instead.
MORNING = time(9)
NO_GRACE = Period(0, Unit.DAY)


@dataclass(frozen=True)
class Policy:
    """A promise: how long, how it ends, and when to remind. Raises BadPolicy where its parts contradict each other.

    period: counted from the event, whose own day is not counted (EU 1182/71 art. 3(1)).
    ends: "same_time" at the wall-clock time of the event, "end_of_day" with the last local day.
    roll: "next_business_day" moves a last day that is no business day (EU 1182/71 art. 3(4)).
    grace: how long after the promised moment the deadline takes effect; neither rolled nor lengthened by peak seasons.
    calendar: whose business days count, those of the market or of the party who must act.
    remind: how long before the promised moment to remind; kept with the earliest reminder first. Where the deadline
    ends with the day, "1 day" is 09:00 of the day before the last day: a full day is left, and nobody is mailed at
    midnight. "24 hours" are taken as they are.
    """

    period: Period
    ends: Ends = "same_time"
    roll: Roll = "none"
    grace: Period = NO_GRACE
    calendar: WhoseCalendar = "market"
    remind: tuple[Period, ...] = ()

    def __post_init__(self) -> None:
        for key, words in _WORDS.items():
            if (word := getattr(self, key)) not in words:
                known = " or ".join(f'"{right}"' for right in words)
                raise BadPolicy(where=key, reason=f'"{word}" is not known{did_you_mean(word, words)}; write {known}')
        if self.roll != "none" and self.ends == "same_time" and self.period.unit.is_elapsed:
            # EU 1182/71 art. 3(4) excepts periods in hours. Ignoring the word instead would promise what is not done.
            raise BadPolicy(where="roll", reason=f'a period of {self.period} is only moved with ends = "end_of_day"')
        if self.ends == "same_time" and any(offset.count == 0 for offset in self.remind):
            raise BadPolicy(where="remind", reason="a reminder at the deadline itself comes too late")
        object.__setattr__(self, "remind", tuple(sorted(set(self.remind), key=_longest_first)))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Once, for caches that are asked about every row: the generated one hashes every part anew each time.
        return hash(tuple(getattr(self, each.name) for each in fields(self)))

    def definition(self) -> dict[str, object]:
        """The policy in JSON types, every key written out, for ``clock_policies`` and ``Policy.from_definition``."""
        return {
            "period": str(self.period),
            "ends": self.ends,
            "roll": self.roll,
            "grace": str(self.grace),
            "calendar": self.calendar,
            "remind": [str(offset) for offset in self.remind],
        }

    @classmethod
    def from_definition(cls, definition: Mapping[str, object]) -> Policy:
        """The policy that a definition describes. Raises BadPolicy naming the key and the nearest right word."""
        known = [each.name for each in fields(cls)]
        for key in definition:
            if key not in known:
                hint = did_you_mean(key, known) or f"; the keys are {', '.join(known)}"
                raise BadPolicy(where=str(key), reason=f"a policy has no such key{hint}")
        if "period" not in definition:
            raise BadPolicy(where="period", reason='a policy needs one, such as "5 days"')
        return cls(**{key: _read(key, value) for key, value in definition.items()})

    @cached_property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the definition as JSON: the same for the same promise, anywhere."""
        canonical = json.dumps(self.definition(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The dates that a policy makes of one start, and why. All instants are aware and in UTC.

    promised_at: what people are told; with ends = "end_of_day" the first instant after ``last_day``.
    due_at: when it takes effect, ``promised_at`` and the grace.
    last_day: the local day on which it ends, and what people are told with ends = "end_of_day".
    reminders: ascending; only those after the start and before ``promised_at``.
    steps: each step to the dates, as a sentence.
    """

    promised_at: datetime
    due_at: datetime
    last_day: date
    reminders: tuple[datetime, ...]
    steps: tuple[str, ...]

    def next_reminder(self, now: datetime) -> datetime | None:
        """The first reminder that is still to come: one that is past was never owed by us."""
        if not self.reminders or self.reminders[-1] <= now:  # nearly all of an import: asked about every row
            return None
        return next(moment for moment in self.reminders if moment > now)


def due_at(starts: datetime, policy: Policy, calendar: Calendar, zone: ZoneInfo) -> Reckoning:
    """Reckon the dates of a deadline that starts at an aware instant, in the zone of the party who must act.

    Periods in hours, minutes or seconds are elapsed time; all others are counted in local days. Raises ValueError for a
    naive start, and BadPolicy where a date would lie past the year 9999 or past the holidays that the calendar knows.
    """
    if starts.utcoffset() is None:
        raise ValueError(f"The start {starts!r} has no time zone; returnclock reckons with aware instants only.")
    try:
        return _Reckoner(starts, policy, calendar, zone).reckoning()
    except OverflowError as error:
        reason = f"{policy.period} from {starts.isoformat()} leads past the dates that can be reckoned (year 1 to 9999)"
        raise BadPolicy(where="period", reason=reason) from error


def reckon_from_promise(
    starts: datetime, promised_at: datetime, last_day: date, policy: Policy, calendar: Calendar, zone: ZoneInfo
) -> Reckoning:
    """Reckon grace and reminders of a communicated date that an intervention has moved; the steps begin with the grace."""
    reckoner = _Reckoner(starts, policy, calendar, zone)
    reckoner.last_day, reckoner.steps = last_day, []
    due = reckoner._after_grace(promised_at)
    return Reckoning(promised_at, due, last_day, reckoner._reminders(promised_at), tuple(reckoner.steps))


def start_step(local: str) -> str:
    """The first step of every reckoning, for a start as `say_local` says it."""
    return f"Starts {local}."


def end_step(local: str, moment: datetime) -> str:
    """The last step of a reckoning that ends at the time of day of its start: the moment as `say_local` says it, and in UTC."""
    return f"Ends at the time of day of the event: due {local}, {say_utc(moment)}."


class _Reckoner:
    """One start on its way to its dates. It gathers the steps as it goes; made and used up within ``due_at``."""

    __slots__ = ("calendar", "last_day", "policy", "starts", "steps", "zone")

    def __init__(self, starts: datetime, policy: Policy, calendar: Calendar, zone: ZoneInfo) -> None:
        self.starts = starts.astimezone(UTC)
        self.policy, self.calendar, self.zone = policy, calendar, zone
        local = self.starts.astimezone(zone)
        self.last_day = local.date()
        self.steps = [start_step(say_local(local))]

    def reckoning(self) -> Reckoning:
        elapsed = self.policy.period.unit.is_elapsed
        promised_at = self._after_elapsed() if elapsed else self._after_days()
        due = self._after_grace(promised_at)
        return Reckoning(promised_at, due, self.last_day, self._reminders(promised_at), tuple(self.steps))

    def _after_elapsed(self) -> datetime:
        period = self.policy.period
        moment = self.starts + period.elapsed()
        local = moment.astimezone(self.zone)
        self.last_day = local.date()
        if self.policy.ends == "end_of_day":
            self.steps.append(f"{period} of elapsed time later is {say_local(local)}.")
            return self._end_of_last_day()
        self.steps.append(f"Ends {period} of elapsed time later: due {say_local(local)}, {say_utc(moment)}.")
        return moment

    def _after_days(self) -> datetime:
        time_of_day = self.starts.astimezone(self.zone).time()
        count = count_days(self.last_day, self.policy.period, self.calendar, self.zone)
        self.last_day = count.last_day
        self.steps.append("The day of the event is not counted (EU 1182/71 art. 3(1)).")
        self.steps.extend(count.steps)
        if self.policy.ends == "end_of_day":
            return self._end_of_last_day()
        self._roll()
        moment = self._same_time(datetime.combine(self.last_day, time_of_day))
        self.steps.append(end_step(say_local(moment.astimezone(self.zone)), moment))
        return moment

    def _roll(self) -> None:
        if self.policy.roll == "next_business_day":
            count = rolled(self.last_day, self.calendar, self.zone)
            self.last_day = count.last_day
            self.steps.extend(count.steps)

    def _end_of_last_day(self) -> datetime:
        self._roll()
        moment = end_of_local_day(self.last_day, self.zone)
        said = f"due {say_local(moment.astimezone(self.zone))}, {say_utc(moment)}."
        self.steps.append(f"Ends with the last day, {say_day(self.last_day)}: {said}")
        return moment

    def _same_time(self, wall: datetime) -> datetime:
        moment = later_instant(wall, self.zone)
        local = moment.astimezone(self.zone)
        if local.replace(tzinfo=None, fold=0) != wall:
            skipped = f"{say_time(wall)} does not exist on {say_day(wall)} in {self.zone}"
            self.steps.append(f"{skipped}, where the clock goes forward: {say_time(local)} counts.")
        elif local.fold:
            repeated = f"{say_time(wall)} occurs twice on {say_day(wall)} in {self.zone}"
            self.steps.append(f"{repeated}, where the clock goes back: the second counts.")
        return moment

    def _after_grace(self, promised_at: datetime) -> datetime:
        grace = self.policy.grace
        if grace.count == 0:
            return promised_at
        self.steps.append(f"Grace of {grace} from there:")
        if grace.unit.is_elapsed:
            moment = promised_at + grace.elapsed()
        elif self.policy.ends == "end_of_day":
            # From the last day, not from the midnight after it: one business day after a Friday is Monday, whole.
            moment = end_of_local_day(self._grace_day(self.last_day), self.zone)
        else:
            local = promised_at.astimezone(self.zone)
            moment = self._same_time(datetime.combine(self._grace_day(local.date()), local.time()))
        self.steps.append(f"Takes effect {say_local(moment.astimezone(self.zone))}, {say_utc(moment)}.")
        return moment

    def _grace_day(self, start: date) -> date:
        # Without peak seasons: they lengthen what was promised, and would otherwise count twice.
        count = count_days(start, self.policy.grace, self.calendar, self.zone, peaks=False)
        self.steps.extend(count.steps)
        return count.last_day

    def _reminders(self, promised_at: datetime) -> tuple[datetime, ...]:
        moments = {self._reminder(offset, promised_at) for offset in self.policy.remind}
        return tuple(sorted(moment for moment in moments if self.starts < moment < promised_at))

    def _reminder(self, offset: Period, promised_at: datetime) -> datetime:
        if offset.unit.is_elapsed:
            return promised_at - offset.elapsed()
        local = promised_at.astimezone(self.zone)
        day, at = (self.last_day, MORNING) if self.policy.ends == "end_of_day" else (local.date(), local.time())
        return later_instant(datetime.combine(count_back(day, offset, self.calendar, self.zone), at), self.zone)


def _longest_first(offset: Period) -> tuple[int, str]:
    return (-offset.rough_seconds, str(offset))


def _read(key: str, value: object) -> Any:
    if key in _WORDS:
        return value
    if key != "remind":
        return _period(key, value)
    if not isinstance(value, list | tuple):
        raise BadPolicy(where=key, reason=f'{value!r} is not a list of periods, such as ["2 days", "1 day"]')
    return tuple(_period(key, offset) for offset in value)


def _period(key: str, value: object) -> Period:
    try:
        return Period.parse(value)  # type: ignore[arg-type]
    except BadPeriod as error:
        raise BadPolicy(where=key, reason=str(error).removesuffix(".")) from error
