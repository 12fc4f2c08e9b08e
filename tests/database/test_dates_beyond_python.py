"""Dates that a database knows and Python does not: of one row, they stop no other, and something says what is wrong."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import event, text

from returnclock.errors import StillHeld
from returnclock.ops import hold as room
from returnclock.ops.vacation import announce
from returnclock.preview import preview
from returnclock.restamp import Plan, restamp
from returnclock.tables.clock import problems
from returnclock.tables.interventions import vacations
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

DUE = MONDAY + 5 * DAY
BEYOND = ["infinity", "-infinity", "12026-11-27 17:40:00+00", "0044-03-15 00:00:00+00 BC"]


@pytest.fixture
def operator(market: Market) -> Operator:
    return Operator(market)


@pytest.fixture
def postgres_operator(postgres_market: Market) -> Operator:
    return Operator(postgres_market)


def write_raw(market: Market, table: str, row_id: int, column: str, value: str) -> None:
    """As a front end writes it: the database reads the text."""
    market.sql(f"UPDATE {table} SET {column} = '{value}' WHERE id = {row_id}")


def codes(market: Market) -> dict[tuple[str, str], str]:
    return {(row.table_name, row.subject_id): row.code for row in market.rows(problems) if row.resolved_at is None}


# --- PostgreSQL's infinity and far years -----------------------------------------------------------------------------


@pytest.mark.parametrize("beyond", BEYOND)
def test_a_date_beyond_python_is_a_problem_of_its_row_alone(postgres_market: Market, beyond: str) -> None:
    market = postgres_market
    odd, sound = market.dispute(), market.dispute()
    write_raw(market, "disputes", odd, "opened_at", beyond)
    market.run("stamp")

    assert codes(market)["disputes", str(odd)] == "unreadable_date"
    assert market.states("seller_response", sound) == ["running"]
    assert market.sweep_all(at=DUE) == 1
    market.update("disputes", odd, opened_at=MONDAY)
    market.run("stamp")
    assert codes(market) == {}
    assert market.sweep_all(at=DUE + DAY) == 1


def test_a_thousand_such_rows_are_stamped_in_a_few_transactions(postgres_market: Market) -> None:
    market = postgres_market
    order = market.order()
    market.sql(
        "INSERT INTO orders (id, buyer_id, seller_id, delivered_at) "
        "SELECT 100000 + n, buyer_id, seller_id, 'infinity' FROM orders, generate_series(1, 1000) n WHERE id = :order",
        order=order,
    )
    begun = []

    def count(connection: Any) -> None:
        begun.append(connection)

    event.listen(market.engine, "begin", count)
    market.run("stamp")
    event.remove(market.engine, "begin", count)

    assert set(codes(market).values()) == {"unreadable_date"}
    assert len(codes(market)) == 1000
    assert len(begun) < 20


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("ended", ["by itself", "by hand"])
def test_a_held_row_with_such_a_date_keeps_no_other_held(postgres_operator: Operator, beyond: str, ended: str) -> None:
    market = postgres_operator.market
    odd, sound, free = (market.dispute(order_id=market.order(country=country)) for country in ("DE", "DE", "FR"))
    market.run("stamp", at=MONDAY)
    hold = postgres_operator.hold(at=MONDAY + HOUR, ends=MONDAY + DAY if ended == "by itself" else None, country="DE")["hold"]
    write_raw(market, "disputes", odd, "seller_replied_at", beyond)
    if ended == "by hand":
        postgres_operator.resume_hold(hold, at=MONDAY + DAY)
    market.sweep_all(at=MONDAY + DAY)

    assert market.states("seller_response", sound) == ["running"]
    assert market.deadline("seller_response", sound).promised_at == DUE + DAY
    market.sweep_all(at=DUE + DAY)
    assert [market.states("seller_response", one) for one in (sound, free)] == [["fired"], ["fired"]]
    market.run("reconcile")


@pytest.mark.parametrize("beyond", BEYOND)
def test_what_other_rules_would_do_is_told_and_done_beside_such_a_row(postgres_market: Market, beyond: str) -> None:
    market = postgres_market
    odd, running, sound = market.dispute(), market.dispute(), market.dispute()
    write_raw(market, "disputes", odd, "opened_at", beyond)
    market.run("stamp", at=MONDAY)
    write_raw(market, "disputes", running, "opened_at", beyond)
    market.configure('[policy.seller_response]\nperiod = "6 days"\n')
    book = market.wiring.rulebook

    told = preview(market.engine, market.clock, book).as_json()
    plan = Plan(market.engine, market.clock, book, Operator(market).desk().hand, "terms", "skip")
    assert (told["moves"], restamp(plan, book.kinds).total()) == (1, 1)
    assert market.deadline("seller_response", sound).promised_at == DUE + DAY
    (story,) = market.explain("disputes", odd).as_json()["stories"] or [{}]
    assert story == {} or story["kind"] == "seller_response"


def test_what_fired_is_undone_beside_such_a_row(postgres_operator: Operator) -> None:
    market = postgres_operator.market
    odd, sound = (market.dispute(order_id=market.order(country="DE")) for _ in range(2))
    market.run("stamp", at=MONDAY)
    assert market.sweep_all(at=DUE) == 2
    write_raw(market, "disputes", odd, "opened_at", "infinity")
    market.run("stamp")

    postgres_operator.undo(at=DUE + HOUR, country="DE")
    assert market.states("seller_response", sound) == ["running"]


def test_a_column_that_firing_writes_may_have_held_such_a_date_before(postgres_market: Market) -> None:
    market = postgres_market
    odd, sound = market.dispute(), market.dispute()
    write_raw(market, "disputes", odd, "escalated_at", "infinity")
    market.run("stamp")
    market.sweep_all(at=DUE)

    assert [market.states("seller_response", one) for one in (odd, sound)] == [["fired"], ["fired"]]


def test_a_database_that_writes_dates_in_another_style_is_read_all_the_same(postgres_market: Market) -> None:
    market = postgres_market
    with market.engine.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
    market.sql(f"ALTER DATABASE \"{name}\" SET datestyle = 'German'")
    market.engine.dispose()
    market.front_end.dispose()
    try:
        dispute = market.dispute()
        market.run("stamp")
        assert market.sweep_all(at=DUE) == 1
        assert market.deadline("seller_response", dispute).fired_at == DUE
    finally:
        market.sql(f'ALTER DATABASE "{name}" RESET datestyle')
        market.engine.dispose()


# --- Vacations -------------------------------------------------------------------------------------------------------

NO_DAY = {"postgresql": "infinity", "mariadb": "0000-00-00", "mysql": "0000-00-00", "sqlite": "until further notice"}


def insert_bad_vacation(market: Market, seller: int) -> int:
    market.insert("clock_vacations", seller_id=seller, first_day=date(2026, 3, 4), last_day=date(2026, 3, 4))
    (row,) = market.rows(vacations)
    with market.transaction() as connection:
        if market.dialect in ("mysql", "mariadb"):
            connection.execute(text("SET SESSION sql_mode = ''"))
        bad = {"last": NO_DAY[market.dialect], "id": row.id}
        connection.execute(text("UPDATE clock_vacations SET last_day = :last WHERE id = :id"), bad)
        if market.dialect in ("mysql", "mariadb"):
            connection.execute(text("SET SESSION sql_mode = DEFAULT"))
    return int(row.id)


def test_a_vacation_whose_days_are_none_stops_no_other_and_is_a_problem_until_it_is_mended(market: Market) -> None:
    closed, other = (market.insert("sellers", email=f"{name}@shop.example", time_zone="UTC") for name in ("ana", "bob"))
    of_closed, of_other = (market.dispute(order_id=market.order(seller_id=one)) for one in (closed, other))
    market.run("stamp", at=MONDAY)
    bad = insert_bad_vacation(market, closed)
    market.insert("clock_vacations", seller_id=other, first_day=date(2026, 3, 4), last_day=date(2026, 3, 5))
    late = market.dispute(order_id=market.order(seller_id=closed), opened_at=MONDAY)
    market.sql("UPDATE clock_vacations SET announced_at = :now", now=MONDAY)
    market.run("stamp")
    market.run("escalate-disputes", at=MONDAY + HOUR)

    assert market.deadline("seller_response", of_other).promised_at == DUE + 2 * DAY
    assert market.deadline("seller_response", of_closed).promised_at == DUE
    assert market.states("seller_response", late) == ["running"]
    assert codes(market) == {("clock_vacations", str(bad)): "bad_vacation"}
    market.run("reconcile")
    assert codes(market) == {("clock_vacations", str(bad)): "bad_vacation"}

    market.sql("UPDATE clock_vacations SET last_day = '2026-03-04' WHERE id = :id", id=bad)
    market.run("escalate-disputes", at=MONDAY + 2 * HOUR)
    assert codes(market) == {}
    assert market.deadline("seller_response", of_closed).promised_at == DUE + DAY


def test_a_seller_with_a_bad_vacation_may_announce_a_sound_one(market: Market, operator: Operator) -> None:
    seller = market.insert("sellers", email="ana@shop.example", time_zone="UTC")
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    insert_bad_vacation(market, seller)

    assert announce(operator.desk(), seller, date(2026, 3, 3), date(2026, 3, 3))["moved"] == 1
    assert market.deadline("seller_response", dispute).promised_at == DUE + DAY


# --- One that breaks -------------------------------------------------------------------------------------------------


def test_a_held_deadline_that_cannot_run_again_keeps_no_other_held(
    market: Market, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    disputes = [market.dispute(order_id=market.order(country="DE")) for _ in range(7)]
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY + HOUR, ends=MONDAY + DAY, country="DE")
    bad, release = market.deadline("seller_response", disputes[3]).id, room.release

    def breaking(connection: Any, book: Any, hand: Any, now: Any, kind: Any, until: Any, reason: str) -> int:
        if bad in until:
            raise ZeroDivisionError("a mistake of ours")
        return release(connection, book, hand, now, kind, until, reason)

    with monkeypatch.context() as broken:
        broken.setattr(room, "release", breaking)
        with pytest.raises(StillHeld, match=f"Deadline {bad} .*a mistake of ours"):
            market.run("escalate-disputes", at=MONDAY + DAY)
    states = [market.states("seller_response", one) for one in disputes]
    assert states == [["running"]] * 3 + [["held"]] + [["running"]] * 3

    market.run("escalate-disputes", at=MONDAY + DAY + HOUR)
    assert market.states("seller_response", disputes[3]) == ["running"]
    assert {market.deadline("seller_response", one).promised_at for one in disputes} == {DUE + DAY}
