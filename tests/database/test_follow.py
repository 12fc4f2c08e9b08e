"""The ledger's feed: every row once, in the order of ids, also where transactions commit in another order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from returnclock import follow
from returnclock.follow import Follower
from returnclock.ledger import Hand, record
from returnclock.tables.clock import deadlines, events
from tests.database.market import MONDAY, Market


def told(rows: Sequence[Any]) -> list[str]:
    return [row.event for row in rows]


def write(connection: Connection, name: str) -> None:
    connection.execute(insert(events).values(event=name, at=MONDAY, actor="test"))


@contextmanager
def open_transaction(market: Market) -> Iterator[Connection]:
    with market.engine.connect() as connection, connection.begin():
        yield connection


def until_caught_up(follower: Follower, within: float = 10.0) -> list[str]:
    """Ask again and again, as the command does."""
    found, end = [], time.monotonic() + within
    while time.monotonic() < end:
        found += told(follower.news())
        if follower.caught_up:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not caught up; {found}")


@pytest.fixture(params=["postgresql", "mariadb"])
def server_market(request: pytest.FixtureRequest) -> Market:
    """A market on a server: only there do two transactions write at once."""
    market = request.getfixturevalue({"postgresql": "postgres_market", "mariadb": "mariadb_market"}[request.param])
    assert isinstance(market, Market)
    return market


def test_it_begins_with_what_comes_and_hands_out_every_row_once(market: Market) -> None:
    with open_transaction(market) as connection:
        write(connection, "test:before")
    follower = Follower(market.engine)
    assert told(follower.news()) == []
    with open_transaction(market) as connection:
        write(connection, "test:one")
        write(connection, "test:two")

    assert until_caught_up(follower) == ["test:one", "test:two"]
    assert told(follower.news()) == []


def test_it_goes_on_from_an_id(market: Market) -> None:
    with open_transaction(market) as connection:
        for name in ("test:one", "test:two", "test:three"):
            write(connection, name)
    first = market.rows(events)[0].id
    assert until_caught_up(Follower(market.engine, first)) == ["test:two", "test:three"]
    assert until_caught_up(Follower(market.engine, 0)) == ["test:one", "test:two", "test:three"]


def test_conditions_choose_and_pages_go_on(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "AT_ONCE", 2)
    with open_transaction(market) as connection:
        for number in range(7):
            write(connection, f"test:{'odd' if number % 2 else 'even'}")
    follower = Follower(market.engine, 0, conditions=[events.c.event == "test:even"])
    found: list[str] = []
    for _ in range(9):
        found += told(follower.news())
    assert found == ["test:even"] * 4


def test_a_row_with_a_lower_id_that_commits_later_is_not_missed(server_market: Market) -> None:
    follower = Follower(server_market.engine, 0)
    with open_transaction(server_market) as slow:
        write(slow, "test:lower")
        with open_transaction(server_market) as quick:
            write(quick, "test:higher")
        for _ in range(3):
            assert told(follower.news()) == []
    assert until_caught_up(follower) == ["test:lower", "test:higher"]


def test_a_row_that_is_rolled_back_is_not_waited_for(server_market: Market) -> None:
    follower = Follower(server_market.engine, 0)
    with server_market.engine.connect() as slow:
        write(slow, "test:lost")
        with open_transaction(server_market) as quick:
            write(quick, "test:higher")
        assert told(follower.news()) == []
        slow.rollback()
    assert until_caught_up(follower) == ["test:higher"]


def test_writers_that_come_later_are_not_waited_for(server_market: Market) -> None:
    """Otherwise a ledger into which somebody always writes would never be read."""
    follower = Follower(server_market.engine, 0)
    with open_transaction(server_market) as first:
        write(first, "test:one")
        with open_transaction(server_market) as second:
            write(second, "test:two")
        assert told(follower.news()) == []
    with open_transaction(server_market) as third:
        write(third, "test:three")
        assert told(follower.news()) == ["test:one", "test:two"]
    assert until_caught_up(follower) == ["test:three"]


def test_a_statement_that_has_its_ids_and_not_yet_its_rows_is_waited_for(mariadb_market: Market) -> None:
    """The process list shows it before any of its rows can be met."""
    with mariadb_market.engine.connect() as other:
        slow = "INSERT INTO clock_events (event, at, actor) SELECT 'test:slow', UTC_TIMESTAMP(6), sleep(1)"
        done: list[Any] = []

        def run() -> None:
            done.append(other.execute(text(slow)))
            other.commit()

        thread = threading.Thread(target=run)
        follower = Follower(mariadb_market.engine, 0)
        thread.start()
        time.sleep(0.3)
        with mariadb_market.engine.connect() as looking:
            assert len(Follower._writers(looking)) == 1
        thread.join()
        assert until_caught_up(follower) == ["test:slow"]


def test_many_writers_at_once_are_all_told_in_the_order_of_ids(market: Market) -> None:
    order = market.order()
    for _ in range(3):
        market.dispute(order_id=order)
    market.run("stamp")
    ids = [row.id for row in market.rows(deadlines)]
    begin = max(row.id for row in market.rows(events))
    follower = Follower(market.engine, begin)
    ended, seen = threading.Event(), []

    def write_some(number: int) -> None:
        for turn in range(8):
            with open_transaction(market) as connection:
                record(connection, Hand(f"writer{number}"), MONDAY, f"test:{number}", ids)
                time.sleep(0.002 * ((number + turn) % 3))

    def read() -> None:
        while True:
            last = ended.is_set()
            rows = follower.news()
            seen.extend(row.id for row in rows)
            if last and not rows and follower.caught_up:
                return
            time.sleep(0.001)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write_some, args=(number,)) for number in range(3)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join(30)

    assert seen == [row.id for row in market.rows(events) if row.id > begin]
    assert len(seen) == 3 * 8 * 3
