"""What front ends do out of habit: sessions in any zone, transactions held open, imports in bulk, whole rows saved again.

Each connection here is a bare driver's. What docs/front-end.md says of these habits is shown here, or in the tests of the
kinds where they concern one kind alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from psycopg.errors import SerializationFailure

from returnclock.clock import DatabaseClock
from returnclock.tables.clock import changes, deadlines, events
from tests.database.market import DAY, HOUR, MONDAY, Market
from tests.front_ends.plain_clients import Connection, connect, execute

IMPORTED = int(os.environ.get("IMPORTED_ROWS", "3000"))  # 100000 is what a shop brings along


@contextmanager
def client(market: Market, *settings: str) -> Iterator[Connection]:
    """A front end's connection, with what it sets at its start."""
    with closing(connect(market.url)) as connection:
        for setting in settings:
            execute(connection, setting)
        yield connection


SESSIONS = {
    "postgresql": ("SET TIME ZONE 'Asia/Kolkata'", "SET TIME ZONE 'America/St_Johns'"),
    "mariadb": ("SET time_zone = '+05:30'", "SET time_zone = '-03:30'"),
    "sqlite": ("PRAGMA busy_timeout = 5000",),
}


def test_a_column_left_to_its_default_is_the_same_instant_in_every_session(market: Market) -> None:
    order = market.order()
    for number, setting in enumerate(SESSIONS[market.dialect], 1):
        with client(market, setting) as connection:
            execute(connection, f"INSERT INTO disputes (id, order_id) VALUES ({number}, {order})")
    with market.transaction() as connection:
        present = DatabaseClock().now(connection)
    for row in (market.row("disputes", number) for number, _ in enumerate(SESSIONS[market.dialect], 1)):
        assert timedelta(0) <= present - row.opened_at < timedelta(minutes=1)


def test_postgresql_takes_a_naive_time_in_the_zone_of_its_session(postgres_market: Market) -> None:
    market, order = postgres_market, postgres_market.order()
    for number, zone in enumerate(("Asia/Kolkata", "America/St_Johns"), 1):
        with client(market, f"SET TIME ZONE '{zone}'") as connection:
            insert = f"INSERT INTO disputes (id, order_id, opened_at) VALUES ({number}, {order}, "
            execute(connection, insert + "'2026-03-02 10:00:00')")
            execute(connection, insert.replace(f"({number},", f"({number + 10},") + "'2026-03-02 10:00:00+00:00')")

    assert market.row("disputes", 1).opened_at == MONDAY - timedelta(hours=5, minutes=30)
    assert market.row("disputes", 2).opened_at == MONDAY + timedelta(hours=3, minutes=30)
    assert {market.row("disputes", number).opened_at for number in (11, 12)} == {MONDAY}


def test_mariadb_takes_a_naive_time_as_utc_whatever_the_session(mariadb_market: Market) -> None:
    market, order = mariadb_market, mariadb_market.order()
    insert = f"INSERT INTO disputes (id, order_id, opened_at) VALUES (1, {order}, '2026-03-02 10:00:00')"
    with client(market, "SET time_zone = '+05:30'") as connection:
        execute(connection, insert)

    assert market.row("disputes", 1).opened_at == MONDAY


@pytest.mark.parametrize("server", ["postgres_market", "mariadb_market"])  # SQLite has one writer at a time
def test_a_transaction_held_open_over_ticks_is_stamped_when_it_commits(request: pytest.FixtureRequest, server: str) -> None:
    """Its change was noted before others that are stamped meanwhile: nothing may count on the order of the notes."""
    market: Market = request.getfixturevalue(server)
    order, other = market.order(), market.order()
    market.run("stamp", at=MONDAY + HOUR)
    with client(market) as held, client(market) as quick:
        execute(held, "BEGIN")
        execute(held, f"INSERT INTO disputes (id, order_id, opened_at) VALUES (1, {order}, '2026-03-02 10:00:00')")
        execute(quick, f"INSERT INTO disputes (id, order_id, opened_at) VALUES (2, {other}, '2026-03-02 10:00:00')")
        for task in ("stamp", "reconcile", "stamp"):
            market.run(task)
        assert [market.states("seller_response", number) for number in (1, 2)] == [[], ["running"]]
        execute(held, "COMMIT")
    market.run("stamp")

    assert market.states("seller_response", 1) == ["running"]
    assert market.events("seller_response", 1) == ["deadline:stamped"]


def test_an_import_in_bulk_gives_each_row_one_deadline(market: Market) -> None:
    order = market.order()
    market.run("stamp", at=MONDAY + HOUR)
    values = [f"({number}, {order}, '2026-03-02 10:00:00')" for number in range(1, IMPORTED + 1)]
    with client(market) as connection:
        execute(connection, "BEGIN")
        for begin in range(0, IMPORTED, 2000):
            chunk = ", ".join(values[begin : begin + 2000])
            execute(connection, f"INSERT INTO disputes (id, order_id, opened_at) VALUES {chunk}")
        execute(connection, "COMMIT")
    result = market.run("stamp")

    assert result["by_kind"]["seller_response"]["changed"] == IMPORTED
    assert (market.count(deadlines), market.count(events), market.count(changes)) == (IMPORTED, IMPORTED, 0)
    for task in ("stamp", "reconcile"):
        assert market.run(task)["changed"] == 0


def whole_case(market: Market) -> dict[str, int]:
    order = market.order(
        number="A-1", category="food", country="DE", free_return=True, delivered_at="2026-03-01 09:00:00.123456"
    )
    dispute = market.dispute(order_id=order, opened_at="2026-03-02 10:00:00.654321", reason="It's “too small”")
    refund = market.refund(order_id=order, started_at="2026-03-02 09:30:00", amount=12.5, currency="EUR")
    return {"orders": order, "disputes": dispute, "refunds": refund}


def save_again(connection: Connection, table: str, row_id: int, **changed: Any) -> None:
    """What many an ORM does at each save: every column of the row, as it was read."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {table} WHERE id = {row_id}")
        names = [column[0] for column in cursor.description]
        row = {**dict(zip(names, cursor.fetchone(), strict=True)), **changed}
        mark = "?" if type(connection).__module__.startswith("sqlite3") else "%s"
        assignments = ", ".join(f"{name} = {mark}" for name in names)
        cursor.execute(f"UPDATE {table} SET {assignments} WHERE id = {row_id}", tuple(row.values()))


def test_a_row_saved_again_with_every_value_that_was_read_starts_no_new_clock(market: Market) -> None:
    rows = whole_case(market)
    market.run("stamp", at=MONDAY + HOUR)
    before = (market.rows(deadlines), market.count(events))
    with client(market, SESSIONS[market.dialect][0]) as connection:
        for table, row_id in rows.items():
            save_again(connection, table, row_id)
    assert market.count(changes) == 0
    market.run("stamp")
    market.run("reconcile")

    assert (market.rows(deadlines), market.count(events)) == before


def test_the_same_instant_in_another_form_starts_no_new_clock(sqlite_market: Market) -> None:
    market = sqlite_market
    rows = whole_case(market)
    market.run("stamp", at=MONDAY + HOUR)
    before = market.rows(deadlines)
    with client(market) as connection:
        save_again(connection, "disputes", rows["disputes"], opened_at="2026-03-02T11:00:00.654321+01:00")
        save_again(connection, "refunds", rows["refunds"], started_at="2026-03-02T09:30:00.000Z")
    market.run("stamp")

    assert market.rows(deadlines) == before


def test_a_window_that_a_front_end_expires_itself_is_void_and_told_to_nobody(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)
    market.update("orders", order, return_status="expired")
    market.run("stamp")

    assert market.states("return_window", order) == ["void"]
    assert market.sweep_all(at=MONDAY + 30 * DAY) == 0
    assert market.notices() == []


def test_a_flag_that_a_front_end_clears_stays_cleared(market: Market) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY + HOUR)
    market.sweep_all(at=MONDAY + 30 * DAY)
    market.update("refunds", refund, late_since=None)
    for task in ("stamp", "reconcile", "flag-late-refunds"):
        market.run(task)

    assert market.row("refunds", refund).late_since is None
    assert market.events("refund_completion", refund).count("refund:late") == 1


def test_a_row_that_gets_the_id_of_a_deleted_one_has_a_clock_of_its_own(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY + HOUR)
    market.delete("disputes", dispute)
    market.insert("disputes", id=dispute, order_id=market.order(), opened_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY + HOUR)

    assert market.states("seller_response", dispute) == ["void", "running"]
    assert market.sweep_all(at=MONDAY + 5 * DAY) == 0


def test_a_table_that_is_emptied_behind_the_triggers_is_found_by_reconcile(market: Market) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY + HOUR)
    emptied = {"postgresql": "TRUNCATE refunds", "mariadb": "TRUNCATE refunds"}.get(market.dialect)
    if emptied is None:
        market.sql("DELETE FROM refunds")
        market.sql("DELETE FROM clock_changes")
    else:
        market.sql(emptied)
    assert market.count(changes) == 0
    market.run("reconcile")

    assert market.states("refund_completion", refund) == ["void"]


@pytest.mark.parametrize(
    ("server", "begin"),
    [
        ("postgres_market", "BEGIN ISOLATION LEVEL READ COMMITTED"),
        ("postgres_market", "BEGIN ISOLATION LEVEL REPEATABLE READ"),
        ("mariadb_market", "START TRANSACTION"),
    ],
)  # in SQLite a transaction that has read what was changed since may not write
def test_an_update_that_names_the_status_it_leaves_is_never_deceived_by_an_old_snapshot(
    request: pytest.FixtureRequest, server: str, begin: str
) -> None:
    """What was read at its beginning says ``open``; the window expires; the update must not believe it."""
    market: Market = request.getfixturevalue(server)
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)
    with client(market) as connection:
        execute(connection, begin)
        status = f"SELECT return_status FROM orders WHERE id = {order}"
        assert execute(connection, status)[1][0][0] == "open"
        market.run("expire-return-windows", at=MONDAY + 17 * DAY)
        update = f"UPDATE orders SET return_status = 'requested' WHERE id = {order} AND return_status = 'open'"
        with suppress(SerializationFailure):  # PostgreSQL says so rather than change the row
            assert execute(connection, update)[0] == 0
        execute(connection, "ROLLBACK")

    assert market.row("orders", order).return_status == "expired"
