"""Clocks whose date is missing: reported after a while, and counted from a fallback where the market says so."""

from __future__ import annotations

import pytest

from returnclock import health
from returnclock.database import reading
from returnclock.errors import SettingsError
from returnclock.tables.clock import events
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

FALLBACK = '[policy.return_window]\nfallback = { from = "estimated_delivery_at", after = "10 days" }\n'


@pytest.mark.parametrize(("late", "reported"), [(3 * DAY, False), (3 * DAY + SECOND, True)])
def test_a_delivery_that_is_overdue_is_reported_after_the_days_that_are_set(
    market: Market, late: object, reported: bool
) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nstart_expected_within = "3 days"\n')
    market.order(estimated_delivery_at=MONDAY - late, ordered_at=MONDAY - 20 * DAY)  # type: ignore[operator]
    market.run("stamp", at=MONDAY)

    assert ("overdue_start" in market.open_problems()) is reported
    with reading(market.engine) as connection:
        assert health.cannot_start(connection) == ({"return_window": 1} if reported else {})


def test_a_window_is_counted_from_its_fallback_while_the_delivery_is_not_known(market: Market) -> None:
    market.configure(FALLBACK)
    order = market.order(estimated_delivery_at=MONDAY)
    bare = market.order()
    market.run("stamp", at=MONDAY + HOUR)

    deadline = market.deadline("return_window", order)
    assert (deadline.starts_at, deadline.due_at) == (MONDAY + 10 * DAY, MONDAY.replace(day=28, hour=0))
    assert market.deadlines("return_window", bare) == []
    assert "future_date" not in market.open_problems()
    (told,) = market.rows(events, event="deadline:stamped", kind="return_window")
    assert told.detail["steps"][0].startswith("delivered_at is not known: it is counted from estimated_delivery_at and 10 days")
    for task in ("reconcile", "stamp"):
        market.run(task)
    assert market.states("return_window", order) == ["running"]
    assert market.sweep_all(at=MONDAY.replace(day=28, hour=0) - SECOND) == 0
    assert market.sweep_all(at=MONDAY.replace(day=28, hour=0)) == 1


@pytest.mark.parametrize("day", [5, 20])
def test_the_real_delivery_wins_whether_it_is_earlier_or_later(market: Market, day: int) -> None:
    market.configure(FALLBACK)
    order = market.order(estimated_delivery_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)
    market.update("orders", order, delivered_at=MONDAY.replace(day=day))
    market.run("stamp", at=MONDAY.replace(day=day) + HOUR)

    assert market.states("return_window", order) == ["void", "running"] or market.states("return_window", order) == [
        "running",
        "void",
    ]
    (running,) = [row for row in market.deadlines("return_window", order) if row.state == "running"]
    assert running.starts_at == MONDAY.replace(day=day)
    assert market.sweep_all(at=running.due_at - SECOND) == 0
    assert market.sweep_all(at=running.due_at) == 1


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[policy.return_window]\nfallback = { from = "estimated_delivery", after = "10 days" }\n', "did you mean"),
        ('[policy.return_window]\nfallback = { from = "estimated_delivery_at" }\n', "with just these two"),
        ('[policy.seller_response]\nfallback = { from = "opened_at", after = "1 day" }\n', "no date that could be missing"),
    ],
)
def test_a_fallback_that_cannot_be_is_refused(sqlite_market: Market, toml: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        sqlite_market.configure(toml)
