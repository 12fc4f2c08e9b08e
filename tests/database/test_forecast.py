"""The forecast: each deadline on the one local day on which it falls due, however far is counted."""

from __future__ import annotations

from datetime import datetime

import pytest

from returnclock.database import reading
from returnclock.forecast import Forecast, forecast
from tests.database.market import DAY, MONDAY, SECOND, Market

DAYS = 7
MIDNIGHT = MONDAY.replace(hour=0, minute=0) + 3 * DAY  # of the market, whose zone is UTC


def ahead(market: Market, at: datetime, at_most: int | None = None) -> Forecast:
    with reading(market.engine) as connection:
        return forecast(connection, market.wiring.rulebook, at, DAYS, at_most=at_most)


def falling_due(market: Market, *moments: datetime) -> None:
    for moment in moments:
        market.dispute(opened_at=moment - 5 * DAY)
    market.run("stamp", at=MONDAY)


@pytest.mark.parametrize("at_most", [None, 100])
def test_a_deadline_at_midnight_is_of_the_day_that_begins_then(market: Market, at_most: int | None) -> None:
    falling_due(market, MIDNIGHT - SECOND, MIDNIGHT, MIDNIGHT + SECOND)
    by_day = {day.day: day.total for day in ahead(market, MONDAY, at_most).days if day.total}
    assert by_day == {(MIDNIGHT - DAY).date(): 1, MIDNIGHT.date(): 2}


@pytest.mark.parametrize("at_most", [None, 100])
def test_what_is_due_already_is_of_no_day_to_come(market: Market, at_most: int | None) -> None:
    falling_due(market, MONDAY - SECOND, MONDAY, MONDAY + SECOND)
    found = ahead(market, MONDAY, at_most)
    assert (found.due_already["seller_response"], sum(day.total for day in found.days)) == (2, 1)


def test_a_look_that_counts_only_so_far_says_so_many_at_most(market: Market) -> None:
    falling_due(market, *(MIDNIGHT + number * SECOND for number in range(5)), MONDAY - SECOND, MONDAY)
    found = ahead(market, MONDAY, at_most=1)
    assert (found.due_already["seller_response"], max(day.total for day in found.days)) == (1, 1)
