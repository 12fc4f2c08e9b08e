"""A hold that nobody ends keeps its deadlines for ever: one without an end that stands for long is told of everywhere."""

from __future__ import annotations

from datetime import datetime

from returnclock.cli.report import gather, judge
from returnclock.metrics import Exposition
from returnclock.web.app import make_app
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

FORGOTTEN = MONDAY + 7 * DAY


def verdict(market: Market, at: datetime) -> tuple[int, str]:
    for task in market.wiring.tasks:
        market.run(task, at=at)
    return judge(gather(market.wiring), market.wiring)


def oldest(market: Market) -> tuple[str, str]:
    lines = Exposition(market.wiring).text().decode().splitlines()
    told = {name: value for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("returnclock_hold"))}
    return told["returnclock_holds_oldest_seconds"], told["returnclock_hold_limit_seconds"]


def page(market: Market) -> str:
    client = make_app(market.wiring, Exposition(market.wiring), None).test_client()
    return client.get("/").text


def test_a_hold_without_an_end_is_a_warning_once_it_stands_too_long(market: Market, operator: Operator, dispute: int) -> None:
    assert oldest(market) == ("0.0", "604800.0")
    hold = operator.hold("disputes", dispute, at=MONDAY)["hold"]

    assert verdict(market, FORGOTTEN)[0] == 0
    assert "no end" not in page(market)
    assert verdict(market, FORGOTTEN + SECOND) == (1, f"1 hold(s) without an end, the oldest (hold {hold}) for 7 d 1 s")
    assert "1 hold has no end and stood for long" in page(market)
    assert oldest(market) == ("604801.0", "604800.0")

    operator.resume_hold(hold)
    assert verdict(market, FORGOTTEN + SECOND)[0] == 0
    assert oldest(market)[0] == "0.0"


def test_a_hold_that_ends_by_itself_was_not_forgotten_however_long_it_stands(
    market: Market, operator: Operator, dispute: int
) -> None:
    operator.hold("disputes", dispute, at=MONDAY, ends=MONDAY + 90 * DAY)
    assert verdict(market, MONDAY + 89 * DAY)[0] == 0
    assert oldest(market)[0] == "0.0"


def test_a_hold_to_come_does_not_stand_yet(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY, starts=FORGOTTEN)
    assert oldest(market)[0] == "0.0"
    market.clock.at = FORGOTTEN + HOUR
    assert oldest(market)[0] == "3600.0"


def test_the_oldest_of_many_is_named_and_the_shop_says_how_long_is_too_long(
    market: Market, operator: Operator, dispute: int
) -> None:
    market.configure('[ops]\nhold_alarm_after = "2 days"\n')
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    older = operator.hold("disputes", dispute, starts=MONDAY)["hold"]  # ordered later, from an earlier moment on
    assert verdict(market, MONDAY + 2 * DAY + SECOND) == (
        1,
        f"1 hold(s) without an end, the oldest (hold {older}) for 2 d 1 s",
    )
    assert verdict(market, MONDAY + 4 * DAY) == (1, f"2 hold(s) without an end, the oldest (hold {older}) for 4 d")
    assert "2 holds have no end" in page(market)
