"""A front end's long transaction delays its own rows and nobody else's, however small the tables are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from returnclock.tables.clock import changes
from tests.database.market import DAY, MONDAY, Market

Hold = Callable[[Market, Connection, dict[str, int]], Any]
OTHERS = [1, 6]


def _update(table: str, **values: Any) -> Hold:
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    statement = f"UPDATE {table} SET {assignments} WHERE id = :row_id"

    def hold(market: Market, connection: Connection, rows: dict[str, int]) -> None:
        connection.execute(text(statement), market.in_its_form({"row_id": rows[table], **values}))

    return hold


def _insert(table: str, **values: Any) -> Hold:
    def hold(market: Market, connection: Connection, rows: dict[str, int]) -> None:
        market.insert_with(connection, table, {"id": 99_999, "order_id": rows["orders"], **values})

    return hold


def _lock(market: Market, connection: Connection, rows: dict[str, int]) -> None:
    connection.execute(text("SELECT * FROM disputes WHERE id = :id FOR UPDATE"), {"id": rows["disputes"]}).all()


HOLDS: dict[str, Hold] = {
    "answers a dispute": _update("disputes", status="awaiting_buyer", seller_replied_at=MONDAY + DAY),
    "opens a dispute": _insert("disputes", opened_at=MONDAY),
    "delivers an order": _update("orders", delivered_at=MONDAY + DAY),
    "completes a refund": _update("refunds", status="completed", completed_at=MONDAY + DAY),
    "locks a dispute": _lock,
}


def _rows(market: Market) -> dict[str, int]:
    order = market.order(delivered_at=MONDAY)
    return {"orders": order, "disputes": market.dispute(), "refunds": market.refund()}


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("what", HOLDS)
def test_a_long_transaction_of_the_front_end_delays_its_own_rows_alone(market: Market, what: str, others: int) -> None:
    if market.dialect == "sqlite":
        return  # one writer at a time: everybody waits for everybody
    mine = _rows(market)
    market.run("stamp")
    theirs = [_rows(market) for _ in range(others)]
    with market.front_end.connect() as front_end, front_end.begin():
        HOLDS[what](market, front_end, mine)
        market.run("stamp")
        market.run("send-reminders", at=MONDAY + 3 * DAY)
        market.run("deliver-mail")
        market.sweep_all(at=MONDAY + 60 * DAY)
        market.run("deliver-mail")
        market.run("reconcile")
        market.run("stamp")
        market.run("purge", at=MONDAY + 900 * DAY)

        assert {market.row("disputes", rows["disputes"]).status for rows in theirs} == {"escalated"}
        assert {market.row("orders", rows["orders"]).return_status for rows in theirs} == {"expired"}
        assert market.count(changes) == 0
