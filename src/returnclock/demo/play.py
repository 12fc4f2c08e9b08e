"""Plays a story through the real stamp, sweeps, reminders, delivery and reconciliation, under a clock that is set forward.

A tick an hour; none while everything is down; and two workers at once when it is up again. Imports wiring and runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from returnclock.clock import FrozenClock
from returnclock.database import reading, writing
from returnclock.demo.market import FrontEnd
from returnclock.demo.recount import Recount
from returnclock.demo.story import write_story
from returnclock.errors import DeadlinesLate
from returnclock.localtime import say_day
from returnclock.mail import Channel, Mailer, Meanwhile
from returnclock.runs import perform
from returnclock.tables.clock import deadlines
from returnclock.wiring import Wiring

TICK = timedelta(hours=1)
SELDOM = 6  # reconcile and audit look at whole tables; every sixth tick is often enough here
OUTAGE = timedelta(days=2)
WORKERS_AFTER_OUTAGE = 2

Intruder = Callable[[Connection, datetime], None]


@dataclass(frozen=True)
class Span:
    """From when to when the demo plays, and from when to when nothing of returnclock runs."""

    start: datetime
    days: int

    @property
    def end(self) -> datetime:
        """The last tick."""
        return self.start + timedelta(days=self.days)

    @property
    def outage(self) -> tuple[datetime, datetime]:
        """The first missed instant and the first tick after it."""
        begins = self.start + timedelta(days=self.days // 3, hours=9)
        return begins, begins + OUTAGE

    def ticks(self) -> Iterator[datetime]:
        """Every hour from start to end, those of the outage included."""
        for number in range(self.days * 24 + 1):
            yield self.start + number * TICK


@dataclass
class CountingMailer:
    """Hands every letter on and counts by Message-ID how often it was handed over."""

    inner: Mailer
    handed_over: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.inner.name

    @property
    def connections(self) -> int:
        """As many as the mailer behind it allows."""
        return self.inner.connections

    @contextmanager
    def open(self) -> Iterator[Channel]:
        """A channel of the mailer behind it."""
        with self.inner.open() as channel:
            yield _CountingChannel(channel, self.handed_over)


@dataclass
class _CountingChannel:
    inner: Channel
    handed_over: Counter[str]

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        self.inner.send(to_address, raw, message_id, meanwhile)
        self.handed_over[message_id] += 1


@dataclass
class Player:
    """One performance. ``tell`` gets its lines, ``advance`` is called after every tick."""

    wiring: Wiring
    span: Span
    tell: Callable[[str], None]
    advance: Callable[[], None]
    intruder: Intruder | None = None
    today: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.mailer = CountingMailer(self.wiring.mailer)
        self.wiring = replace(self.wiring, mailer=self.mailer)
        self.recount = Recount(self.wiring.rulebook.market_zone)
        story = write_story(self.span.start, self.span.days)
        self.front_end = FrontEnd(self.wiring.engine, story, self.recount)

    def play(self) -> None:
        """Play from the first tick to the last."""
        begins, ends = self.span.outage
        for number, tick in enumerate(self.span.ticks()):
            for news in self.front_end.work_until(tick):
                self._tell_first_of_its_sort(tick, news)
            if self.intruder is not None:
                with writing(self.wiring.engine) as connection:
                    self.intruder(connection, tick)
            if tick == begins:
                self._say(tick, f"everything stops: no worker, no beat, for {OUTAGE.days} days; the market goes on")
            if not begins <= tick < ends:
                self._tick(tick, number, workers=WORKERS_AFTER_OUTAGE if tick == ends else 1)
            if tick.hour == 23:
                self._sum_up(tick)
            self.advance()

    def _tick(self, at: datetime, number: int, *, workers: int) -> None:
        wiring = self.wiring.at(FrozenClock(at))
        if workers > 1:
            self._audit_after_outage(wiring, at)
        sweeps = (task for task, kinds in wiring.rulebook.tasks().items() if kinds)
        done: Counter[str] = Counter()
        for task in ("stamp", *sweeps, "send-reminders", "deliver-mail"):
            for result in _at_once(wiring, task, workers):
                done += _counts(result)
        if workers > 1:
            self._say(at, f"up again, {workers} workers at once: {_listed(done)}")
        self.today += done
        self._spare(at)
        self.recount.ticked(at)
        if number % SELDOM == 0:
            perform(wiring, "reconcile", trigger="beat", actor="beat")
            perform(wiring, "audit", trigger="beat", actor="beat")

    def _spare(self, at: datetime) -> None:
        """Tell the recount who was not warned in time: it counts dates, and knows nothing of letters."""
        with reading(self.wiring.engine) as connection:
            spared = connection.execute(select(deadlines).where(deadlines.c.spared_at == at)).all()
        for row in spared:
            self.recount.spared((row.kind, row.subject_id, row.starts_at), at, row.due_at)
        if spared:
            self._say(at, f"{len(spared)} had not been warned in time: they are warned first, and get another day")

    def _audit_after_outage(self, wiring: Wiring, at: datetime) -> None:
        """Before anything is caught up, monitoring raises the alarm; that is what it is for."""
        try:
            perform(wiring, "audit", trigger="beat", actor="beat")
        except DeadlinesLate as alarm:
            self._say(at, f"the audit raises the alarm: {str(alarm).partition(';')[0]}, one by {alarm.fields['late']}")

    def _tell_first_of_its_sort(self, at: datetime, news: str) -> None:
        sort = news.partition(":")[2]
        if sort[:20] not in self.told:
            self.told.add(sort[:20])
            self._say(at, news)

    def _say(self, at: datetime, text: str) -> None:
        self.tell(f"{say_day(at.date())} {at:%H:%M}  {text}")

    def _sum_up(self, at: datetime) -> None:
        self.tell(f"{say_day(at.date())}        {_listed(self.today)}{self._holiday(at.date())}")
        self.today.clear()

    def _holiday(self, day: date) -> str:
        calendar = self.wiring.rulebook.calendars.default
        reason = calendar.why_not(day)
        return f"  ({reason}, no business day in {calendar.name})" if reason and day.weekday() < 5 else ""


def _at_once(wiring: Wiring, task: str, workers: int) -> list[dict[str, Any]]:
    """Let that many workers do the same task at the same moment."""
    if workers == 1:
        return [perform(wiring, task, trigger="beat", actor="beat")]
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(perform, wiring, task, trigger="beat", actor="beat") for _ in range(workers)]
        return [run.result() for run in runs]


_DONE = {
    "stamp": "stamped or settled",
    "escalate-disputes": "disputes escalated",
    "expire-return-windows": "windows expired",
    "flag-late-refunds": "refunds flagged",
    "send-reminders": "reminders",
    "deliver-mail": "letters",
}
_STALE = "stale reminders skipped"


def _counts(result: dict[str, Any]) -> Counter[str]:
    task = result["task"]
    what = _DONE.get(task, task)
    if task == "send-reminders":
        return Counter({what: result["queued"], _STALE: result["skipped"]})
    return Counter({what: result["changed"]})


def _listed(done: Counter[str]) -> str:
    order = [*_DONE.values(), _STALE]
    known = sorted(done, key=lambda what: order.index(what) if what in order else len(order))
    return ", ".join(f"{what} {done[what]}" for what in known if done[what]) or "nothing"
