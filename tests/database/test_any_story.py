"""Any story of writes, ticks, interventions and outages: never early, never lost, never twice, always explained.

Hypothesis makes the stories up. A test run plays the same few on each database; ``make stories`` plays new ones, many more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, event

from returnclock.errors import BadUsage, MailServerDown, Refused, StillPaused
from returnclock.ledger import Hand
from returnclock.ops.vacation import announce, take_back
from returnclock.restamp import Plan, restamp
from returnclock.tables.clock import LIVE_STATES, deadlines
from returnclock.tables.interventions import vacations
from tests.database.chronicle import Chronicle, Hold
from tests.database.conftest import DATABASES, emptied
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, SECOND, Market

SELLERS = (901, 902)
TASKS = ("stamp", "escalate-disputes", "expire-return-windows", "send-reminders", "deliver-mail", "reconcile")
GUARDED = '[ops]\nwarning_lead = "24 hours"\nvacation_days_a_year = 366\n'
DAYS = (5, 7, 4)  # of the policies of a story; the first is the default
PICK = st.integers(0, 1000)
STORIES = int(os.environ.get("STORIES", "0"))


class Story(RuleBasedStateMachine):
    engine: Engine
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.market = Market(emptied(self.engine), self.folder)
        self.market.configure(GUARDED)
        self.operator = Operator(self.market)
        self.chronicle = Chronicle(self.market, {"seller_response": 5 * DAY, "return_window": 15 * DAY})
        self.disputes: list[int] = []
        self.orders: list[int] = []
        for seller in SELLERS:
            self.market.insert("sellers", id=seller, name="Ana", email=f"s{seller}@shop.example", time_zone="UTC")

    @property
    def now(self) -> datetime:
        return self.market.clock.at

    # What a front end does.

    @rule(seller=st.sampled_from(SELLERS), ago=st.sampled_from([0, 1, 50, 110]), stamps=st.booleans())
    def a_dispute_is_opened(self, seller: int, ago: int, stamps: bool) -> None:
        order = self.market.order(seller_id=seller)
        self.disputes.append(self.market.dispute(opened_at=self.now - ago * HOUR, order_id=order))
        self.stamp_if(stamps)

    @rule(seller=st.sampled_from(SELLERS), stamps=st.booleans())
    def an_order_is_delivered(self, seller: int, stamps: bool) -> None:
        self.orders.append(self.market.order(seller_id=seller, delivered_at=self.now))
        self.stamp_if(stamps)

    @precondition(lambda self: self.disputes)
    @rule(pick=PICK, status=st.sampled_from(["awaiting_seller", "awaiting_buyer", "accepted", "closed"]), stamps=st.booleans())
    def a_dispute_moves_on(self, pick: int, status: str, stamps: bool) -> None:
        self.market.update("disputes", self.disputes[pick % len(self.disputes)], status=status)
        self.stamp_if(stamps)

    @precondition(lambda self: self.disputes)
    @rule(pick=PICK, what=st.sampled_from(["seller_replied_at", "awaiting_seller_since"]), stamps=st.booleans())
    def a_dispute_starts_anew(self, pick: int, what: str, stamps: bool) -> None:
        self.market.update("disputes", self.disputes[pick % len(self.disputes)], **{what: self.now})
        self.stamp_if(stamps)

    def stamp_if(self, stamps: bool) -> None:
        if stamps:
            self.market.run("stamp")

    # Time and ticks.

    @rule(hours=st.sampled_from([1, 7, 24, 30]))
    def time_goes_by(self, hours: int) -> None:
        self.market.clock.at += hours * HOUR

    @rule(days=st.integers(1, 3))
    def days_go_by_with_their_ticks(self, days: int) -> None:
        for _ in range(4 * days):
            self.market.clock.at += 6 * HOUR
            self.all_ticks()
            self.chronicle.look()

    @rule(
        pick=PICK,
        off=st.sampled_from([-SECOND, timedelta(), SECOND]),
        which=st.sampled_from(["due_at", "remind_at", "promised_at"]),
    )
    def the_moment_of_a_deadline_comes(self, pick: int, off: timedelta, which: str) -> None:
        moments = [getattr(row, which) for row in self.live() if getattr(row, which) is not None]
        coming = sorted(moment + off for moment in moments if moment + off > self.now)
        if coming:
            self.market.clock.at = coming[pick % min(3, len(coming))]

    @rule(task=st.sampled_from(TASKS))
    def a_tick(self, task: str) -> None:
        self.run(task)

    @rule(task=st.sampled_from([task for task in TASKS if task != "deliver-mail"]), after=st.integers(1, 25))
    def a_tick_whose_worker_dies(self, task: str, after: int) -> None:
        with dying(self.engine, after):
            self.run(task)

    @rule()
    def every_tick(self) -> None:
        self.all_ticks()

    def all_ticks(self) -> None:
        for task in TASKS:
            self.run(task)

    def run(self, task: str) -> None:
        try:
            self.market.run(task)
        except MailServerDown:
            assert self.market.mailer.closed

    @rule(closed=st.booleans())
    def the_mail_server_goes_or_comes(self, closed: bool) -> None:
        self.market.mailer.closed = closed

    # What operators do.

    @rule(
        pick=PICK,
        of=st.sampled_from(["row", "deadline", "kind", "all"]),
        starts=st.sampled_from([None, -30, -3, 5]),
        lasts=st.sampled_from([None, 10, 60]),
    )
    def a_hold(self, pick: int, of: str, starts: int | None, lasts: int | None) -> None:
        words, where, named = self.meant(pick, of)
        start = self.now if starts is None else self.now + starts * HOUR
        end = None if lasts is None else max(start, self.now) + lasts * HOUR
        done = self.refusable(lambda: self.operator.hold(*words, starts=start, ends=end, **where))
        if done:
            self.chronicle.holds[done["hold"]] = Hold(start, end, named)

    @precondition(lambda self: self.market.rows(deadlines, state="held"))
    @rule(pick=PICK, of=st.sampled_from(["row", "deadline"]))
    def a_row_is_resumed(self, pick: int, of: str) -> None:
        words, _, named = self.meant(pick, of)
        if words and self.refusable(lambda: self.operator.resume(*words)):
            for hold in self.chronicle.holds.values():
                if hold.start <= self.now:
                    hold.left.append((named, self.now))

    @precondition(lambda self: self.chronicle.holds)
    @rule(pick=PICK)
    def a_hold_is_resumed(self, pick: int) -> None:
        numbers = sorted(self.chronicle.holds)
        number = numbers[pick % len(numbers)]
        if self.refusable(lambda: self.operator.resume_hold(number)):
            hold = self.chronicle.holds[number]
            hold.start, hold.end = min(hold.start, self.now), self.now

    @precondition(lambda self: self.live())
    @rule(pick=PICK, how=st.sampled_from([{"add": "2 days"}, {"add": "6 hours"}, {"until": 50}, {"until": 200}]))
    def an_extension(self, pick: int, how: dict[str, Any]) -> None:
        words, _, _ = self.meant(pick, "row")
        if "until" in how:
            how = {"until": self.now + how["until"] * HOUR}
        if words:
            self.refusable(lambda: self.operator.extend(*words, **how))

    @precondition(lambda self: self.market.rows(deadlines, state="fired"))
    @rule(pick=PICK, of=st.sampled_from(["row", "deadline", "kind"]))
    def an_undoing(self, pick: int, of: str) -> None:
        words, where, _ = self.meant(pick, of)
        self.refusable(lambda: self.operator.undo(*words, **where))

    @rule(pick=PICK)
    def a_firing_by_hand(self, pick: int) -> None:
        words, _, _ = self.meant(pick, "row")
        if words:
            self.refusable(lambda: self.operator.fire(*words))

    @rule(seller=st.sampled_from(SELLERS), begins=st.sampled_from([0, 1, 4, 8]), lasts=st.sampled_from([0, 2, 6]))
    def a_vacation(self, seller: int, begins: int, lasts: int) -> None:
        first = self.now.date() + begins * DAY
        done = self.refusable(lambda: announce(self.operator.desk(), seller, first, first + lasts * DAY))
        if done:
            self.chronicle.away[seller] |= set(done["days"])

    @rule(pick=PICK)
    def a_vacation_is_taken_back(self, pick: int) -> None:
        rows = [row for row in self.market.rows(vacations) if row.removed_at is None]
        if rows:
            row = rows[pick % len(rows)]
            take_back(self.operator.desk(), row.id)
            others = [one for one in rows if one.id != row.id and one.seller_id == row.seller_id]
            spans = [(one.first_day, one.last_day) for one in others]
            kept = {day for day in self.chronicle.away[row.seller_id] if any(a <= day <= b for a, b in spans)}
            self.chronicle.away[row.seller_id] = kept | {d for d in self.chronicle.away[row.seller_id] if d <= self.now.date()}

    @rule(days=st.sampled_from(DAYS), overdue=st.sampled_from(["fire", "notice", "skip"]))
    def another_rule(self, days: int, overdue: Any) -> None:
        shortest = self.chronicle.shortest
        shortest["seller_response"] = min(shortest["seller_response"], days * DAY)
        self.market.configure(f'{GUARDED}[policy.seller_response]\nperiod = "{days} days"\nremind = ["2 days", "1 day"]\n')
        wiring = self.market.wiring
        plan = Plan(self.market.engine, self.market.clock, wiring.rulebook, Hand("maria"), "a new rule", overdue)
        restamp(plan, wiring.rulebook.active())

    def live(self) -> list[Any]:
        return [row for row in self.market.rows(deadlines) if row.state in LIVE_STATES]

    def meant(self, pick: int, of: str) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """Words and options for a scope, and what it means to the chronicle."""
        rows = [("disputes", one) for one in self.disputes] + [("orders", one) for one in self.orders]
        if of == "row" and rows:
            table, row = rows[pick % len(rows)]
            return (table, row), {}, (None, table, str(row))
        kept = self.market.rows(deadlines)
        if of == "deadline" and kept:
            one = kept[pick % len(kept)]
            table = "disputes" if one.kind == "seller_response" else "orders"
            return (one.id,), {}, (one.kind, table, one.subject_id)
        if of == "kind":
            return (), {"kind": "seller_response"}, ("seller_response", None, None)
        return (), {"everything": True}, (None, None, None)

    def refusable(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (Refused, BadUsage, StillPaused):
            return None

    @invariant()
    def nothing_is_early_or_twice_or_unexplained(self) -> None:
        self.chronicle.look()

    def teardown(self) -> None:
        """In the end everything runs: what is still true must have fired within days of its date, and nothing waits."""
        self.market.mailer.closed = False
        for number in self.chronicle.holds:
            self.refusable(lambda number=number: self.operator.resume_hold(number))
        for hold in self.chronicle.holds.values():
            hold.start, hold.end = min(hold.start, self.now), min(self.now, hold.end or self.now)
        for _ in range(20):
            self.market.clock.at += 3 * DAY
            self.all_ticks()
            self.chronicle.look()
        assert not self.live(), "lost"
        assert self.market.run("reconcile")["changed"] == 0


class Died(BaseException):
    pass


@contextmanager
def dying(engine: Engine, after: int) -> Iterator[None]:
    """A process that is gone after so many statements: no other of it reaches the database, not even to say that it failed."""
    left = after

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    except Died:
        pass
    finally:
        event.remove(engine, "before_cursor_execute", count)


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.timeout(3600 if STORIES else 300)
def test_no_story_is_early_lost_twice_or_unexplained(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    name = {"sqlite": "sqlite_engine", "postgresql": "postgres_engine", "mariadb": "mariadb_engine"}[database]
    story = type("Story", (Story,), {"engine": request.getfixturevalue(name), "folder": tmp_path})
    few = {"max_examples": 6 if database == "sqlite" else 3, "derandomize": True, "phases": (Phase.generate,)}
    asked = settings(
        **({"max_examples": STORIES, "phases": (Phase.generate, Phase.shrink)} if STORIES else few),  # type: ignore[arg-type]
        stateful_step_count=30,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(story, settings=asked)
