"""A front end's long transaction delays its own rows and nobody else's, however small the tables are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from returnclock.tables.clock import changes
from returnclock.tables.interventions import vacations
from tests.database.desk import Operator
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


def test_an_operator_who_means_many_leaves_what_somebody_holds_and_does_it_when_asked_again(market: Market) -> None:
    if market.dialect == "sqlite":
        return
    operator = Operator(market)
    mine, *theirs = [market.dispute() for _ in range(4)]
    market.run("stamp")
    with market.front_end.connect() as front_end, front_end.begin():
        _lock(market, front_end, {"disputes": mine})

        assert {name: operator.fire(kind="seller_response")[name] for name in ("fired", "left")} == {"fired": 3, "left": 1}

    assert market.states("seller_response", mine) == ["running"]
    assert {name: operator.fire(kind="seller_response")[name] for name in ("fired", "left")} == {"fired": 1, "left": 0}
    assert [market.events("seller_response", one).count("dispute:escalated") for one in (mine, *theirs)] == [1] * 4


def test_a_vacation_moves_a_dispute_that_somebody_holds_with_the_next_sweep_and_the_others_once(market: Market) -> None:
    if market.dialect == "sqlite":
        return
    seller = market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="Europe/Lisbon")
    mine, other = (market.dispute(order_id=market.order(seller_id=seller)) for _ in range(2))
    market.run("stamp")
    market.insert("clock_vacations", seller_id=seller, first_day="2026-03-04", last_day="2026-03-05", announced_at=MONDAY)
    with market.front_end.connect() as front_end, front_end.begin():
        _lock(market, front_end, {"disputes": mine})
        market.run("escalate-disputes", at=MONDAY + DAY / 24)

        assert [market.deadline("seller_response", one).due_at - MONDAY for one in (mine, other)] == [5 * DAY, 7 * DAY]

    market.run("escalate-disputes", at=MONDAY + DAY / 12)
    for one in (mine, other):
        assert market.deadline("seller_response", one).due_at == MONDAY + 7 * DAY
        assert market.events("seller_response", one) == ["deadline:stamped", "deadline:postponed"]
    assert [row.applied_at for row in market.rows(vacations)] == [MONDAY + DAY / 12]
