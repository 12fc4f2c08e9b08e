"""Who gets a correction after an undo: everybody who was told of the outcome or may have been, and nobody else."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import update

from returnclock import outbox as room
from returnclock.database import writing
from returnclock.errors import DeliveryUncertain
from returnclock.tables.clock import outbox
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
SELLER = "ana@shop.example"
NEVER = {"leased_by": None, "leased_until": None}
IN_HAND = {"leased_by": "a worker", "leased_until": DUE + HOUR}


@pytest.fixture
def dispute(market: Market) -> int:
    return escalated(market)


def escalated(market: Market) -> int:
    dispute = market.dispute(order_id=market.order(seller_id=market.insert("sellers", name="Ana", email=SELLER)))
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    return dispute


@pytest.mark.parametrize(
    ("became", "is_told"),
    [
        ({"state": "queued"} | NEVER, False),
        ({"state": "dead"} | NEVER, False),
        ({"state": "suppressed"} | NEVER, False),
        ({"state": "queued"} | IN_HAND, True),
        ({"state": "queued"} | IN_HAND | {"leased_until": DUE - HOUR}, True),  # its worker may still be about to send
        ({"state": "sending"} | IN_HAND, True),
        ({"state": "sending"} | NEVER, True),
        ({"state": "sent", "sent_at": DUE} | NEVER, True),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else f"{value['state']}-{value['leased_until']}",
)
def test_a_correction_goes_only_where_the_outcome_went_or_may_have_gone(
    market: Market, operator: Operator, dispute: int, became: dict[str, Any], is_told: bool
) -> None:
    with market.transaction() as connection:
        connection.execute(update(outbox).where(outbox.c.party == "seller").values(became))

    assert operator.undo("disputes", dispute, at=DUE + SECOND)["queued"] == is_told
    assert [row.party for row in market.notices(notice="undone")] == ["seller"] * is_told


def test_what_was_unsure_and_then_put_away_is_corrected(market: Market, operator: Operator, dispute: int) -> None:
    market.mailer.faults[SELLER] = [DeliveryUncertain(server="post box", reason="the connection broke")]
    market.run("deliver-mail")
    assert [row.state for row in market.notices(party="seller")] == ["sending"]
    market.run("deliver-mail", at=DUE + 6 * DAY)
    assert [row.state for row in market.notices(party="seller")] == ["dead"]

    operator.undo("disputes", dispute)
    assert {row.party for row in market.notices(notice="undone")} == {"seller", "buyer"}


def test_a_last_try_whose_answer_never_came_is_corrected(market: Market, operator: Operator, dispute: int) -> None:
    market.mailer.faults[SELLER] = [DeliveryUncertain(server="post box", reason="the connection broke")]
    market.run("deliver-mail", at=DUE + 6 * DAY)
    market.run("deliver-mail", at=DUE + 6 * DAY + HOUR)
    assert [row.state for row in market.notices(party="seller")] == ["dead"]

    operator.undo("disputes", dispute)
    assert {row.party for row in market.notices(notice="undone")} == {"seller", "buyer"}


@pytest.mark.parametrize("name", ["postgres_market", "mariadb_market"])  # SQLite has one writer, who waits for nobody
def test_what_a_worker_is_just_taking_in_hand_is_waited_for_and_corrected(request: pytest.FixtureRequest, name: str) -> None:
    market: Market = request.getfixturevalue(name)
    operator, dispute = Operator(market), escalated(market)
    done: list[dict[str, Any]] = []
    undoing = threading.Thread(target=lambda: done.append(operator.undo("disputes", dispute)))
    with writing(market.engine) as connection:
        assert len(room.lease(connection, "a worker", DUE, 1, digests=False)) == 1
        undoing.start()
        undoing.join(0.5)
        assert undoing.is_alive()
    undoing.join(30)

    assert done[0]["queued"] == 1


@pytest.mark.parametrize("name", ["postgres_market", "mariadb_market"])
def test_no_worker_takes_in_hand_what_is_just_being_undone(
    request: pytest.FixtureRequest, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    market: Market = request.getfixturevalue(name)
    operator, dispute = Operator(market), escalated(market)
    queue, taken = room.queue, []

    def queueing(*args: Any, **kwargs: Any) -> int:
        with writing(market.engine) as connection:
            taken.append(room.lease(connection, "a worker", DUE + HOUR, 9, digests=False))
        return queue(*args, **kwargs)

    monkeypatch.setattr(room, "queue", queueing)
    assert operator.undo("disputes", dispute)["queued"] == 0
    assert taken == [[], []]  # before each of the two corrections
