"""Shops whose tables were there first: each plays the same cases as the default schema, through the same engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import inspect

from returnclock.cli import cli
from returnclock.mapping.attaching import attached
from returnclock.mapping.checking import check_mapping
from returnclock.tables.clock import CLOCK_TABLES, changes
from tests.database.market import DAY, HOUR, MONDAY, SECOND
from tests.system.schemas import SHOPS, Shop

FIVE_DAYS = MONDAY + 5 * DAY
WINDOW_ENDS = MONDAY.replace(hour=0) + 16 * DAY  # the fifteenth day after the delivery is over, in the market's zone


@pytest.fixture(scope="module", params=SHOPS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One database for all cases of a shop: it is made and migrated once."""
    kind = SHOPS[request.param]
    server = request.getfixturevalue({"postgresql": "postgres", "mariadb": "mariadb"}[kind.server])
    shop = kind(server.create_database(), tmp_path_factory.mktemp(kind.title))
    yield shop
    shop.engine.dispose()


@pytest.fixture
def shop(opened: Shop) -> Shop:
    opened.empty()
    return opened


def found(shop: Shop, at: Any = None) -> dict[str, Any]:
    return shop.run("reconcile", at=at)


def test_only_our_own_tables_are_made_and_no_row_of_the_shop_changes(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY)
    before, there = shop.snapshot(), set(inspect(shop.engine).get_table_names())
    assert {"sellers", "buyers", "orders", "disputes", "refunds"} & there == set()
    assert set(CLOCK_TABLES) <= there
    found(shop, MONDAY + HOUR)
    assert shop.states("return_window", order) == ["running"]
    assert shop.snapshot() == before


def test_a_silent_seller_s_dispute_is_escalated_and_never_before_its_time(shop: Shop) -> None:
    dispute = shop.open_dispute(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    assert shop.deadline("seller_response", dispute).due_at == FIVE_DAYS
    assert shop.run("escalate-disputes", at=FIVE_DAYS - SECOND)["changed"] == 0
    before = shop.status(dispute)
    assert shop.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 1
    assert shop.states("seller_response", dispute) == ["fired"]
    assert shop.status(dispute) == (shop.escalated_as or before)
    assert shop.events("seller_response", dispute) == ["deadline:stamped", "dispute:escalated"]


def test_an_outcome_happens_once_whether_or_not_the_shop_has_a_column_for_it(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY)
    dispute, refund = shop.open_dispute(shop.order(), MONDAY), shop.start_refund(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    assert shop.sweep_all(at=MONDAY + 40 * DAY) == 4  # the answer, the window, the refund and the offer of mediation
    for later in range(3):
        found(shop, MONDAY + (41 + later) * DAY)
        assert shop.sweep_all() == 0
    assert shop.events("seller_response", dispute).count("dispute:escalated") == 1
    assert shop.events("return_window", order).count("return_window:expired") == 1
    assert shop.events("refund_completion", refund).count("refund:late") == 1
    assert set(shop.open_problems()) <= {"overdue_start"}  # two of the orders were never delivered


def test_an_answer_meets_the_deadline_and_a_new_turn_runs_again_in_full(shop: Shop) -> None:
    dispute = shop.open_dispute(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    shop.say(dispute, "accepted")
    found(shop, MONDAY + DAY)
    assert shop.states("seller_response", dispute) == ["met"]
    assert shop.sweep_all(at=FIVE_DAYS + DAY) == 0

    shop.say(dispute, "awaiting_seller")
    found(shop)
    assert shop.deadline("seller_response", dispute).due_at == FIVE_DAYS + 6 * DAY
    assert shop.run("escalate-disputes", at=FIVE_DAYS + 6 * DAY)["changed"] == 1


def test_an_answer_that_nobody_told_of_wins_over_a_deadline_that_is_due(shop: Shop) -> None:
    dispute = shop.open_dispute(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    shop.say(dispute, "accepted")
    assert shop.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 0
    found(shop)
    assert shop.states("seller_response", dispute) == ["met"]


def test_the_return_window_opens_with_the_last_parcel_and_expires(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY - 3 * DAY, None)
    found(shop, MONDAY - 2 * DAY)
    assert shop.deadlines("return_window", order) == []

    shop.deliver(order, MONDAY - 3 * DAY, MONDAY)
    found(shop, MONDAY + HOUR)
    assert shop.deadline("return_window", order).starts_at == MONDAY
    assert shop.run("expire-return-windows", at=WINDOW_ENDS - SECOND)["changed"] == 0
    assert shop.run("expire-return-windows", at=WINDOW_ENDS)["changed"] == 1


def test_a_dispute_stops_the_return_window(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY)
    found(shop, MONDAY + HOUR)
    shop.open_dispute(order, MONDAY + DAY)
    assert shop.run("expire-return-windows", at=WINDOW_ENDS)["changed"] == 0
    found(shop)
    assert shop.states("return_window", order) == ["met"]


def test_a_refund_is_late_once_and_a_completed_one_never(shop: Shop) -> None:
    late, done = shop.start_refund(shop.order(), MONDAY), shop.start_refund(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    shop.complete(done, MONDAY + 2 * DAY)
    due = shop.deadline("refund_completion", late).due_at
    assert due == MONDAY.replace(hour=0) + 15 * DAY  # ten business days, and its last day is over
    shop.sweep_all(at=due)
    found(shop)
    assert shop.states("refund_completion", late) == ["fired"]
    assert shop.states("refund_completion", done) == ["met"]


def test_reminders_and_outcomes_are_delivered_to_the_addresses_that_the_shop_keeps(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY)
    shop.open_dispute(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    assert shop.run("send-reminders", at=FIVE_DAYS - 2 * DAY)["queued"] == 1
    shop.run("deliver-mail")
    shop.run("escalate-disputes", at=FIVE_DAYS)
    shop.run("send-reminders", at=shop.deadline("return_window", order).remind_at)
    shop.run("deliver-mail")
    told = [str(message.parsed["To"]) for message in shop.mailer.taken]
    assert len(told) == 4
    assert sum("buyer" in address for address in told) == 2
    assert sum("seller" in address or "returns@lamps.example" in address for address in told) == 2
    assert "Bea" in shop.mailer.taken[0].parsed.get_body(("plain",)).get_content()


def test_attached_triggers_tell_of_every_change_and_go_without_a_trace(shop: Shop) -> None:
    attach(shop)
    try:
        order, other = shop.order(), shop.order()
        dispute, refund = shop.open_dispute(other, MONDAY), shop.start_refund(order, MONDAY)
        shop.run("stamp", at=MONDAY + HOUR)
        assert shop.states("seller_response", dispute) == ["running"]
        assert shop.states("refund_completion", refund) == ["running"]
        shop.deliver(order, MONDAY)
        shop.deliver(other, MONDAY)
        shop.run("stamp")
        assert shop.states("return_window", order) == ["running"]
        assert shop.states("return_window", other) == []
        shop.say(dispute, "accepted")
        shop.complete(refund, MONDAY + DAY)
        shop.open_dispute(order, MONDAY + DAY)
        shop.run("stamp", at=MONDAY + DAY)
        assert shop.states("seller_response", dispute) == ["met"]
        assert shop.states("refund_completion", refund) == ["met"]
        assert shop.states("return_window", order) == ["met"]
    finally:
        attach(shop, "--remove")
    shop.open_dispute(shop.order(), MONDAY)
    assert shop.count(changes) == 0
    with shop.engine.connect() as connection:
        assert attached(connection) == {}


def test_a_rewrite_with_equal_values_notes_nothing(shop: Shop) -> None:
    order = shop.order()
    shop.deliver(order, MONDAY)
    attach(shop)
    try:
        shop.rewrite()
        assert shop.count(changes) == 0
    finally:
        attach(shop, "--remove")


def attach(shop: Shop, *options: str) -> None:
    done = CliRunner().invoke(cli, ["attach", "--yes", *options], env=shop.environ(), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_nothing_is_attached_without_being_asked(shop: Shop) -> None:
    done = CliRunner().invoke(cli, ["attach"], env=shop.environ())
    assert done.exit_code == 4
    assert "CREATE TRIGGER clock_orders_insert" in done.output
    with shop.engine.connect() as connection:
        assert attached(connection) == {}


def test_explain_tells_the_story_of_a_row_of_the_shop(shop: Shop) -> None:
    from returnclock.database import reading
    from returnclock.explain import explain

    dispute = shop.open_dispute(shop.order(), MONDAY)
    found(shop, MONDAY + HOUR)
    book, mail = shop.wiring.rulebook, shop.wiring.settings.mail
    with reading(shop.engine) as connection:
        told = explain(connection, book, mail, "disputes", str(dispute), MONDAY + timedelta(hours=2))
    (story,) = told.stories
    assert story.steps and "dispute:escalated at 2026-03-07 10:00:00 UTC" in story.next
    by_its_own_name = {"Spree": "spree_return_authorizations"}.get(shop.title, "disputes")
    with reading(shop.engine) as connection:
        assert explain(connection, book, mail, by_its_own_name, str(dispute), MONDAY).stories


def test_a_mapping_of_the_documentation_has_no_grave_fault(shop: Shop) -> None:
    found = check_mapping(shop.engine, shop.wiring.settings.market, shop.wiring.rulebook.market)
    assert [finding.said for finding in found if "not attached" not in finding.said] == shop.known_faults
