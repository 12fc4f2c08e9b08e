"""A kept date keeps the days that it was counted over: what is counted on from it is not counted by another calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from returnclock.database import writing
from returnclock.ledger import Hand
from returnclock.restamp import Plan, restamp
from returnclock.tables.clock import deadlines
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

RULE = '[policy.seller_response]\nperiod = "5 business days"\nremind = []\n'
CLOSED = '[calendar]\nclosures = ["2026-03-04", "2026-03-05"]\n'


def promised(market: Market, dispute: int) -> datetime:
    moment: datetime = market.deadline("seller_response", dispute).promised_at
    return moment


def stamped(market: Market, calendar: str = "", at: datetime = MONDAY, country: str = "US") -> int:
    """A dispute of the seller's five business days: until Monday the 9th, where nothing is closed."""
    market.configure(calendar + RULE)
    dispute = market.dispute(opened_at=at, order_id=market.order(country=country))
    market.run("stamp", at=at)
    return dispute


@pytest.mark.parametrize("since", ["", CLOSED])
def test_a_closure_that_nobody_restamped_takes_no_day_of_what_is_left_under_a_hold(
    market: Market, operator: Operator, since: str
) -> None:
    dispute = stamped(market)
    market.configure(since + RULE)
    operator.hold("disputes", dispute, at=MONDAY + DAY)  # four are left
    operator.resume("disputes", dispute, at=MONDAY + 8 * DAY)

    assert promised(market, dispute) == MONDAY + 14 * DAY


@pytest.mark.parametrize("since", ["", CLOSED])
def test_a_closure_that_is_gone_since_adds_no_day_to_what_is_left(market: Market, operator: Operator, since: str) -> None:
    dispute = stamped(market, CLOSED)  # until Wednesday the 11th
    market.configure(since + RULE)
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 8 * DAY)

    assert promised(market, dispute) == MONDAY + 14 * DAY


def test_a_date_that_was_moved_keeps_the_days_that_moved_it(market: Market, operator: Operator) -> None:
    dispute = stamped(market)
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 8 * DAY)  # until Monday the 16th
    market.configure('[calendar]\nclosures = ["2026-03-12", "2026-03-13"]\n' + RULE)
    operator.hold("disputes", dispute, at=MONDAY + 9 * DAY)
    operator.resume("disputes", dispute, at=MONDAY + 15 * DAY)  # Tuesday; three are left

    assert promised(market, dispute) == MONDAY + 18 * DAY


def test_days_that_no_date_has_reached_are_those_of_today(market: Market, operator: Operator) -> None:
    dispute = stamped(market)
    market.configure('[calendar]\nclosures = ["2026-03-10"]\n' + RULE)
    operator.extend("disputes", dispute, add="1 business day", at=MONDAY + DAY)

    assert promised(market, dispute) == MONDAY + 9 * DAY


def test_a_calendar_means_what_its_name_meant_although_the_default_is_a_part_of_its_country_now(
    market: Market, operator: Operator
) -> None:
    opened = datetime(2026, 5, 26, 10, tzinfo=UTC)
    dispute = stamped(market, at=opened, country="DE")
    market.configure('[calendar]\ncountry = "DE"\nsubdivision = "BY"\n' + RULE)
    operator.hold("disputes", dispute, at=opened + DAY)
    operator.resume("disputes", dispute, at=opened + 8 * DAY - HOUR)

    # Four are left; Thursday the 4th of June is a holiday in Bavaria alone.
    assert promised(market, dispute) == opened + 14 * DAY
    assert market.deadline("seller_response", dispute).schedule["calendar"] == "DE"


def test_restamp_counts_by_the_days_of_today(market: Market) -> None:
    dispute = stamped(market)
    market.configure(CLOSED + RULE)
    book = market.wiring.rulebook
    restamp(Plan(market.engine, market.clock, book, Hand("maria"), "closures", "skip"), book.active())

    assert promised(market, dispute) == MONDAY + 9 * DAY


def test_a_deadline_of_an_older_version_counts_by_the_days_of_today(market: Market, operator: Operator) -> None:
    dispute = stamped(market)
    schedule = dict(market.deadline("seller_response", dispute).schedule)
    del schedule["counted_days"]
    with writing(market.engine) as connection:
        connection.execute(update(deadlines).values(schedule=schedule))
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 8 * DAY)

    assert promised(market, dispute) == MONDAY + 14 * DAY


def test_an_extension_over_many_years_keeps_its_date(market: Market, operator: Operator) -> None:
    dispute = stamped(market)
    until = datetime(2036, 1, 1, tzinfo=UTC)
    operator.extend("disputes", dispute, until=until, at=MONDAY + DAY)

    assert promised(market, dispute) == until
