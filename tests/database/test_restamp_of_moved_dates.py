"""New rules reach what amnesty or a vacation has moved, as no hand was in it; and they take nothing away that was given."""

from __future__ import annotations

from datetime import date

import pytest

from returnclock.ledger import Hand
from returnclock.ops.vacation import announce, take_back
from returnclock.preview import preview
from returnclock.recount import Case
from returnclock.restamp import Overdue, Plan, Restamped, restamp
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

DUE = MONDAY + 5 * DAY
OPS = '[ops]\nwarning_lead = "24 hours"\n'
LEAD = 25 * HOUR  # and the hour that a warning may take


def restamped(market: Market, overdue: Overdue = "skip") -> Restamped:
    book = market.wiring.rulebook
    return restamp(Plan(market.engine, market.clock, book, Hand("maria"), "new terms", overdue), book.active())


def judged(market: Market) -> dict[str, int]:
    wiring = market.wiring
    return dict(preview(wiring.engine, market.clock, wiring.rulebook).kinds["seller_response"].cases)


def rule(days: int) -> str:
    return f'{OPS}[policy.seller_response]\nperiod = "{days} days"\n'


@pytest.fixture
def seller(market: Market) -> int:
    market.configure(OPS)
    return market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="UTC")


@pytest.fixture
def dispute(market: Market, seller: int) -> int:
    opened = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    return opened


def away(market: Market, seller: int, first: int, last: int) -> int:
    market.clock.at += HOUR
    done = announce(Operator(market).desk(), seller, date(2026, 3, first), date(2026, 3, last))
    return int(done["vacation"])


def spared(market: Market) -> None:
    """Its reminders were never sent, and amnesty was granted when it was due."""
    market.run("escalate-disputes", at=DUE + HOUR)


@pytest.mark.parametrize("days", [3, 5, 9])
def test_what_a_vacation_moved_gets_the_date_of_what_is_stamped_under_it(
    market: Market, seller: int, dispute: int, days: int
) -> None:
    away(market, seller, 4, 5)
    market.configure(rule(days))
    assert judged(market) == {str({3: Case.EARLIER, 5: Case.UNCHANGED, 9: Case.LATER}[days]): 1}
    restamped(market)
    twin = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp")

    dates = {market.deadline("seller_response", one).promised_at for one in (dispute, twin)}
    assert dates == {MONDAY + (days + 2) * DAY}


def test_new_terms_reach_what_amnesty_has_spared_and_the_new_date_is_warned_of_anew(market: Market, dispute: int) -> None:
    spared(market)
    market.configure(rule(9))
    restamped(market)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at, deadline.spared_at) == (MONDAY + 9 * DAY, MONDAY + 9 * DAY, None)


@pytest.mark.parametrize(("days", "overdue"), [(5, "fire"), (4, "fire"), (4, "notice"), (4, "skip")])
def test_no_rule_shortens_what_amnesty_has_granted(market: Market, dispute: int, days: int, overdue: Overdue) -> None:
    spared(market)
    granted = market.deadline("seller_response", dispute)
    assert granted.due_at == DUE + HOUR + LEAD
    market.configure(rule(days))
    restamped(market, overdue)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.due_at, deadline.spared_at) == (granted.due_at, granted.spared_at)


def test_what_an_operator_has_moved_as_well_is_still_left_alone(market: Market, seller: int, dispute: int) -> None:
    away(market, seller, 4, 5)
    Operator(market).extend("disputes", dispute, add="1 day")
    market.configure(rule(9))

    assert judged(market) == {str(Case.INTERVENED): 1}


@pytest.mark.parametrize("running", [True, False])
def test_a_date_that_was_given_under_a_vacation_stays_though_it_was_taken_back(
    market: Market, seller: int, running: bool
) -> None:
    order = market.order(seller_id=seller)
    dispute = market.dispute(order_id=order)
    if running:
        market.run("stamp", at=MONDAY)
    number = away(market, seller, 4, 6)
    market.run("stamp")
    take_back(Operator(market).desk(), number)

    assert judged(market) == {str(Case.UNCHANGED): 1}
    assert restamped(market).total() == 0
    assert market.deadline("seller_response", dispute).promised_at == DUE + 3 * DAY


@pytest.mark.parametrize("days", [3, 9])
def test_only_days_that_a_date_was_given_with_stay_given(market: Market, seller: int, dispute: int, days: int) -> None:
    first, second = away(market, seller, 4, 4), away(market, seller, 10, 12)
    for number in (first, second):
        take_back(Operator(market).desk(), number)
    market.configure(rule(days))
    restamped(market)

    assert market.deadline("seller_response", dispute).promised_at == MONDAY + (days + 1) * DAY
