"""A deadline whose effect the shop's own database refuses: those beside it take effect, and it is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from returnclock.tables.clock import problems
from returnclock.unfireable import AGAIN_AFTER
from tests.database.market import DAY, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY

_REFUSING = {
    "postgresql": (
        "CREATE FUNCTION shop_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} END $$",
        "CREATE TRIGGER shop_refuses BEFORE UPDATE ON disputes FOR EACH ROW"
        " WHEN (NEW.status = 'escalated' AND NEW.id IN ({ids})) EXECUTE FUNCTION shop_refuses()",
    ),
    "sqlite": (
        "CREATE TRIGGER shop_refuses BEFORE UPDATE ON disputes WHEN NEW.status = 'escalated' AND NEW.id IN ({ids})"
        " BEGIN SELECT RAISE({does}); END",
    ),
    "mysql": (
        "CREATE TRIGGER shop_refuses BEFORE UPDATE ON disputes FOR EACH ROW"
        " IF NEW.status = 'escalated' AND NEW.id IN ({ids}) THEN {does} END IF",
    ),
}
_REFUSING["mariadb"] = _REFUSING["mysql"]
_LOUD = {
    "postgresql": "RAISE EXCEPTION 'not this one';",
    "sqlite": "ABORT, 'not this one'",
    "mysql": "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one';",
}
_LOUD["mariadb"] = _LOUD["mysql"]
_SILENT = {"postgresql": "RETURN NULL;", "sqlite": "IGNORE"}


@contextmanager
def refusal(market: Market, ids: list[int], does: dict[str, str]) -> Iterator[None]:
    """The shop's own trigger, which lets the disputes with these ids not be escalated."""
    words = {"ids": ", ".join(map(str, ids)), "does": does[market.dialect]}
    for statement in _REFUSING[market.dialect]:
        with market.transaction() as connection:
            connection.exec_driver_sql(statement.format(**words))
    try:
        yield
    finally:
        on = " ON disputes" if market.dialect == "postgresql" else ""
        market.sql(f"DROP TRIGGER shop_refuses{on}")
        if market.dialect == "postgresql":
            market.sql("DROP FUNCTION shop_refuses()")


def stamped(market: Market, number: int) -> list[int]:
    disputes = [market.dispute() for _ in range(number)]
    market.run("stamp", at=MONDAY)
    return disputes


def test_a_deadline_that_the_database_refuses_keeps_none_of_those_beside_it(market: Market) -> None:
    disputes = stamped(market, 9)
    with refusal(market, disputes[3:5], _LOUD):
        result = market.run("escalate-disputes", at=DUE)

    assert (result["changed"], result["problems"]) == (7, 2)
    assert [market.states("seller_response", one)[0] for one in disputes] == ["fired"] * 3 + ["running"] * 2 + ["fired"] * 4
    assert result["queued"] == 14
    for problem in market.rows(problems, code="cannot_fire"):
        assert "not this one" in problem.problem
        assert (problem.kind, problem.table_name) == ("seller_response", "disputes")
        assert int(problem.subject_id) in disputes[3:5]


@pytest.mark.parametrize("after, fires", [(AGAIN_AFTER - SECOND, 0), (AGAIN_AFTER, 1)])
def test_a_refused_deadline_is_tried_again_after_five_minutes_and_its_problem_closes(
    market: Market, after: object, fires: int
) -> None:
    (dispute,) = stamped(market, 1)
    with refusal(market, [dispute], _LOUD):
        assert market.run("escalate-disputes", at=DUE)["problems"] == 1

    assert market.run("escalate-disputes", at=DUE + after)["changed"] == fires  # type: ignore[operator]
    (problem,) = market.rows(problems, code="cannot_fire")
    assert (problem.resolved_at is not None) is bool(fires)


def test_a_refused_deadline_whose_seller_answers_is_met_and_its_problem_closes(market: Market) -> None:
    (dispute,) = stamped(market, 1)
    with refusal(market, [dispute], _LOUD):
        market.run("escalate-disputes", at=DUE)
    market.update("disputes", dispute, status="refused", seller_replied_at=DUE)
    market.run("stamp", at=DUE + SECOND)
    market.run("reconcile", at=DUE + SECOND)

    assert market.states("seller_response", dispute) == ["met"]
    assert all(problem.resolved_at for problem in market.rows(problems, code="cannot_fire"))


def test_looking_at_the_row_again_does_not_say_that_it_can_take_effect(market: Market) -> None:
    (dispute,) = stamped(market, 1)
    with refusal(market, [dispute], _LOUD):
        market.run("escalate-disputes", at=DUE)
        market.update("disputes", dispute, reason="Another word")
        market.run("stamp", at=DUE + SECOND)

    assert [problem.resolved_at for problem in market.rows(problems, code="cannot_fire")] == [None]


# A trigger of MariaDB cannot drop a change without a word.
@pytest.mark.parametrize("of", ["sqlite_market", "postgres_market"])
def test_an_effect_that_is_silently_dropped_is_found_by_its_count_and_set_aside(
    of: str, request: pytest.FixtureRequest
) -> None:
    market: Market = request.getfixturevalue(of)
    disputes = stamped(market, 5)
    with refusal(market, disputes[2:3], _SILENT):
        result = market.run("escalate-disputes", at=DUE)

    assert (result["changed"], result["problems"]) == (4, 1)
    assert market.states("seller_response", disputes[2]) == ["running"]


def test_what_is_wrong_with_every_row_fails_the_run_and_sets_none_aside(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    disputes = stamped(market, 3)
    monkeypatch.setattr("returnclock.sweep.spend", without_table)
    with pytest.raises(Exception, match="no_such_table"):
        market.run("escalate-disputes", at=DUE)

    assert not market.rows(problems, code="cannot_fire")
    assert {market.states("seller_response", one)[0] for one in disputes} == {"running"}


def test_a_fault_before_anything_is_claimed_is_no_deadlines(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.configure("batch_size = 2")
    disputes = stamped(market, 4)
    taken: list[object] = []

    def room(*given: object) -> int:
        taken.append(given)
        if len(taken) > 1:
            raise IntegrityError("SELECT 1", None, Exception("of no row"))
        return 2

    monkeypatch.setattr("returnclock.sweep.room", room)
    with pytest.raises(IntegrityError):
        market.run("escalate-disputes", at=DUE)

    assert not market.rows(problems, code="cannot_fire")
    assert [market.states("seller_response", one)[0] for one in disputes] == ["fired"] * 2 + ["running"] * 2


def without_table(connection: Connection, *_: object) -> None:
    """What a statement does whose table is gone."""
    connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")
