"""Bad rows: each is reported with a sentence, its neighbours proceed, and its problem closes by itself when it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from returnclock import stamp, stamp_batch
from returnclock.tables.clock import changes, problems
from tests.database.market import DAY, HOUR, MONDAY, Market

Rows = dict[str, int]


@dataclass(frozen=True)
class Case:
    """One way to be wrong: the bad values of a row of a table, what is said of it, and the values that mend it."""

    table: str
    code: str
    bad: dict[str, Any]
    mended: dict[str, Any]
    says: str
    stamped: bool = True  # whether the row's clock runs all the same


CASES = {
    "no date": Case(
        "disputes", "missing_date", {"opened_at": None}, {"opened_at": MONDAY}, "disputes.opened_at", stamped=False
    ),
    "in the future": Case(
        "refunds", "future_date", {"started_at": MONDAY + DAY}, {"started_at": MONDAY}, "in the future", stamped=False
    ),
    "1970": Case(
        *("refunds", "ancient_date", {"started_at": datetime(1970, 1, 1, tzinfo=UTC)}, {"started_at": MONDAY}),
        "1970-01-01",
        stamped=False,
    ),
    "country": Case("orders", "unknown_country", {"country": "ZZ"}, {"country": "DE"}, '"DE"'),
    "subdivision": Case(
        "orders", "unknown_subdivision", {"country": "DE", "subdivision": "QQ"}, {"subdivision": "BY"}, "Known are"
    ),
    "zone": Case("sellers", "unknown_time_zone", {"time_zone": "Mars/Phobos"}, {"time_zone": "Asia/Tokyo"}, "Mars/Phobos"),
    "locale": Case("buyers", "unknown_locale", {"locale": "klingon"}, {"locale": "pt-BR"}, "klingon"),
    "currency": Case("refunds", "unknown_currency", {"currency": "ZZZ"}, {"currency": "EUR"}, "ISO 4217"),
    "amount": Case("refunds", "bad_amount", {"amount": -5}, {"amount": 5}, "no sum of money"),
    "address": Case("sellers", "bad_address", {"email": "ana at shop"}, {"email": "ana@shop.example"}, "sellers.email"),
    "long name": Case("buyers", "long_name", {"name": "x" * 100_000}, {"name": "Bea"}, "100000 characters"),
    "long number": Case("orders", "long_number", {"number": "7" * 100_000}, {"number": "A-7"}, "100000 characters"),
    "number of lines": Case(
        "orders", "broken_number", {"number": "A-7\r\nBcc: all@home.example"}, {"number": "A-7"}, "line breaks"
    ),
    "name of lines": Case("sellers", "broken_name", {"name": "Ana\r\nBcc: all@home.example"}, {"name": "Ana"}, "line breaks"),
}


def whole_case(market: Market, table: str, values: dict[str, Any]) -> Rows:
    """A dispute and a refund with all that is around them, one row of which has the given values."""
    rows: Rows = {}

    def insert(name: str, **links: Any) -> None:
        rows[name] = market.insert(name, **{**links, **(values if name == table else {})})

    insert("sellers", email="ana@shop.example")
    insert("buyers", email="bea@home.example")
    insert("orders", seller_id=rows["sellers"], buyer_id=rows["buyers"], delivered_at=MONDAY)
    insert("disputes", order_id=rows["orders"], opened_at=MONDAY)
    insert("refunds", order_id=rows["orders"], started_at=MONDAY)
    return rows


KIND_OF = {"disputes": "seller_response", "refunds": "refund_completion"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_bad_row_is_reported_until_it_is_mended(market: Market, case: Case) -> None:
    bad = whole_case(market, case.table, case.bad)
    good = whole_case(market, "", {})
    market.run("stamp", at=MONDAY + HOUR)

    problem = market.open_problems(case.table, bad[case.table])[case.code]
    assert case.says in problem
    assert problem.startswith(f"{case.table} {bad[case.table]}")
    assert problem.endswith(".")
    for table, kind in KIND_OF.items():
        assert market.states(kind, good[table]) == ["running"]
        runs = case.stamped or table != case.table
        assert market.states(kind, bad[table]) == (["running"] if runs else [])
    assert [market.open_problems(table, row_id) for table, row_id in good.items()] == [{}] * 5

    market.update(case.table, bad[case.table], **case.mended)
    market.run("stamp")
    assert market.open_problems() == {}


def test_notices_of_bad_rows_go_out_with_those_beside_them(market: Market) -> None:
    for case in CASES.values():
        if case.stamped:
            whole_case(market, case.table, case.bad)
    whole_case(market, "", {})
    market.run("stamp", at=MONDAY + HOUR)
    market.run("escalate-disputes", at=MONDAY + 30 * DAY)
    market.run("deliver-mail")

    ends = [row.state for row in market.notices()]
    assert (ends.count("sent"), ends.count("dead")) == (23, 1)  # a seller and a buyer each; one address is none
    assert not any("Bcc" in message.parsed for message in market.mailer.taken)


def dangling(market: Market, table: str, **values: Any) -> int:
    """Insert a row whose foreign key points to nothing, as an import without constraints does."""
    row = {"id": 900_001, **values}
    off = {
        "sqlite": "PRAGMA foreign_keys = OFF",
        "mariadb": "SET foreign_key_checks = 0",
        "postgresql": "SET session_replication_role = replica",  # no trigger runs either: reconcile has to find the row
    }[market.dialect]
    with market.transaction() as connection:
        connection.exec_driver_sql(off)
        market.insert_with(connection, table, row)
    return 900_001


@pytest.mark.parametrize(("party", "table"), [("seller", "sellers"), ("buyer", "buyers")])
def test_an_order_of_an_unknown_party_is_reported_until_the_party_is_inserted(market: Market, party: str, table: str) -> None:
    parties = {"seller_id": market.insert("sellers"), "buyer_id": market.insert("buyers"), f"{party}_id": 5005}
    order = dangling(market, "orders", delivered_at=MONDAY, **parties)
    market.run("reconcile", at=MONDAY + HOUR)

    assert "5005, who does not exist" in market.open_problems("orders", order)[f"no_{party}"]
    assert market.states("return_window", order) == ["running"]

    market.insert(table, id=5005)
    market.run("reconcile")
    assert market.open_problems("orders", order) == {}


def test_a_dispute_of_an_unknown_order_runs_from_when_the_order_is_inserted(market: Market) -> None:
    dispute = dangling(market, "disputes", order_id=6006, opened_at=MONDAY)
    neighbour = market.dispute()
    market.run("reconcile", at=MONDAY + HOUR)

    assert "order 6006, which does not exist" in market.open_problems("disputes", dispute)["no_order"]
    assert (market.states("seller_response", dispute), market.states("seller_response", neighbour)) == ([], ["running"])

    market.order(id=6006)
    market.run("reconcile")
    assert market.open_problems("disputes", dispute) == {}
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY


def test_rows_without_their_foreign_keys_are_reported(market: Market) -> None:
    order = market.insert("orders", delivered_at=MONDAY)
    refund = market.insert("refunds", started_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)

    assert sorted(market.open_problems("orders", order)) == ["no_buyer", "no_seller"]
    assert list(market.open_problems("refunds", refund)) == ["no_order"]


def test_a_date_in_the_future_starts_the_clock_by_itself_when_it_comes(market: Market) -> None:
    order = market.order(delivered_at=MONDAY + 2 * DAY)
    market.run("stamp", at=MONDAY)
    market.run("reconcile", at=MONDAY + 2 * DAY + HOUR)

    assert market.states("return_window", order) == ["running"]
    assert market.open_problems() == {}


def test_a_problem_of_an_order_stays_open_while_only_its_dispute_changes(market: Market) -> None:
    order = market.order(country="ZZ", delivered_at=MONDAY + 2 * DAY)
    refund = market.refund(order_id=order)
    market.run("stamp", at=MONDAY)
    market.update("refunds", refund, amount=3)
    market.run("stamp")

    assert sorted(market.open_problems("orders", order)) == ["future_date", "unknown_country"]


def test_an_order_that_is_long_overdue_is_reported_until_its_delivery_is_written(market: Market) -> None:
    order = market.order(estimated_delivery_at=MONDAY - 15 * DAY, ordered_at=MONDAY - 20 * DAY)
    fresh = market.order(estimated_delivery_at=MONDAY - 13 * DAY, ordered_at=MONDAY - 20 * DAY)
    for _ in range(2):
        market.run("stamp", at=MONDAY)
        market.run("reconcile")
        assert list(market.open_problems("orders", order)) == ["overdue_start"]
        assert market.open_problems("orders", fresh) == {}

    market.update("orders", order, delivered_at=MONDAY)
    market.run("stamp")
    assert market.open_problems() == {}


def test_a_problem_that_lasts_keeps_its_first_date_and_is_counted_once(market: Market) -> None:
    market.dispute(opened_at=None)
    counted = [market.run("stamp", at=MONDAY)["problems"]]
    counted += [market.run("reconcile", at=MONDAY + days * DAY)["problems"] for days in (1, 2)]

    (kept,) = market.rows(problems)
    assert counted == [1, 0, 0]
    assert (kept.first_seen_at, kept.last_seen_at, kept.resolved_at) == (MONDAY, MONDAY + 2 * DAY, None)


def test_a_date_that_only_its_database_takes_is_reported_and_its_neighbours_proceed(market: Market) -> None:
    odd = {"postgresql": "infinity", "mariadb": "0000-00-00 00:00:00", "sqlite": "the day after"}[market.dialect]
    bad, overdue = market.dispute(), market.order()
    neighbour = market.dispute()
    with market.transaction() as connection:
        if market.dialect == "mariadb":
            connection.exec_driver_sql("SET sql_mode = ''")
        connection.exec_driver_sql(f"UPDATE disputes SET opened_at = '{odd}' WHERE id = {bad}")
        connection.exec_driver_sql(f"UPDATE orders SET estimated_delivery_at = '{odd}' WHERE id = {overdue}")
    for task in ("stamp", "reconcile"):
        market.run(task, at=MONDAY + HOUR)

    assert market.states("seller_response", neighbour) == ["running"]
    assert market.states("seller_response", bad) == []
    (problem,) = market.open_problems("disputes", bad).values()
    assert problem.startswith(f"disputes {bad}")

    market.update("disputes", bad, opened_at=MONDAY)
    market.run("stamp")
    assert market.states("seller_response", bad) == ["running"]
    assert market.open_problems("disputes", bad) == {}


def test_a_row_that_breaks_a_batch_is_found_by_halves(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    order = market.order()
    disputes = [market.dispute(order_id=order) for _ in range(60)]
    bad, check, batch = disputes[37], stamp_batch.anchor_fault, stamp._batch
    tried: list[int] = []

    def breaking(kind: Any, row: Any, now: datetime) -> Any:
        if row.subject_id == str(bad):
            raise OverflowError("no calendar has such a day")
        return check(kind, row, now)

    def counted(run: Any, size: int) -> int:
        tried.append(size)
        return batch(run, size)

    monkeypatch.setattr(stamp_batch, "anchor_fault", breaking)
    monkeypatch.setattr(stamp, "_batch", counted)
    market.run("stamp", at=MONDAY)

    assert [market.states("seller_response", one) for one in disputes] == [
        ["running"] if one != bad else [] for one in disputes
    ]
    assert market.rows(changes) == []
    (problem,) = market.open_problems("disputes", bad).values()
    assert "no calendar has such a day" in problem
    assert len(tried) < 30  # one by one it would be a transaction for each of the rows


def test_a_subdivision_that_is_none_is_told_with_the_calendar_that_counts_in_its_stead(market: Market) -> None:
    market.configure('[calendar]\ncountry = "DE"\nsubdivision = "BY"\n')
    refund = market.refund(order_id=market.order(country="DE", subdivision="ZZ"))
    market.run("stamp", at=MONDAY)
    assert market.deadline("refund_completion", refund).schedule["calendar"] == "DE-BY"
    assert market.open_problems("orders")["unknown_subdivision"].endswith("business days are those of the calendar DE-BY.")
