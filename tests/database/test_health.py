"""What ``status`` counts: as many as there are, and no further than anybody needs to know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from returnclock import batches, health
from returnclock.cli.report import up_to
from returnclock.database import reading, writing
from returnclock.tables.clock import outbox
from tests.database.market import DAY, HOUR, MONDAY, Market


def counts(market: Market) -> dict[str, Any]:
    with reading(market.engine) as connection:
        now = market.clock.now(connection)
        return {
            "due": health.due_within(connection, market.wiring.rulebook, now, timedelta(hours=1)),
            "notices": health.notices_by_state(connection),
            "changes": health.unstamped_changes(connection, now)[0],
            "problems": health.open_problems(connection),
        }


@pytest.fixture
def busy(market: Market) -> Market:
    """Three disputes due within the hour, with two reminders each, of which three are dead; and four changes and problems."""
    market.configure('[ops]\nwarning_lead = "none"\n')
    disputes = [market.dispute() for _ in range(3)]
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.run("send-reminders", at=MONDAY + 4 * DAY)
    with writing(market.engine) as connection:
        dead = [row.id for row in market.notices()[:3]]
        connection.execute(update(outbox).where(outbox.c.id.in_(dead)).values(state="dead", next_attempt_at=None))
    for _ in range(4):
        market.order(delivered_at=MONDAY + 30 * DAY)
    market.run("stamp")
    for dispute in disputes:
        market.update("disputes", dispute, seller_replied_at=MONDAY + HOUR)
    market.clock.at = MONDAY + 5 * DAY - HOUR / 2
    return market


def test_what_waits_is_counted_whole(busy: Market) -> None:
    assert counts(busy) == {
        "due": {"seller_response": 3},
        "notices": {"queued": 3, "dead": 3},
        "changes": 3,
        "problems": 4,
    }


def test_what_waits_is_counted_up_to_a_bound(busy: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "COUNTED", 2)
    monkeypatch.setattr(health, "counted", lambda connection, chosen: batches.counted(connection, chosen, 2))
    assert counts(busy) == {"due": {"seller_response": 2}, "notices": {"queued": 2, "dead": 2}, "changes": 2, "problems": 2}


@pytest.mark.parametrize(("number", "told"), [(0, "0"), (9_999, "9999"), (10_000, "10000+"), (20_000, "20000+")])
def test_a_count_that_ends_at_the_bound_says_so(number: int, told: str) -> None:
    assert up_to(number) == told
