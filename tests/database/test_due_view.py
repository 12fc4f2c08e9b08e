"""The view clock_due: what a front end shows of a row's deadlines, found at once among thousands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, text, update

from returnclock import schema
from returnclock.database import writing
from returnclock.engines import open_engine
from returnclock.tables.clock import events, policies
from returnclock.tables.market import disputes
from returnclock.tables.types import read_instant
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

BEFORE = str(ScriptDirectory.from_config(schema._config()).get_revision("0004").down_revision)
COLUMNS = (
    *("deadline_id", "table_name", "subject_id", "kind", "party", "state", "starts_at", "promised_at", "due_at", "last_day"),
    *("ends", "time_zone", "remind_at", "explanation", "steps"),
)


def due(market: Market, table: str, row_id: Any) -> list[dict[str, Any]]:
    """What a front end reads of a row, with its own connection."""
    asked = text("SELECT * FROM clock_due WHERE table_name = :table AND subject_id = :id ORDER BY deadline_id")
    with market.front_end.connect() as connection:
        return [dict(row) for row in connection.execute(asked, {"table": table, "id": str(row_id)}).mappings()]


def one(market: Market, table: str, row_id: Any, kind: str) -> dict[str, Any]:
    (found,) = (row for row in due(market, table, row_id) if row["kind"] == kind)
    return found


def steps(row: dict[str, Any]) -> list[str]:
    told = row["steps"]
    read = json.loads(told) if isinstance(told, str) else told
    assert isinstance(read, list)
    return read


def test_a_new_dispute_shows_its_dates_and_how_they_came_about(market: Market) -> None:
    seller = market.insert("sellers", time_zone="Europe/Lisbon")
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY + HOUR)

    row = one(market, "disputes", dispute, "seller_response")
    assert tuple(row) == COLUMNS
    assert (row["subject_id"], row["party"], row["state"]) == (str(dispute), "seller", "running")
    instants = [read_instant(row[name]) for name in ("starts_at", "promised_at", "due_at", "remind_at")]
    assert instants == [MONDAY, MONDAY + 5 * DAY, MONDAY + 5 * DAY, MONDAY + 3 * DAY]
    assert (row["last_day"], row["ends"], row["time_zone"]) == ("2026-03-07", "same_time", "Europe/Lisbon")
    assert row["explanation"] == "5 days, until 2026-03-07 (Europe/Lisbon)"
    assert steps(row)[0] == "Starts Mon 2 Mar 2026 10:00 (Europe/Lisbon)."


def test_the_explanation_names_calendar_and_grace(market: Market) -> None:
    market.configure('[policy.refund_completion]\ngrace = "2 business days"\n')
    refund = market.refund(order_id=market.order(country="DE", subdivision="BY"))
    market.run("stamp", at=MONDAY + HOUR)

    row = one(market, "refunds", refund, "refund_completion")
    assert row["explanation"] == (
        "10 business days, until the end of 2026-03-16 (UTC), calendar DE-BY, then a grace of 2 business days"
    )
    assert read_instant(row["due_at"]) - read_instant(row["promised_at"]) == 2 * DAY  # type: ignore[operator]


def test_a_row_counted_anew_shows_the_steps_of_the_latest_counting(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY + HOUR)
    for status in ("awaiting_buyer", "awaiting_seller"):
        market.update("disputes", dispute, status=status)
        market.run("stamp", at=market.clock.at + DAY)

    row = one(market, "disputes", dispute, "seller_response")
    assert read_instant(row["promised_at"]) == MONDAY + HOUR + 7 * DAY
    assert "counted anew from when it ran again" in steps(row)[0]


def test_a_deadline_without_a_story_is_still_shown(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    market.sql("DELETE FROM clock_events")

    assert one(market, "disputes", dispute, "seller_response")["steps"] is None


def test_a_kind_of_the_shop_s_own_names_its_table(market: Market) -> None:
    market.configure('kinds = ["tests.database.refused_dispute:REFUSED_DISPUTE"]\n')
    dispute = market.dispute(status="refused", seller_replied_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)

    assert one(market, "disputes", dispute, "refused_dispute")["party"] == "buyer"


def test_reconcile_names_the_table_that_the_version_before_did_not(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    with market.transaction() as connection:
        connection.execute(update(policies).values(table_name=None))
    assert due(market, "disputes", dispute) == []

    market.run("reconcile")
    assert len(due(market, "disputes", dispute)) == 1


BOUND = {"seller_response": "disputes", "return_window": "orders", "refund_completion": "refunds"}
DEFINITION = '{"period": "5 days", "ends": "same_time", "roll": "none", "grace": "0 days"}'
STORY = '{"steps": ["Starts."]}'
SCHEDULE = '{"zone": "UTC", "calendar": "US", "last_day": "2026-03-07", "reminders": []}'


def test_the_upgrade_shows_what_the_version_before_has_stamped(database_url: str, tmp_path: Path) -> None:
    engine = open_engine(database_url)
    with writing(engine) as connection:
        command.upgrade(schema._config(connection), BEFORE)
    moment = "'2026-03-02 10:00:00.000000'" if engine.dialect.name != "sqlite" else "'2026-03-02 10:00:00.000000Z'"
    with writing(engine) as connection:
        for number, kind in enumerate(BOUND, 1):
            for statement in (
                f"INSERT INTO clock_policies (id, kind, digest, definition) VALUES ({number}, '{kind}', 'd', '{DEFINITION}')",
                "INSERT INTO clock_deadlines (id, kind, subject_id, party, starts_at, promised_at, due_at, policy_id, schedule,"
                f" stamped_at) VALUES ({number}, '{kind}', '9', 'seller', {moment}, {moment}, {moment}, {number},"
                f" '{SCHEDULE}', {moment})",
                "INSERT INTO clock_events (id, deadline_id, kind, subject_id, event, at, actor, detail)"
                f" VALUES ({number}, {number}, '{kind}', '9', 'deadline:stamped', {moment}, 'clock', '{STORY}')",
            ):
                connection.exec_driver_sql(statement)
    schema.upgrade(engine)

    market = Market(engine, tmp_path)
    for kind, table in BOUND.items():
        row = one(market, table, 9, kind)
        assert (row["explanation"], steps(row)) == ("5 days, until 2026-03-07 (UTC)", ["Starts."])
    names = {index["name"] for table in ("clock_deadlines", "clock_events") for index in inspect(engine).get_indexes(table)}
    assert names >= {
        "ix_clock_deadlines_due",
        "ix_clock_deadlines_remind",
        "ix_clock_events_deadline",
    }
    engine.dispose()


PLANS = {
    "sqlite": ("EXPLAIN QUERY PLAN ", "SCAN d", "sqlite_autoindex_clock_deadlines_1 (subject_id=?)"),
    "postgresql": ("EXPLAIN ", "Seq Scan on clock_deadlines", "uq_clock_deadlines_subject_id"),
    "mariadb": ("EXPLAIN FORMAT=JSON ", '"access_type": "ALL"', "uq_clock_deadlines_subject_id"),
}
THOUSANDS = 4000


def test_one_row_among_thousands_is_found_by_index(fresh_market: Market) -> None:
    market = fresh_market  # statistics that are gathered stay, and would change the plans of other tests
    order = market.order()
    rows = [{"id": number, "order_id": order, "opened_at": MONDAY} for number in range(1, THOUSANDS + 1)]
    with market.transaction() as connection:
        connection.execute(insert(disputes), rows)
    market.run("stamp", at=MONDAY + HOUR)
    explain, whole_table, subject = PLANS[market.dialect]
    for statistics in (False, True):
        if statistics:
            names = "clock_deadlines, clock_events, clock_policies"
            market.sql({"mariadb": f"ANALYZE TABLE {names}", "postgresql": f"ANALYZE {names}"}.get(market.dialect, "ANALYZE"))
        with market.front_end.connect() as connection:
            asked = explain + "SELECT * FROM clock_due WHERE table_name = 'disputes' AND subject_id = '2000'"
            plan = "\n".join(" ".join(map(str, row)) for row in connection.execute(text(asked)))
        assert whole_table not in plan, plan
        assert subject in plan and "ix_clock_events_deadline" in plan, plan


def test_an_id_is_given_once_though_purge_took_the_newest_rows(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.update("disputes", dispute, status="accepted")
    market.run("stamp")
    (old,) = due(market, "disputes", dispute)
    newest = max(row.id for row in market.rows(events))
    market.run("purge", at=MONDAY + 800 * DAY)
    assert due(market, "disputes", dispute) == []

    again = market.dispute(opened_at=market.clock.at)
    market.run("stamp")
    (new,) = due(market, "disputes", again)
    assert new["deadline_id"] > old["deadline_id"]
    assert min(row.id for row in market.rows(events)) > newest


def test_every_column_of_the_view_says_what_it_is(postgres_market: Market) -> None:
    asked = text(
        "SELECT column_name, col_description('clock_due'::regclass, ordinal_position)"
        " FROM information_schema.columns WHERE table_name = 'clock_due' ORDER BY ordinal_position"
    )
    with postgres_market.transaction() as connection:
        said = dict(tuple(row) for row in connection.execute(asked))
    assert tuple(said) == COLUMNS
    assert all(said.values())


@pytest.mark.parametrize(
    ("until", "shown"),
    [
        (datetime(2026, 3, 25, tzinfo=UTC), ("2026-03-24", "end_of_day", "15 days, until the end of 2026-03-24 (UTC)")),
        (datetime(2026, 3, 25, 9, tzinfo=UTC), ("2026-03-25", "same_time", "15 days, until 2026-03-25 (UTC)")),
    ],
)
def test_a_window_that_was_moved_by_hand_never_shows_more_of_a_day_than_there_is(
    market: Market, operator: Operator, until: datetime, shown: tuple[str, str, str]
) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    operator.extend("orders", order, until=until)

    row = one(market, "orders", order, "return_window")
    assert (row["last_day"], row["ends"], row["explanation"]) == shown
    operator.extend("orders", order, until=datetime(2026, 3, 27, tzinfo=UTC))
    row = one(market, "orders", order, "return_window")
    assert (row["last_day"], row["ends"]) == ("2026-03-26", "end_of_day")
    assert market.run("expire-return-windows", at=datetime(2026, 3, 26, 23, 59, 59, tzinfo=UTC))["changed"] == 0
    assert market.run("expire-return-windows", at=datetime(2026, 3, 27, tzinfo=UTC))["changed"] == 1


def test_a_deadline_that_is_put_off_without_a_grace_speaks_of_none(market: Market) -> None:
    market.configure('[ops]\nwarning_lead = "24 hours"\n')
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY + HOUR)  # nobody was warned
    shown = one(market, "disputes", dispute, "seller_response")
    assert shown["explanation"] == "5 days, until 2026-03-07 (UTC), in effect later than that"


def test_a_hold_within_the_grace_tells_the_effect_that_it_leads_to(market: Market, operator: Operator) -> None:
    market.configure('[policy.seller_response]\ngrace = "6 hours"\n')
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    due = MONDAY + 5 * DAY
    operator.hold("disputes", dispute, at=due + HOUR)
    operator.resume("disputes", dispute, at=due + 3 * DAY)
    assert steps(one(market, "disputes", dispute, "seller_response"))[-1].startswith("Takes effect Tue 10 Mar 2026 15:00")


def test_a_window_that_runs_again_tells_the_date_and_the_effect_that_it_has(market: Market, operator: Operator) -> None:
    market.configure('[policy.return_window]\ngrace = "2 days"\n')
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    operator.extend("orders", order, add="3 days", at=MONDAY + HOUR)
    for days, status in ((1, "requested"), (2, "open")):
        market.update("orders", order, return_status=status)
        market.run("stamp", at=MONDAY + days * DAY)
    told = steps(one(market, "orders", order, "return_window"))
    assert told[-1].endswith("keeps its date: 2026-03-21 00:00 UTC. It takes effect 2026-03-23 00:00 UTC.")
    assert not [step for step in told if step.startswith("Takes effect")]
