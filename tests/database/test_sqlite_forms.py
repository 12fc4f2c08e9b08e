"""SQLite takes anything: dates in every ISO 8601 form are read, ours keep one form that sorts, and no junk stops a task."""

from __future__ import annotations

import re
import sqlite3

import pytest

from tests.database.market import DAY, HOUR, MONDAY, Market

ONE_FORM = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}Z")

READABLE = [
    "2026-03-02 10:00:00",
    "2026-03-02T10:00:00",
    "2026-03-02T10:00:00Z",
    "2026-03-02 10:00:00z",
    "2026-03-02t10:00:00z",
    "2026-03-02T10:00Z",
    "2026-03-02 10:00",
    "2026-03-02T12:00:00+02:00",
    "2026-03-02 15:30:00+0530",
    "2026-03-01T22:00:00-12",
    "20260302T100000Z",
    " 2026-03-02 10:00:00 ",
    *(f"2026-03-02 10:00:00.{'0' * digits}" for digits in range(1, 10)),
]
UNREADABLE = ["02.03.2026", "yesterday", "2026-13-45", "", "0000-00-00 00:00:00", "1772445600", "2026-02-30T10:00:00Z"]


@pytest.fixture
def market(sqlite_market: Market) -> Market:
    return sqlite_market


def raw(market: Market, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(market.url.removeprefix("sqlite:///")) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("form", READABLE)
def test_every_form_of_the_same_instant_makes_the_same_deadline(market: Market, form: str) -> None:
    dispute = market.dispute(opened_at=form)
    market.run("stamp", at=MONDAY + HOUR)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.starts_at, deadline.due_at) == (MONDAY, MONDAY + 5 * DAY)
    assert market.sweep_all(at=MONDAY + 5 * DAY) == 1


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [("1", 100_000), ("12", 120_000), ("123", 123_000), ("123456", 123_456), ("123456789", 123_456)],
)
def test_a_fraction_of_a_second_counts_to_the_microsecond(market: Market, fraction: str, microseconds: int) -> None:
    dispute = market.dispute(opened_at=f"2026-03-02T10:00:00.{fraction}Z")
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).starts_at == MONDAY.replace(microsecond=microseconds)


@pytest.mark.parametrize("form", UNREADABLE)
def test_an_unreadable_date_is_reported_and_nothing_fires(market: Market, form: str) -> None:
    dispute, neighbour = market.dispute(opened_at=form), market.dispute()
    market.run("stamp", at=MONDAY + HOUR)

    problem = market.open_problems("disputes", dispute)["unreadable_date"]
    assert f'disputes.opened_at is "{form}", which is not a date' in problem
    assert market.sweep_all(at=MONDAY + 5 * DAY) == 1
    assert market.row("disputes", neighbour).status == "escalated"

    market.update("disputes", dispute, opened_at="2026-03-02T10:00:00Z")
    market.run("stamp")
    assert market.open_problems() == {}
    assert market.states("seller_response", dispute) == ["running"]


def test_an_unreadable_reply_is_not_mistaken_for_silence(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY + HOUR)
    market.update("disputes", dispute, seller_replied_at="Tuesday, about noon")
    market.run("stamp")

    assert market.sweep_all(at=MONDAY + 30 * DAY) == 0
    assert list(market.open_problems("disputes", dispute)) == ["unreadable_date"]


def test_of_two_dates_in_different_forms_the_later_instant_counts(market: Market) -> None:
    """As text the first would be the later one."""
    dispute = market.dispute(awaiting_seller_since="2026-03-02T23:00:00+14:00", seller_replied_at="2026-03-02 10:00:00")
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).starts_at == MONDAY


def test_what_returnclock_writes_has_one_form_that_sorts(market: Market) -> None:
    market.dispute(opened_at="2026-03-02T12:00:00+02:00")
    market.refund(started_at="2026-03-02T10:00Z", status="clearing", inspected_at=MONDAY)
    market.order(delivered_at="2026-03-02T10:00:00.5")
    market.run("stamp", at=MONDAY + HOUR)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.sweep_all(at=MONDAY + 20 * DAY)
    market.run("deliver-mail")

    columns = {
        "clock_deadlines": "starts_at promised_at due_at fired_at settled_at stamped_at",
        "clock_outbox": "queued_at sent_at",
        "clock_events": "at",
        "clock_runs": "started_at finished_at",
        "clock_policies": "created_at",
        "disputes": "escalated_at",
        "orders": "return_expired_at",
        "refunds": "late_since",
    }
    for table, names in columns.items():
        for name in names.split():
            values = [value for (value,) in raw(market, f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL")]
            assert values, f"{table}.{name}"
            assert all(ONE_FORM.fullmatch(str(value)) for value in values), (table, name, values)


def test_the_defaults_of_the_front_end_s_columns_have_that_form_too(market: Market) -> None:
    market.insert("disputes", order_id=market.order())
    ((opened_at,),) = raw(market, "SELECT opened_at FROM disputes")
    ((noted_at,), *_) = raw(market, "SELECT noted_at FROM clock_changes")

    assert ONE_FORM.fullmatch(str(opened_at))
    assert ONE_FORM.fullmatch(str(noted_at))


JUNK = {
    "name of bytes": "UPDATE sellers SET name = x'00FF41' WHERE id = {sellers}",
    "name that is no UTF-8": "UPDATE sellers SET name = CAST(x'41FF42' AS TEXT) WHERE id = {sellers}",
    "address of bytes": "UPDATE sellers SET email = x'00FF41' WHERE id = {sellers}",
    "zone of bytes": "UPDATE sellers SET time_zone = x'00FF41' WHERE id = {sellers}",
    "country as a number": "UPDATE orders SET country = 49 WHERE id = {orders}",
    "seller as a word": "UPDATE orders SET seller_id = 'Ana' WHERE id = {orders}",
    "reason that is no UTF-8": "UPDATE disputes SET reason = CAST(x'41FF42' AS TEXT) WHERE id = {disputes}",
    "free return as a word": "UPDATE orders SET free_return = 'perhaps' WHERE id = {orders}",
    "amount as a word": "UPDATE refunds SET amount = 'lots' WHERE id = {refunds}",
    "currency of bytes": "UPDATE refunds SET currency = x'00FF41' WHERE id = {refunds}",
    "estimate as a word": "UPDATE orders SET estimated_delivery_at = 'soon', delivered_at = NULL WHERE id = {orders}",
}


def whole_case(market: Market) -> dict[str, int]:
    order = market.order(number="A-17")
    (row,) = raw(market, f"SELECT seller_id FROM orders WHERE id = {order}")
    disputes = market.dispute(order_id=order)
    return {"orders": order, "sellers": int(str(row[0])), "disputes": disputes, "refunds": market.refund(order_id=order)}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_in_a_row_stops_neither_its_deadline_nor_its_neighbours(market: Market, junk: str) -> None:
    bad, good = whole_case(market), whole_case(market)
    market.sql(junk.format(**bad))
    for task in ("stamp", "reconcile"):
        market.run(task, at=MONDAY + HOUR)
    market.sweep_all(at=MONDAY + 30 * DAY)
    market.run("reconcile")
    market.run("deliver-mail", at=MONDAY + 31 * DAY)

    for rows in (bad, good):
        assert market.states("seller_response", rows["disputes"]) == ["fired"]
        assert market.states("refund_completion", rows["refunds"]) == ["fired"]
    assert not [row for row in market.notices() if row.state in ("queued", "sending")]
    sent = [row.party for row in market.notices(kind="seller_response", state="sent")]
    assert sent.count("buyer") == 2
    assert sent.count("seller") >= 1
