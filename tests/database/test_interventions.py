"""Extend, fire now and undo: by hand, with a reason, and only where it is right."""

from __future__ import annotations

from datetime import timedelta
from math import inf

import pytest
from sqlalchemy import update

from returnclock.errors import BadPeriod, NotFound, Refused
from returnclock.ops import targets
from returnclock.tables.clock import events, outbox
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


@pytest.mark.parametrize(
    ("how", "later"), [({"add": "2"}, 2 * DAY), ({"add": "6 hours"}, 6 * HOUR), ({"until": DUE + DAY}, DAY)]
)
def test_an_extension_moves_the_date_and_its_reminders(
    market: Market, operator: Operator, dispute: int, how: dict, later: timedelta
) -> None:  # type: ignore[type-arg]
    assert operator.extend("disputes", dispute, at=MONDAY + DAY, **how)["extended"] == 1

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at, deadline.remind_at) == (DUE + later, DUE + later, DUE + later - 2 * DAY)
    assert market.events("seller_response", dispute) == ["deadline:stamped", "deadline:extended"]
    assert market.sweep_all(at=DUE + later - SECOND) == 0
    assert market.sweep_all(at=DUE + later) == 1


def test_an_extension_keeps_business_days_and_the_end_of_the_day(market: Market, operator: Operator) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    operator.extend("refunds", refund, add="5")

    # Monday the 16th and five business days; the offer of mediation is counted in weeks, and the stage in business days.
    assert market.deadline("refund_completion", refund).due_at == MONDAY.replace(day=24, hour=0)
    assert market.deadline("refund_mediation", refund).due_at == MONDAY.replace(month=4, day=21, hour=0)


def test_no_extension_brings_a_date_forward(market: Market, operator: Operator, dispute: int) -> None:
    for until in (DUE, DUE - SECOND, MONDAY):
        with pytest.raises(Refused, match="not be later than it is"):
            operator.extend("disputes", dispute, until=until)
    with pytest.raises(BadPeriod):
        operator.extend("disputes", dispute, add="2 dayz")
    assert operator.extend("disputes", dispute, add="2", dry_run=True)["extended"] == 0
    assert market.deadline("seller_response", dispute).due_at == DUE


def test_what_is_extended_while_it_is_held_stays_held_and_keeps_both(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.extend("disputes", dispute, add="2")
    assert market.states("seller_response", dispute) == ["held"]
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)

    assert market.deadline("seller_response", dispute).due_at == DUE + 5 * DAY


def test_fire_now_acts_before_its_time_and_says_who_and_why(market: Market, operator: Operator, dispute: int) -> None:
    assert operator.fire("disputes", dispute, at=MONDAY + HOUR)["fired"] == 1

    row = market.row("disputes", dispute)
    assert (row.status, row.escalated_by, row.escalated_at) == ("escalated", "clock", MONDAY + HOUR)
    (told,) = market.rows(events, event="dispute:escalated")
    assert (told.actor, told.detail["reason"], told.detail["by"]) == ("maria", "the shop was down", "maria")
    assert [row.notice for row in market.notices()] == ["outcome", "outcome"]
    with pytest.raises(Refused):
        operator.fire("disputes", dispute)


@pytest.mark.parametrize("change", [{"status": "accepted"}, {"seller_replied_at": MONDAY + HOUR}])
def test_fire_now_fires_nothing_that_is_no_longer_true(market: Market, operator: Operator, dispute: int, change: dict) -> None:  # type: ignore[type-arg]
    market.update("disputes", dispute, **change)
    with pytest.raises(Refused, match="still true"):
        operator.fire("disputes", dispute, at=MONDAY + 2 * HOUR)
    assert market.row("disputes", dispute).escalated_at is None


def test_more_than_one_transaction_may_hold_is_refused_and_left_as_it_was(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((0.0, inf))
    monkeypatch.setattr(targets, "PAGE", 1)
    monkeypatch.setattr(targets, "monotonic", lambda: next(looks))
    other = market.dispute()
    market.run("stamp")
    with pytest.raises(Refused, match="more than one transaction does in 4 minutes"):
        operator.fire(kind="seller_response")

    assert [market.states("seller_response", one) for one in (dispute, other)] == [["running"], ["running"]]
    assert market.notices() == []


def test_fire_now_leaves_what_is_held(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute)
    with pytest.raises(Refused, match="it is held"):
        operator.fire("disputes", dispute)


def test_a_number_that_is_typed_otherwise_names_the_same_row_and_one_beyond_all_numbers_none(
    market: Market, operator: Operator, dispute: int
) -> None:
    assert operator.extend("disputes", f"00{dispute}", add="2")["extended"] == 1
    with pytest.raises(NotFound, match="no row in disputes"):
        operator.extend("disputes", "9" * 30, add="2")


def test_an_undone_escalation_is_as_it_was_and_runs_again(market: Market, operator: Operator, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")
    undone = DUE + 3 * HOUR
    result = operator.undo("disputes", dispute, at=undone)

    assert (result["undone"], result["rearmed"], result["queued"]) == (1, 1, 2)
    row, deadline = market.row("disputes", dispute), market.deadline("seller_response", dispute)
    assert (row.status, row.escalated_at, row.escalated_by) == ("awaiting_seller", None, None)
    # What the first reminder leaves: two days, to the time of day at which it was undone.
    assert (deadline.state, deadline.due_at, deadline.remind_at) == ("running", undone + 2 * DAY, undone + DAY)
    for task in ("stamp", "reconcile", "deliver-mail"):
        market.run(task)
    assert [message.parsed["Subject"] for message in market.mailer.taken[2:]] == [
        f"Correction for order {row.order_id}: the time for the seller's answer has not ended"
    ] * 2
    assert market.states("seller_response", dispute) == ["running"]
    assert market.sweep_all(at=undone + 2 * DAY - SECOND) == 0
    assert market.sweep_all(at=undone + 2 * DAY) == 1


def test_an_outcome_that_was_not_sent_yet_is_not_sent_after_it_was_undone(
    market: Market, operator: Operator, dispute: int
) -> None:
    market.run("escalate-disputes", at=DUE)
    operator.undo("disputes", dispute, at=DUE + HOUR)
    market.run("deliver-mail")

    assert [row.state for row in market.notices(notice="outcome")] == ["suppressed", "suppressed"]
    assert market.notices(notice="undone") == []  # who was told nothing is told of no correction
    assert market.mailer.taken == []


def test_who_may_have_been_told_of_an_outcome_gets_its_correction(market: Market, operator: Operator, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    seller = market.notices(notice="outcome", party="seller")[0].id
    with market.transaction() as connection:
        in_hand = {"state": "queued", "leased_by": "a worker", "leased_until": DUE + HOUR}
        connection.execute(update(outbox).where(outbox.c.id == seller).values(in_hand))

    assert operator.undo("disputes", dispute, at=DUE)["queued"] == 1
    assert [row.party for row in market.notices(notice="undone")] == ["seller"]


def test_a_correction_tells_of_no_open_date_once_the_seller_has_answered(
    market: Market, operator: Operator, dispute: int
) -> None:
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")
    operator.undo("disputes", dispute, at=DUE + HOUR)
    market.update("disputes", dispute, status="closed", seller_replied_at=DUE + HOUR)
    market.run("stamp", at=DUE + 2 * HOUR)
    market.run("deliver-mail")

    corrections = market.mailer.taken[2:]
    assert len(corrections) == 2
    assert not any("has not ended" in message.text or "time until" in message.text for message in corrections)
    assert all(message.parsed["Subject"].endswith("the time for the seller's answer") for message in corrections)


def test_what_is_undone_twice_is_corrected_once(market: Market, operator: Operator, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")
    operator.undo("disputes", dispute, at=DUE + HOUR)
    market.run("deliver-mail")
    operator.fire("disputes", dispute, at=DUE + 2 * HOUR)
    assert operator.undo("disputes", dispute, at=DUE + 3 * HOUR)["queued"] == 0
    market.run("deliver-mail")

    assert sum(message.parsed["Subject"].startswith("Correction") for message in market.mailer.taken) == 2


def test_operators_who_were_told_of_a_late_refund_get_a_correction(market: Market, operator: Operator) -> None:
    market.configure('[mail]\nops = "desk@market.example"\n')
    refund = market.refund(status="clearing", inspected_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("flag-late-refunds", at=MONDAY + 15 * DAY)
    market.run("deliver-mail")
    operator.undo("refunds", refund, at=MONDAY + 15 * DAY + HOUR)
    market.run("deliver-mail")

    corrected = [one.address for one in market.mailer.taken if one.parsed["Subject"].startswith("Correction")]
    assert "desk@market.example" in corrected


@pytest.mark.parametrize("change", [{"status": "closed"}, {"escalated_by": "buyer"}, {"escalated_at": DUE + HOUR}])
def test_what_somebody_has_changed_since_is_left_alone(market: Market, operator: Operator, dispute: int, change: dict) -> None:  # type: ignore[type-arg]
    market.run("escalate-disputes", at=DUE)
    market.update("disputes", dispute, **change)
    with pytest.raises(Refused, match="changed since"):
        operator.undo("disputes", dispute, at=DUE + HOUR)

    assert {name: getattr(market.row("disputes", dispute), name) for name in change} == change
    assert market.states("seller_response", dispute) == ["fired"]


@pytest.mark.parametrize(("after", "undone"), [(14 * DAY, True), (14 * DAY + SECOND, False)])
def test_an_action_is_undone_within_its_window_only(
    market: Market, operator: Operator, dispute: int, after: timedelta, undone: bool
) -> None:
    market.run("escalate-disputes", at=DUE)
    if not undone:
        with pytest.raises(Refused, match="longer ago"):
            operator.undo("disputes", dispute, at=DUE + after)
    else:
        assert operator.undo("disputes", dispute, at=DUE + after)["undone"] == 1


def test_what_was_there_before_comes_back_even_where_it_was_not_empty(market: Market, operator: Operator) -> None:
    """A dispute that was escalated before and reopened keeps the earlier escalation's date."""
    earlier = MONDAY - 30 * DAY
    dispute = market.dispute(escalated_at=earlier, escalated_by="buyer")
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    operator.undo("disputes", dispute, at=DUE + HOUR)

    row = market.row("disputes", dispute)
    assert (row.escalated_at, row.escalated_by) == (earlier, "buyer")


def test_many_are_undone_at_once_each_to_its_own(market: Market, operator: Operator) -> None:
    """A holiday was missing: every window of the country that expired is open again."""
    german = [market.order(delivered_at=MONDAY, country="DE") for _ in range(3)]
    french = market.order(delivered_at=MONDAY, country="FR")
    market.run("stamp", at=MONDAY)
    market.run("expire-return-windows", at=MONDAY + 20 * DAY)
    market.update("orders", german[0], return_status="requested")

    result = operator.undo(at=MONDAY + 21 * DAY, kind="return_window", country="DE")
    assert (result["matched"], result["undone"]) == (3, 2)
    assert [market.row("orders", order).return_status for order in german] == ["requested", "open", "open"]
    assert market.row("orders", french).return_status == "expired"
    assert market.row("orders", german[1]).return_expired_at is None


def test_a_flag_that_is_undone_is_taken_off_and_set_again_only_at_the_new_date(market: Market, operator: Operator) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    market.run("flag-late-refunds", at=MONDAY.replace(day=17, hour=0))
    operator.undo("refunds", refund, at=MONDAY.replace(day=17), kind="refund_completion")

    assert market.row("refunds", refund).late_since is None
    assert market.row("refunds", refund).late_stage == "inspecting"
    # It has no reminder: ten business days anew, from Tuesday the 17th.
    assert market.deadline("refund_completion", refund).due_at == MONDAY.replace(month=4, day=1, hour=0)
    market.run("stamp")
    market.run("flag-late-refunds", at=MONDAY.replace(day=31))
    assert market.row("refunds", refund).late_since is None


def test_what_was_fired_by_hand_before_its_time_gets_its_own_date_back(market: Market, operator: Operator) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    before = market.deadline("return_window", order)
    operator.fire("orders", order, at=MONDAY + DAY)
    operator.undo("orders", order, at=MONDAY + DAY + HOUR)

    after = market.deadline("return_window", order)
    same = ("promised_at", "due_at", "remind_at", "warn_by")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.schedule == before.schedule


def test_a_party_that_is_reminded_on_the_last_day_only_gets_the_whole_period_back(market: Market, operator: Operator) -> None:
    market.configure('[policy.return_window]\nperiod = "15 days"\nends = "end_of_day"\nremind = ["0 days"]\n')
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("expire-return-windows", at=MONDAY + 20 * DAY)
    operator.undo("orders", order, at=MONDAY + 20 * DAY)

    assert market.deadline("return_window", order).due_at == MONDAY.replace(month=4, day=7, hour=0)


FARTHEST = MONDAY + timedelta(days=3660)


def test_nothing_is_extended_to_more_than_ten_years_from_now(market: Market, operator: Operator, dispute: int) -> None:
    market.clock.at = MONDAY
    with pytest.raises(Refused, match="Is the year right"):
        operator.extend("disputes", dispute, until=FARTHEST + timedelta(seconds=1))
    with pytest.raises(Refused, match="more than ten years from now"):
        operator.extend("disputes", dispute, add="3656 days")
    assert market.deadline("seller_response", dispute).promised_at == DUE

    operator.extend("disputes", dispute, until=FARTHEST)
    with pytest.raises(Refused, match="more than ten years from now"):
        operator.extend("disputes", dispute, add="1 second")
    assert market.deadline("seller_response", dispute).promised_at == FARTHEST


def test_what_was_extended_as_far_as_can_be_runs_again_after_a_hold(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY)
    operator.extend("disputes", dispute, until=FARTHEST)
    operator.resume("disputes", dispute, at=MONDAY + DAY)
    assert market.deadline("seller_response", dispute).promised_at == FARTHEST + DAY


def test_a_notice_that_undo_made_untrue_is_told_as_one_that_is_not_sent(
    market: Market, operator: Operator, dispute: int
) -> None:
    market.run("escalate-disputes", at=DUE)
    (story,) = market.explain("disputes", dispute).stories
    assert "2 notice(s) wait to be delivered" in story.next
    operator.undo("disputes", dispute, at=DUE + HOUR)
    (story,) = market.explain("disputes", dispute).stories
    assert "wait to be delivered" not in story.next
    assert [bool(notice["untrue_because"]) for notice in story.notices] == [True, True]


def test_undo_keeps_the_grace_also_where_the_time_it_gives_is_hours_and_the_policy_s_days_roll(market: Market) -> None:
    market.configure(
        '[policy.seller_response]\nperiod = "3 days"\nroll = "next_business_day"\n'
        'grace = "2 business days"\nremind = ["12 hours"]\n'
    )
    operator, dispute = Operator(market), market.dispute()
    market.run("stamp", at=MONDAY)
    due = market.deadline("seller_response", dispute).due_at
    market.run("escalate-disputes", at=due)
    operator.undo("disputes", dispute, at=due + DAY)
    now = market.deadline("seller_response", dispute)
    assert now.promised_at == due + DAY + 12 * HOUR
    assert now.due_at == now.promised_at + 2 * DAY  # from a Tuesday to a Thursday
