"""The sample market: seeded once, and interesting to watch from the first second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from returnclock import schema
from returnclock.clock import FrozenClock
from returnclock.database import reading
from returnclock.runs import perform
from returnclock.sample import seed
from returnclock.settings import load
from returnclock.tables.clock import events, problems
from returnclock.tables.market import (
    DISPUTE_KINDS,
    DISPUTE_STATUSES,
    MARKET_TABLES,
    REFUND_STATUSES,
    disputes,
    orders,
    refunds,
)
from returnclock.wiring import Wiring, wire

SWEEPS = ("escalate-disputes", "expire-return-windows", "flag-late-refunds")


@pytest.fixture
def wiring(database_url: str, tmp_path: Path) -> Iterator[Wiring]:
    made = wire(load({"DATABASE_URL": database_url}, tmp_path))
    schema.upgrade(made.engine)
    yield made
    made.engine.dispose()


def rows_in(wiring: Wiring, name: str) -> int:
    with reading(wiring.engine) as connection:
        return int(connection.execute(select(func.count()).select_from(MARKET_TABLES[name])).scalar_one())


def happened(wiring: Wiring) -> Counter[str]:
    with reading(wiring.engine) as connection:
        return Counter(connection.execute(select(events.c.event)).scalars())


def in_seconds(wiring: Wiring, seconds: float) -> Wiring:
    with reading(wiring.engine) as connection:
        return wiring.at(FrozenClock(wiring.clock.now(connection) + timedelta(seconds=seconds)))


def run(wiring: Wiring, *tasks: str) -> None:
    for task in tasks:
        perform(wiring, task, trigger="beat", actor="beat")


def test_an_empty_market_is_filled_with_every_kind_and_status(wiring: Wiring) -> None:
    written = seed(wiring)

    assert written == {name: rows_in(wiring, name) for name in MARKET_TABLES}
    assert 290 <= written["orders"] <= 320
    with reading(wiring.engine) as connection:
        cases = {tuple(row) for row in connection.execute(select(disputes.c.kind, disputes.c.status))}
        stages = set(connection.execute(select(refunds.c.status)).scalars())
    assert cases == {(kind, status) for kind in DISPUTE_KINDS for status in DISPUTE_STATUSES}
    assert stages == set(REFUND_STATUSES)


def test_a_market_with_orders_is_left_as_it_is(wiring: Wiring) -> None:
    with wiring.engine.begin() as connection:
        connection.execute(orders.insert().values(id=7))

    assert seed(wiring) == {"orders_already_there": 1}
    assert {name: rows_in(wiring, name) for name in MARKET_TABLES} == {**dict.fromkeys(MARKET_TABLES, 0), "orders": 1}


def test_a_front_end_can_insert_after_the_sample(wiring: Wiring) -> None:
    before = seed(wiring)["orders"]
    with wiring.engine.begin() as connection:
        connection.execute(orders.insert().values(buyer_id=1, seller_id=1))
    assert rows_in(wiring, "orders") == before + 1


def test_all_four_promises_are_seen_within_seconds(wiring: Wiring) -> None:
    seed(wiring)
    run(wiring, "stamp", *SWEEPS)
    at_once = happened(wiring)
    run(in_seconds(wiring, 15), *SWEEPS, "send-reminders")
    soon = happened(wiring)
    run(in_seconds(wiring, 60), *SWEEPS, "send-reminders")
    in_a_minute = happened(wiring)

    assert at_once["dispute:escalated"] >= 5
    assert at_once["return_window:expired"] >= 5
    assert at_once["refund:late"] >= 4
    assert at_once["dispute:escalated"] < soon["dispute:escalated"] < in_a_minute["dispute:escalated"]
    assert 0 < soon["reminder:queued"] < in_a_minute["reminder:queued"]


def test_the_rows_that_are_wrong_on_purpose_are_explained(wiring: Wiring) -> None:
    seed(wiring)
    run(wiring, "stamp", "reconcile")
    with reading(wiring.engine) as connection:
        found = Counter(connection.execute(select(problems.c.code)).scalars())
    wrong = {"unknown_time_zone", "bad_address", "future_date", "unknown_country", "overdue_start", "unknown_currency"}
    assert found == dict.fromkeys(wrong, 1)


def test_every_address_is_one_that_reaches_nobody(wiring: Wiring) -> None:
    seed(wiring)
    with reading(wiring.engine) as connection:
        for table in (MARKET_TABLES["sellers"], MARKET_TABLES["buyers"]):
            assert all(email.endswith(".example") for email in connection.execute(select(table.c.email)).scalars())
