"""The database keeps how late every deadline fired: counted in the transaction that fires, and never lost or doubled."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import insert

from returnclock import health, sweep
from returnclock.database import reading
from returnclock.lateness import BOUNDS, Histogram
from returnclock.tables.clock import lateness
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


def histogram(market: Market) -> dict[str, Histogram]:
    with reading(market.wiring.engine) as connection:
        return health.lateness_histogram(connection)


def below(found: Histogram, bound: float) -> int:
    return found.cumulative[found.bounds.index(bound)]


def test_a_kind_that_never_fired_has_none(market: Market) -> None:
    market.dispute()
    market.run("stamp")
    market.run("escalate-disputes", at=DUE - SECOND)

    assert histogram(market) == {}


def test_buckets_are_cumulative_and_tell_each_deadline_once(market: Market) -> None:
    for seconds in (0, 1, 3, 3 * 3600):
        market.dispute(opened_at=MONDAY - seconds * SECOND)
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    market.run("escalate-disputes", at=DUE + SECOND)

    (found,) = histogram(market).values()
    assert (found.bounds, found.count, found.sum_s) == (BOUNDS, 4, 3 * 3600 + 4.0)
    assert [below(found, bound) for bound in (0.25, 0.5, 1.0, 2.0, 5.0, 3600.0, 14400.0, math.inf)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_each_kind_has_its_own(market: Market) -> None:
    market.dispute()
    market.refund()
    market.run("stamp", at=MONDAY)
    market.sweep_all(at=MONDAY + 30 * DAY)

    found = histogram(market)
    assert {kind: of.count for kind, of in found.items()} == {
        "seller_response": 1,
        "refund_completion": 1,
        "refund_inspection": 1,
        "refund_mediation": 1,
    }
    assert found["seller_response"].sum_s == 25 * 86400


def test_adding_up_changes_no_count(market: Market) -> None:
    for number in range(6):
        market.dispute(opened_at=MONDAY + number * HOUR)
        market.run("stamp", at=MONDAY + number * HOUR)
    for number in range(6):
        market.run("escalate-disputes", at=DUE + number * HOUR + number % 2 * 7 * SECOND)
    before, rows = histogram(market), market.count(lateness)
    market.run("purge")

    assert histogram(market) == before
    assert (rows, market.count(lateness)) == (6, 2)
    market.run("purge")
    assert histogram(market) == before


def test_history_that_was_purged_still_counts(market: Market) -> None:
    market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    market.run("stamp")
    for _ in range(2):
        market.run("purge", at=DUE + 500 * DAY)

    assert histogram(market)["seller_response"].count == 1


def test_a_batch_that_is_rolled_back_counts_nothing(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.dispute()
    market.run("stamp")
    keep = sweep.histogram.record

    def keep_and_break_down(*given: Any) -> None:
        keep(*given)
        raise RuntimeError("the batch broke down")

    with monkeypatch.context() as broken:
        broken.setattr(sweep.histogram, "record", keep_and_break_down)
        with pytest.raises(RuntimeError):
            market.run("escalate-disputes", at=DUE)
    assert histogram(market) == {}
    market.run("escalate-disputes", at=DUE)
    assert histogram(market)["seller_response"].count == 1


def test_a_version_with_other_bounds_is_added_up_with_this_one(market: Market) -> None:
    rows = [{"kind": "x", "le_s": le, "number": 2, "sum_s": 1.5, "noted_at": MONDAY} for le in (0.7, 3600.0, None)]
    with market.transaction() as connection:
        connection.execute(insert(lateness), rows)

    found = histogram(market)["x"]
    assert [below(found, bound) for bound in (0.5, 1.0, 3600.0, math.inf)] == [0, 2, 4, 6]
    assert found.sum_s == 4.5
