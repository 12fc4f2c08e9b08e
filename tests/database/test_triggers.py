"""The triggers note what a front end changes, once, and nothing that did not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from returnclock.database import writing
from returnclock.tables.clock import changes
from returnclock.tables.market import MARKET_TABLES
from returnclock.unnoted import unnoted
from tests.database.market import DAY, MONDAY, Market


def noted(market: Market) -> list[tuple[str, str]]:
    """What was noted since the last look."""
    rows = market.rows(changes)
    market.sql("DELETE FROM clock_changes")
    return sorted((row.table_name, row.subject_id) for row in rows)


@pytest.fixture
def rows(market: Market) -> dict[str, int]:
    """One row in each table, every column filled, the notes cleared."""
    seller = market.insert("sellers", name="Ana", email="a@shop.example", country="DE", subdivision="BY")
    buyer = market.insert("buyers", name="Bea", email="b@home.example", country="DE", subdivision="BY")
    order = market.insert(
        "orders",
        **{"buyer_id": buyer, "seller_id": seller, "number": "A-1", "category": "food", "country": "DE"},
        **{"subdivision": "BY", "free_return": True, "ordered_at": MONDAY, "estimated_delivery_at": MONDAY},
        **{"delivered_at": MONDAY, "return_expired_at": MONDAY},
    )
    dispute = market.insert(
        "disputes",
        **{"order_id": order, "reason": "too small", "opened_at": MONDAY, "awaiting_seller_since": MONDAY},
        **{"seller_replied_at": MONDAY, "accepted_at": MONDAY, "return_shipped_at": MONDAY},
        **{"escalated_at": MONDAY, "escalated_by": "buyer"},
    )
    refund = market.insert(
        "refunds",
        **{"order_id": order, "dispute_id": dispute, "amount": 12.5, "currency": "EUR", "method": "card"},
        **{"started_at": MONDAY, "inspected_at": MONDAY, "processed_at": MONDAY, "completed_at": MONDAY},
        **{"late_since": MONDAY, "late_stage": "clearing"},
    )
    noted(market)
    return {"sellers": seller, "buyers": buyer, "orders": order, "disputes": dispute, "refunds": refund}


def test_every_insert_is_noted_once(market: Market) -> None:
    order = market.order()
    (seller,), (buyer,) = (market.rows(MARKET_TABLES[name]) for name in ("sellers", "buyers"))
    assert noted(market) == [("buyers", str(buyer.id)), ("orders", str(order)), ("sellers", str(seller.id))]

    dispute = market.dispute(order_id=order)
    assert noted(market) == [("disputes", str(dispute))]


WATCHED = {
    "sellers": {"name": "An", "email": "x@y.example", "locale": "de", "time_zone": "Asia/Tokyo", "country": "FR"},
    "buyers": {"name": "Be", "email": "x@y.example", "locale": "de", "time_zone": "Asia/Tokyo", "subdivision": "BW"},
    "orders": {"number": "2", "category": "toys", "country": "FR", "delivered_at": None, "return_status": "requested"},
    "disputes": {
        **{"kind": "refund_only", "status": "closed", "opened_at": None, "awaiting_seller_since": None},
        **{"seller_replied_at": None, "accepted_at": None, "return_shipped_at": MONDAY + DAY},
    },
    "refunds": {
        **{"amount": 3, "currency": "USD", "status": "completed", "started_at": None, "inspected_at": None},
        **{"processed_at": None, "completed_at": None},
    },
}


@pytest.mark.parametrize("table", WATCHED)
def test_an_update_of_each_column_that_matters_is_noted(market: Market, rows: dict[str, int], table: str) -> None:
    for column, value in WATCHED[table].items():
        market.update(table, rows[table], **{column: value})
        assert noted(market) == [(table, str(rows[table]))], column


def test_an_equal_rewrite_of_every_column_notes_nothing(market: Market, rows: dict[str, int]) -> None:
    for name, table in MARKET_TABLES.items():
        assignments = ", ".join(f"{column.name} = {column.name}" for column in table.columns)
        market.sql(f"UPDATE {name} SET {assignments} WHERE id = :id", id=rows[name])

    assert noted(market) == []


def test_what_returnclock_itself_writes_into_other_columns_notes_nothing(market: Market, rows: dict[str, int]) -> None:
    market.update("orders", rows["orders"], return_expired_at=None)
    market.update("refunds", rows["refunds"], late_since=None, late_stage=None)
    market.update("disputes", rows["disputes"], escalated_at=None, escalated_by=None)

    assert noted(market) == []


def test_a_dispute_settles_the_return_window_of_its_order_and_one_that_goes_lets_it_run_again(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp")
    assert market.states("return_window", order) == ["running"]
    dispute = market.dispute(order_id=order)
    market.run("stamp")
    assert market.states("return_window", order) == ["met"]
    market.delete("disputes", dispute)
    market.run("stamp")
    assert market.states("return_window", order) == ["running"]
    other = market.order(delivered_at=MONDAY)
    dispute = market.dispute(order_id=order)
    market.run("stamp")
    market.update("disputes", dispute, order_id=other)
    market.run("stamp")
    assert (market.states("return_window", order), market.states("return_window", other)) == (["running"], ["met"])


def test_what_is_changed_unnoted_is_noted_again_afterwards_even_when_it_failed(market: Market, rows: dict[str, int]) -> None:
    change = text("UPDATE disputes SET status = 'closed'")
    with writing(market.engine) as connection, unnoted(connection):
        connection.execute(change)
    assert bool(noted(market)) == (market.dialect == "sqlite")
    with suppress(DBAPIError), writing(market.engine) as connection, unnoted(connection):
        connection.execute(text("UPDATE disputes SET status = 'nonsense'"))
    with writing(market.engine) as connection:
        connection.execute(text("UPDATE disputes SET status = 'refused'"))
    assert noted(market) == [("disputes", str(rows["disputes"]))]


def test_every_delete_is_noted_and_a_dispute_also_notes_its_order(market: Market, rows: dict[str, int]) -> None:
    for table in ("refunds", "disputes", "orders", "sellers", "buyers"):
        market.delete(table, rows[table])
        order = [("orders", str(rows["orders"]))] if table == "disputes" else []
        assert noted(market) == sorted([(table, str(rows[table])), *order])


def test_a_dispute_that_changes_its_order_notes_the_one_that_it_leaves(market: Market, rows: dict[str, int]) -> None:
    other = market.order()
    noted(market)
    market.update("disputes", rows["disputes"], order_id=other)
    assert noted(market) == [("disputes", str(rows["disputes"])), ("orders", str(rows["orders"]))]

    market.update("disputes", rows["disputes"], order_id=None)
    assert ("orders", str(other)) in noted(market)


def test_a_bulk_update_notes_each_row_once(market: Market) -> None:
    order = market.order()
    for _ in range(20):
        market.dispute(order_id=order)
    noted(market)
    market.sql("UPDATE disputes SET status = 'closed'")

    found = noted(market)
    assert len(found) == len(set(found)) == 20


def test_a_changed_id_notes_the_old_and_the_new_row(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    market.update("disputes", dispute, id=777_777)

    found = noted(market)
    assert {("disputes", str(dispute)), ("disputes", "777777")} <= set(found)
    market.run("reconcile")
    assert (market.states("seller_response", dispute), market.states("seller_response", 777_777)) == (["void"], ["running"])


def test_an_upsert_is_noted_like_an_update(market: Market, rows: dict[str, int]) -> None:
    merge = {
        "mariadb": "ON DUPLICATE KEY UPDATE status = 'closed'",
        "postgresql": "ON CONFLICT (id) DO UPDATE SET status = 'closed'",
        "sqlite": "ON CONFLICT (id) DO UPDATE SET status = 'closed'",
    }[market.dialect]
    values = {"id": rows["disputes"], "order_id": rows["orders"]}
    market.sql(f"INSERT INTO disputes (id, order_id) VALUES (:id, :order_id) {merge}", **values)

    assert noted(market) == [("disputes", str(rows["disputes"]))]


def test_a_change_that_is_rolled_back_is_not_noted(market: Market, rows: dict[str, int]) -> None:
    class Unwanted(Exception):
        pass

    with pytest.raises(Unwanted), market.transaction() as connection:
        connection.execute(text("UPDATE disputes SET status = 'closed'"))
        raise Unwanted

    assert noted(market) == []


def test_postgresql_notes_a_statement_at_a_time(postgres_market: Market) -> None:
    market = postgres_market
    with market.transaction() as connection:
        kinds = connection.execute(text("SELECT tgname, tgtype & 1 FROM pg_trigger WHERE tgname LIKE 'clock_%'")).all()
    assert len(kinds) == 15
    assert {by_row for _, by_row in kinds} == {0}


@pytest.fixture
def shop_role(postgres_market: Market) -> Iterator[str]:
    """A front end's role, which has rights on the market's tables and none on returnclock's."""
    tables = ", ".join(MARKET_TABLES)
    postgres_market.sql("CREATE ROLE shop")
    postgres_market.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO shop")
    yield "shop"
    postgres_market.sql("DROP OWNED BY shop")
    postgres_market.sql("DROP ROLE shop")


def test_a_front_end_without_rights_on_our_tables_can_still_write(postgres_market: Market, shop_role: str) -> None:
    market = postgres_market
    market.order(id=50)
    noted(market)
    with market.transaction() as connection:
        connection.execute(text(f"SET ROLE {shop_role}"))
        connection.execute(text("INSERT INTO disputes (id, order_id) VALUES (81, 50)"))
        connection.execute(text("UPDATE disputes SET status = 'refused' WHERE id = 81"))
        connection.execute(text("DELETE FROM disputes WHERE id = 81"))
        allowed = connection.execute(text("SELECT has_table_privilege('clock_changes', 'INSERT')")).scalar_one()
    assert not allowed
    assert noted(market) == [("disputes", "81")] * 3 + [("orders", "50")]
