"""What is looked at while ten million deadlines lie there is found through an index that serves it; no table is read whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from returnclock import claims, schema
from returnclock.cli.report import gather
from returnclock.database import reading, writing
from returnclock.engines import open_engine
from returnclock.forecast import forecast
from returnclock.history import chosen_runs, failures_by_error
from returnclock.recount import recounted
from returnclock.tables.clock import deadlines
from returnclock.tables.keys import among, keys_of
from tests.database.market import DAY, MONDAY, Market

# One row, and what is gone when it is done: its number is that of the backlog.
SMALL = ("clock_schema_version", "clock_changes", "clock_holds", "clock_pauses", "clock_bursts")


def status(market: Market) -> Any:
    return gather(market.wiring)


def pages(market: Market) -> Any:
    wiring = market.wiring
    return list(recounted(wiring.engine, market.clock, wiring.rulebook, wiring.kinds, size=10))


def ahead(market: Market) -> Any:
    with reading(market.engine) as connection:
        return forecast(connection, market.wiring.rulebook, MONDAY, 14)


def ahead_on_a_page(market: Market) -> Any:
    with reading(market.engine) as connection:
        return forecast(connection, market.wiring.rulebook, MONDAY, 14, at_most=10)


def failures(market: Market) -> Any:
    with reading(market.engine) as connection:
        return failures_by_error(connection)


def failed_runs(market: Market) -> Any:
    with reading(market.engine) as connection:
        return chosen_runs(connection, state="failed", limit=10)


@pytest.mark.parametrize("look", [status, pages, ahead, ahead_on_a_page, failures, failed_runs])
def test_no_look_reads_a_table_whole(sqlite_market: Market, look: Callable[[Market], Any]) -> None:
    market = sqlite_market
    market.dispute()
    market.refund()
    market.run("stamp")
    market.clock.at = MONDAY + 6 * DAY
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(market.engine, "before_cursor_execute", listen)
    try:
        look(market)
    finally:
        event.remove(market.engine, "before_cursor_execute", listen)

    assert asked
    with market.engine.connect() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            whole = [row[-1] for row in plan if row[-1].startswith("SCAN clock_") and "INDEX" not in row[-1]]
            whole = [step for step in whole if step.split()[1] not in SMALL]
            assert not whole, f"{whole} in {statement}"


@pytest.mark.parametrize("look", [status, pages, ahead])
def test_what_is_settled_is_not_read_to_count_what_is_live(sqlite_market: Market, look: Callable[[Market], Any]) -> None:
    """Every look at deadlines goes through an index that holds only what it asks for, or by a row's own key."""
    market = sqlite_market
    market.dispute()
    market.run("stamp")
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM clock_deadlines" in statement:
            asked.append((statement, parameters))

    event.listen(market.engine, "before_cursor_execute", listen)
    try:
        look(market)
    finally:
        event.remove(market.engine, "before_cursor_execute", listen)

    assert asked
    serving = ("ix_clock_deadlines_due", "ix_clock_deadlines_live", "ix_clock_deadlines_settled")
    with market.engine.connect() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [row[-1] for row in plan if "clock_deadlines" in row[-1]]
            assert all(any(index in step for index in serving) for step in steps), f"{steps} in {statement}"


@pytest.mark.parametrize("kind_name", ["seller_response", "return_window", "refund_completion"])
def test_what_still_runs_is_found_by_the_rows_own_keys_before_there_are_statistics(
    postgres_url: str, tmp_path: Path, kind_name: str
) -> None:
    number, page = 2000, 500
    engine = open_engine(postgres_url)
    schema.upgrade(engine)
    market = Market(engine, tmp_path)
    for table in ("clock_deadlines", "disputes", "orders", "refunds"):
        market.sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    each = f"FROM generate_series(1, {number}) AS n"
    market.sql(f"INSERT INTO orders (id, delivered_at) SELECT n, :at {each}", at=MONDAY)
    market.sql(f"INSERT INTO orders (id) SELECT {number} + n {each}")
    market.sql(f"INSERT INTO disputes (id, order_id, opened_at) SELECT n, {number} + n, :at {each}", at=MONDAY)
    market.sql(f"INSERT INTO refunds (id, order_id, started_at) SELECT n, {number} + n, :at {each}", at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.sweep_all(at=MONDAY + 30 * DAY)
    kind = market.wiring.rulebook.kind(kind_name)
    with writing(engine) as connection:
        chosen = select(deadlines.c.id, deadlines.c.subject_id).where(deadlines.c.kind == kind_name)
        rows = connection.execute(chosen.order_by(deadlines.c.id).limit(page)).all()
        keys = keys_of([row.subject_id for row in rows], kind.subject_key)
        back = {"orders": {"return_status": "open"}, "disputes": {"status": "awaiting_seller"}, "refunds": {"late_since": None}}
        given_back = update(kind.subject).where(among(kind.subject_key, keys)).values(back[kind.subject.name])
        connection.execute(given_back)
        before = _deadlines_read(connection)
        assert len(claims.still_true(connection, kind, rows)) == page
        assert _deadlines_read(connection) - before <= 10 * number
    engine.dispose()


def _deadlines_read(connection: Connection) -> int:
    counted = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'clock_deadlines'"
    return int(connection.exec_driver_sql(counted).scalar_one())
