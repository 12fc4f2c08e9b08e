"""A front end that writes in the middle of everything: what it committed first wins, and nobody waits for long."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, text, update

from returnclock import claims, sweep
from returnclock.clock import FrozenClock
from returnclock.database import reading, writing
from returnclock.engines import open_engine
from returnclock.runs import perform
from returnclock.tables.clock import deadlines, events, outbox
from returnclock.tables.market import disputes, orders, refunds
from tests.system.crowded_market import DELIVERED, act, counts, fill, open_market, present, wired
from tests.system.processes import Worker, work_together

LONGEST_WAIT_S = 10.0  # a batch takes well under a second; this leaves room for a machine that does much else


class FrontEnd(threading.Thread):
    """Turns over its share of the disputes and orders, and notes what it saw: who was first, it or the clock."""

    def __init__(self, url: str, numbers: list[int], seed: int) -> None:
        super().__init__(daemon=True)
        self.engine = open_engine(url)
        self.numbers = numbers
        self.chance = random.Random(seed)
        self.first: dict[int, str] = {}
        self.second: set[int] = set()
        self.windows_kept: set[int] = set()
        self.windows_lost: set[int] = set()
        self.errors: list[str] = []
        self.longest_wait_s = 0.0

    def run(self) -> None:
        self.chance.shuffle(self.numbers)
        for start in range(0, len(self.numbers), 3):
            begun = time.monotonic()
            try:
                self._turn_over(self.numbers[start : start + 3])
            except Exception as fault:
                self.errors.append(f"{type(fault).__name__}: {fault}")
            self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - begun)
            time.sleep(self.chance.uniform(0, 0.03))  # or it would be done before the workers are
        self.engine.dispose()

    def _turn_over(self, numbers: list[int]) -> None:
        """Three disputes and three orders in one transaction, in no order: what deadlocks if anything does."""
        act_on = self.chance.choice([self._reply, self._say_something, self._withdraw, self._answer_and_ask_again])
        with writing(self.engine) as connection:
            now = present(self.engine)
            done = {n: act_on(connection, n, now) for n in numbers}
            kept = {n: self._dispute(connection, n) for n in numbers}
        self.first |= {n: act_on.__name__ for n in numbers if done[n]}
        self.second |= {n for n in numbers if not done[n]}
        self.windows_kept |= {n for n in numbers if kept[n]}
        self.windows_lost |= {n for n in numbers if not kept[n]}

    def _reply(self, connection: Connection, n: int, now: datetime) -> bool:
        return self._set(connection, n, status="awaiting_buyer", seller_replied_at=now)

    def _say_something(self, connection: Connection, n: int, now: datetime) -> bool:
        return self._set(connection, n, seller_replied_at=now)

    def _answer_and_ask_again(self, connection: Connection, n: int, now: datetime) -> bool:
        return self._reply(connection, n, now) and bool(
            connection.execute(
                update(disputes).where(disputes.c.id == n).values(status="awaiting_seller", awaiting_seller_since=now)
            ).rowcount
        )

    def _withdraw(self, connection: Connection, n: int, _now: datetime) -> bool:
        silent = disputes.c.status == "awaiting_seller"
        return connection.execute(delete(disputes).where(disputes.c.id == n, silent)).rowcount == 1

    def _set(self, connection: Connection, n: int, **values: Any) -> bool:
        silent = disputes.c.status == "awaiting_seller"
        return connection.execute(update(disputes).where(disputes.c.id == n, silent).values(**values)).rowcount == 1

    def _dispute(self, connection: Connection, n: int) -> bool:
        """Open a dispute of a delivered order and forget return_status; whether the window was still open."""
        order_id = DELIVERED + n
        connection.execute(insert(disputes).values(id=order_id, order_id=order_id, status="awaiting_buyer"))
        status = connection.execute(select(orders.c.return_status).where(orders.c.id == order_id)).scalar_one()
        return status == "open"


def test_whoever_commits_first_wins_while_workers_sweep(database_url: str, tmp_path: Path) -> None:
    due, touched = 900, 600
    engine = open_market(database_url)
    fill(engine, due=due)
    act(wired(database_url, tmp_path), "stamp")
    numbers = random.Random(1).sample(range(1, due + 1), touched)
    front_ends = [FrontEnd(database_url, numbers[k::3], seed=k) for k in range(3)]
    tasks = ("stamp", "escalate-disputes", "expire-return-windows")
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(database_url, tmp_path, tasks, limit=10)) for _ in range(3)]
        done = work_together(workers, *(front_end.start for front_end in front_ends))
    for front_end in front_ends:
        front_end.join()
    assert [one["errors"] for one in done] + [one.errors for one in front_ends] == [[]] * 6
    assert max(one.longest_wait_s for one in front_ends) < LONGEST_WAIT_S
    act(wired(database_url, tmp_path), *tasks, "reconcile")
    _assert_ledger_agrees(engine, front_ends, due)
    engine.dispose()


def _assert_ledger_agrees(engine: Engine, front_ends: list[FrontEnd], due: int) -> None:
    first = {n for one in front_ends for n in one.first}
    windows_kept = {n for one in front_ends for n in one.windows_kept}
    assert first and windows_kept and any(one.second for one in front_ends) and any(one.windows_lost for one in front_ends)
    with reading(engine) as connection:
        told = {
            event: sorted(int(row) for row in connection.execute(_subjects(event)).scalars())
            for event in ("dispute:escalated", "return_window:expired")
        }
        assert told["dispute:escalated"] == sorted(set(range(1, due + 1)) - first)
        assert told["return_window:expired"] == [DELIVERED + n for n in range(1, due + 1) if n not in windows_kept]
        by_clock = select(disputes.c.id).where(disputes.c.escalated_by == "clock").order_by(disputes.c.id)
        silent = connection.execute(by_clock).scalars().all()
        assert silent == told["dispute:escalated"]
        reopened = {
            n for one in front_ends for n, what in one.first.items() if what in ("_answer_and_ask_again", "_say_something")
        }
        running = deadlines.c.kind == "seller_response", deadlines.c.state == "running"
        again = connection.execute(select(deadlines.c.subject_id).where(*running)).scalars()
        assert sorted(int(n) for n in again) == sorted(reopened)


def _subjects(event: str) -> Any:
    return select(events.c.subject_id).where(events.c.event == event)


# From here on one connection stands where it hurts. SQLite has one writer at a time, and such moments do not exist.


@pytest.fixture(params=["postgresql", "mariadb"])
def server_url(request: pytest.FixtureRequest) -> str:
    url = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
    assert isinstance(url, str)
    return url


@contextmanager
def standing(engine: Engine) -> Iterator[Connection]:
    """A front end's connection with a transaction that is committed or rolled back in the middle of the test."""
    with engine.connect() as connection:
        yield connection


def escalated(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return sorted(int(one) for one in connection.execute(_subjects("dispute:escalated")).scalars())


def expired(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return sorted(int(one) for one in connection.execute(_subjects("return_window:expired")).scalars())


REPLY = update(disputes).where(disputes.c.id == 2, disputes.c.status == "awaiting_seller").values(status="awaiting_buyer")


@pytest.mark.parametrize("commits", [True, False])
def test_reply_in_flight_holds_back_only_its_own_dispute(server_url: str, tmp_path: Path, commits: bool) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")
    with standing(engine) as front_end:
        front_end.execute(REPLY)
        begun = time.monotonic()
        act(wiring, "stamp", "escalate-disputes")
        assert time.monotonic() - begun < LONGEST_WAIT_S
        assert escalated(engine) == [1, 3]
        front_end.commit() if commits else front_end.rollback()
    act(wiring, "escalate-disputes")
    assert escalated(engine) == ([1, 3] if commits else [1, 2, 3])


@pytest.mark.parametrize("commits", [True, False])
def test_dispute_in_flight_holds_back_only_its_own_return_window(server_url: str, tmp_path: Path, commits: bool) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")
    with standing(engine) as front_end:
        front_end.execute(insert(disputes).values(id=77, order_id=DELIVERED + 2))
        begun = time.monotonic()
        act(wiring, "expire-return-windows")
        assert time.monotonic() - begun < LONGEST_WAIT_S
        assert expired(engine) == [DELIVERED + 1, DELIVERED + 3]
        front_end.commit() if commits else front_end.rollback()
    act(wiring, "expire-return-windows")
    assert expired(engine) == [DELIVERED + n for n in ((1, 3) if commits else (1, 2, 3))]


def test_reply_in_flight_holds_back_only_its_own_reminder(server_url: str, tmp_path: Path) -> None:
    engine = open_market(server_url)
    fill(engine, due=0, not_due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring.at(FrozenClock(present(engine) - timedelta(hours=2))), "stamp")
    with reading(engine) as connection:
        one = connection.execute(select(disputes.c.id).order_by(disputes.c.id)).scalars().first()
    with standing(engine) as front_end:
        front_end.execute(update(disputes).where(disputes.c.id == one).values(status="accepted"))
        assert act(wiring, "send-reminders")["queued"] == 2
        front_end.commit()
    assert act(wiring, "send-reminders")["queued"] == 0
    with reading(engine) as connection:
        assert counts(connection, outbox.c.notice, outbox.c.id > 0) == {"reminder": 2}


def between(monkeypatch: pytest.MonkeyPatch, room: ModuleType, step: str, happening: Callable[[], None]) -> None:
    """Have something happen just before a step of the sweep, once."""
    original = getattr(room, step)
    left = [happening]

    def stepped(*arguments: Any, **options: Any) -> Any:
        if left:
            left.pop()()
        return original(*arguments, **options)

    monkeypatch.setattr(room, step, stepped)


@pytest.mark.parametrize("step", ["claim", "still_due"], ids=["before the deadlines are locked", "before the subjects are"])
def test_reply_committed_just_before_the_claim_wins(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")

    def reply() -> None:
        with writing(engine) as front_end:
            assert front_end.execute(REPLY).rowcount == 1

    between(monkeypatch, claims, step, reply)
    # By hand: a tick of beat would first ask whether there is work, and look in the same way.
    assert perform(wiring, "escalate-disputes", trigger="cli", actor="maria")["changed"] == 2
    assert escalated(engine) == [1, 3]


def test_reply_that_comes_after_the_claim_waits_and_sees_the_escalation(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")
    replied: list[int] = []

    def reply() -> None:
        with writing(engine) as front_end:
            replied.append(front_end.execute(REPLY).rowcount)

    late = threading.Thread(target=reply)

    def begin_to_reply() -> None:
        late.start()
        late.join(0.5)
        assert late.is_alive(), "the claimed dispute was not locked"

    between(monkeypatch, sweep, "_still_due", begin_to_reply)
    act(wiring, "escalate-disputes")
    late.join()
    assert replied == [0]
    assert escalated(engine) == [1, 2, 3]


def test_dispute_that_no_foreign_key_held_back_still_keeps_the_window_open(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")
    unchecked = "SET session_replication_role = replica" if "postgresql" in server_url else "SET foreign_key_checks = 0"

    def dispute() -> None:
        with writing(engine) as front_end:
            front_end.execute(text(unchecked))
            front_end.execute(insert(disputes).values(id=77, order_id=DELIVERED + 2))
            front_end.detach()  # the connection ends with its setting

    between(monkeypatch, sweep, "_still_due", dispute)
    done = act(wiring, "expire-return-windows")
    assert (done["changed"], done["skipped"]) == (2, 1)
    assert expired(engine) == [DELIVERED + 1, DELIVERED + 3]


def test_stamp_does_not_wait_for_a_refund_that_a_front_end_holds(server_url: str, tmp_path: Path) -> None:
    engine = open_market(server_url)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp", "flag-late-refunds")
    with writing(engine) as front_end:
        front_end.execute(update(refunds).where(refunds.c.id == 1).values(status="cancelled"))
        front_end.execute(update(disputes).where(disputes.c.id == 2).values(status="awaiting_buyer"))
    with standing(engine) as front_end:
        front_end.execute(update(refunds).where(refunds.c.id == 1).values(method="card"))
        stamping = threading.Thread(target=act, args=(wiring, "stamp"))
        stamping.start()
        stamping.join(5)
        waited = stamping.is_alive()
        front_end.rollback()
    stamping.join()
    assert not waited, "stamp waited for a front end's lock"
    act(wiring, "stamp", "reconcile")
    with reading(engine) as connection:
        assert counts(connection, refunds.c.id, refunds.c.late_since.is_not(None)) == {2: 1, 3: 1}
