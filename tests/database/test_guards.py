"""Amnesty, burst caps and pauses: what keeps a deadline that is due from taking effect, and what does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from returnclock import health, pauses
from returnclock.database import reading, writing
from returnclock.errors import DeadlinesLate, Refused, StillPaused
from returnclock.ledger import Hand
from returnclock.tables.clock import events
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
FIRST, LAST = DUE - 2 * DAY, DUE - DAY
GUARDED = '[ops]\nwarning_lead = "24 hours"\n'
SPARED = 25 * HOUR  # the lead, and an hour for the warning to get out


@pytest.fixture
def dispute(market: Market) -> int:
    market.configure(GUARDED)
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    return dispute


def warn(market: Market, *moments: object) -> None:
    for moment in moments:
        market.run("send-reminders", at=moment)  # type: ignore[arg-type]
        market.run("deliver-mail", at=moment + 7 * SECOND)  # type: ignore[operator]


def counts(market: Market) -> tuple[dict[str, int], dict[str, int]]:
    with reading(market.engine) as connection:
        now = market.clock.now(connection)
        return health.unwarned(connection, market.wiring.rulebook, now), health.spared(connection)


def test_in_normal_running_nothing_changes(market: Market, dispute: int) -> None:
    warn(market, FIRST, LAST)

    assert market.sweep_all(at=DUE) == 1
    assert market.events("seller_response", dispute).count("deadline:spared") == 0


@pytest.mark.parametrize("policy", ['remind = ["1 day"]', 'remind = ["30 minutes"]'])
def test_a_market_whose_only_reminder_is_shorter_than_the_lead_runs_on_time(market: Market, policy: str) -> None:
    market.configure(f"{GUARDED}[policy.seller_response]\n{policy}\n")
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    warn(market, market.deadline("seller_response", dispute).remind_at)

    assert market.sweep_all(at=DUE) == 1


def test_after_an_outage_who_was_not_warned_is_warned_first_and_told_the_effective_date(market: Market, dispute: int) -> None:
    back = DUE + HOUR
    assert market.sweep_all(at=back) == 0
    market.run("deliver-mail")

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.state, deadline.promised_at, deadline.due_at) == ("running", DUE, back + SPARED)
    assert [row.notice for row in market.notices()] == ["warning"]
    (mailed,) = market.mailer.taken
    assert "by Sunday 8 March 2026, 12:00 (UTC)" in " ".join(mailed.text.split()) or "Sun 8 March 2026, 12:00" in mailed.text
    assert market.sweep_all(at=back + SPARED - SECOND) == 0
    assert market.sweep_all(at=back + SPARED) == 1
    assert market.events("seller_response", dispute)[1:] == ["deadline:spared", "notice:sent", "dispute:escalated"]


@pytest.mark.parametrize(
    ("remind", "granted"),
    [('["2 days", "1 day"]', SPARED), ('["1 day"]', SPARED), ('["30 hours"]', SPARED), ('["12 hours"]', 12.5 * HOUR)],
)
def test_who_was_not_warned_gets_what_a_reminder_in_time_would_have_left(
    market: Market, remind: str, granted: timedelta
) -> None:
    market.configure(f"{GUARDED}[policy.seller_response]\nremind = {remind}\n")
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE + HOUR)
    assert market.deadline("seller_response", dispute).due_at == DUE + HOUR + granted


def test_amnesty_is_granted_once_though_the_mail_server_stays_down(market: Market, dispute: int) -> None:
    market.sweep_all(at=DUE)
    assert counts(market)[1] == {"seller_response": 1}

    assert market.sweep_all(at=DUE + SPARED) == 1
    assert market.row("disputes", dispute).status == "escalated"


@pytest.mark.parametrize(("sent", "spared"), [(DUE - 24 * HOUR, False), (DUE - 24 * HOUR + SECOND, True)])
def test_a_warning_counts_that_was_out_a_day_before(market: Market, dispute: int, sent: object, spared: bool) -> None:
    market.run("send-reminders", at=FIRST)
    market.run("deliver-mail", at=sent)  # type: ignore[arg-type]

    assert market.sweep_all(at=DUE) == (0 if spared else 1)


def test_who_was_warned_late_gets_the_rest_of_the_day_and_no_second_warning(market: Market, dispute: int) -> None:
    market.run("send-reminders", at=LAST)
    market.run("deliver-mail", at=DUE - 10 * HOUR)
    assert market.sweep_all(at=DUE) == 0

    assert market.deadline("seller_response", dispute).due_at == DUE + 14 * HOUR
    assert market.notices(notice="warning") == []
    assert market.sweep_all(at=DUE + 14 * HOUR) == 1


def test_who_was_warned_late_and_has_had_the_time_since_is_not_spared(market: Market, dispute: int) -> None:
    market.run("send-reminders", at=LAST)
    market.run("deliver-mail", at=DUE - 10 * HOUR)

    assert market.sweep_all(at=DUE + 14 * HOUR) == 1


def test_a_reminder_that_was_past_when_the_row_was_seen_was_never_owed(market: Market) -> None:
    """The first example of the README: a dispute of five days ago that is due in ten seconds."""
    market.configure(GUARDED)
    market.dispute(opened_at=MONDAY - 5 * DAY + 10 * SECOND)
    market.run("stamp", at=MONDAY)

    assert market.sweep_all(at=MONDAY + 10 * SECOND) == 1


def test_a_kind_without_reminders_fires_at_its_time(market: Market) -> None:
    market.configure(GUARDED)
    market.refund(inspected_at=MONDAY, status="clearing")
    market.run("stamp", at=MONDAY)

    assert market.run("flag-late-refunds", at=MONDAY + 20 * DAY)["changed"] == 2


def test_who_has_no_address_is_not_waited_for_and_who_was_refused_is(market: Market) -> None:
    market.configure(GUARDED)
    nobody = market.insert("sellers", name="Ana")
    unreachable = market.dispute(order_id=market.order(seller_id=nobody))
    refused = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=FIRST)
    market.sql(
        "UPDATE clock_outbox SET state = 'dead', recipient = 'a@b.example' WHERE deadline_id <> :id",
        id=market.deadline("seller_response", unreachable).id,
    )
    market.run("deliver-mail", at=FIRST)

    assert market.sweep_all(at=DUE) == 1
    assert market.row("disputes", unreachable).status == "escalated"
    assert market.row("disputes", refused).status == "awaiting_seller"


def test_a_warning_of_an_earlier_round_does_not_count(market: Market, dispute: int) -> None:
    warn(market, FIRST, LAST)
    market.run("escalate-disputes", at=DUE)
    market.update("disputes", dispute, status="awaiting_seller")
    market.run("stamp", at=DUE + DAY)

    assert market.sweep_all(at=DUE + 6 * DAY) == 0


def test_a_party_that_answers_the_warning_has_met_it(market: Market, dispute: int) -> None:
    market.sweep_all(at=DUE)
    market.update("disputes", dispute, status="accepted")
    market.run("stamp")

    assert market.sweep_all(at=DUE + SPARED) == 0
    assert market.states("seller_response", dispute) == ["met"]


def test_unwarned_deadlines_are_counted_before_they_are_due(market: Market, dispute: int) -> None:
    market.clock.at = DUE - 24 * HOUR - SECOND
    assert counts(market) == ({}, {})
    market.clock.at = DUE - 24 * HOUR
    assert counts(market) == ({"seller_response": 1}, {})


# Burst caps


def test_no_more_of_a_kind_fire_within_a_minute_than_the_cap_allows(market: Market) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nburst_a_minute = 3\n')
    for _ in range(8):
        market.dispute()
    market.run("stamp", at=MONDAY)
    fired = [
        market.run("escalate-disputes", at=DUE + timedelta(seconds=second))["changed"] for second in (0, 30, 59, 60, 90, 120)
    ]

    assert fired == [3, 0, 0, 3, 0, 2]


# Pauses


def begin(market: Market, what: str, name: str, until: object = None) -> None:
    with writing(market.engine) as connection:
        pauses.begin(connection, Hand("maria"), market.clock.at, what, name, "the rules are wrong", until)  # type: ignore[arg-type]


def end(market: Market, what: str, name: str) -> int:
    with writing(market.engine) as connection:
        return pauses.end(connection, Hand("jo"), market.clock.at, what, name, "mended")


def test_a_task_that_rests_does_nothing_and_loses_nothing(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    begin(market, "task", "escalate-disputes")
    result = market.run("escalate-disputes", at=DUE)

    assert (result["changed"], "by maria: the rules are wrong" in result["paused"]) == (0, True)
    with pytest.raises(Refused, match="returnclock unpause escalate-disputes"):
        market.run("escalate-disputes", trigger="cli", actor="jo")
    assert end(market, "task", "escalate-disputes") == 1
    assert market.run("escalate-disputes")["changed"] == 1
    assert [row.event for row in market.rows(events) if row.event.startswith("pause")] == ["pause:begun", "pause:ended"]
    assert market.row("disputes", dispute).status == "escalated"


def test_each_of_two_pauses_that_overlap_has_its_own_end_in_the_ledger(market: Market) -> None:
    begin(market, "task", "escalate-disputes")
    begin(market, "task", "escalate-disputes")
    assert end(market, "task", "escalate-disputes") == 2
    told = [(row.event, row.detail["pause"]) for row in market.rows(events)]
    first, second = sorted({number for _, number in told})
    assert told == [("pause:begun", first), ("pause:begun", second), ("pause:ended", first), ("pause:ended", second)]


def test_a_kind_that_rests_neither_fires_nor_reminds_and_the_kinds_beside_it_do(market: Market) -> None:
    market.dispute()
    market.order(delivered_at=MONDAY - 11 * DAY)
    market.run("stamp", at=MONDAY)
    begin(market, "kind", "seller_response", until=DUE + DAY)

    assert market.run("send-reminders", at=FIRST)["by_kind"].keys() == {"return_window"}
    assert market.run("escalate-disputes", at=DUE + DAY - SECOND)["changed"] == 0
    assert market.run("escalate-disputes", at=DUE + DAY)["changed"] == 1


def test_a_pause_is_an_alarm_once_it_stands_too_long(market: Market) -> None:
    market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE - HOUR / 2
    begin(market, "kind", "seller_response")

    # Half an hour late, and on purpose: that alone is no alarm within the hour.
    assert market.run("audit", at=DUE + HOUR / 2)["backlog"] == 0
    with pytest.raises(DeadlinesLate, match="not enforced"):
        market.run("audit", at=DUE + HOUR / 2 + SECOND)
    end(market, "kind", "seller_response")
    market.run("escalate-disputes")
    begin(market, "task", "purge")
    market.run("audit", at=DUE + HOUR)
    with pytest.raises(StillPaused, match="purge is paused since"):
        market.run("audit", at=DUE + 3 * HOUR)


def test_a_reminder_of_the_former_date_is_no_warning_of_the_new_one(market: Market) -> None:
    market.configure('[ops]\nwarning_lead = "24 hours"\n')
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=FIRST)
    market.run("deliver-mail")
    Operator(market).extend("disputes", dispute, at=FIRST + HOUR, add="20 days")

    later = market.deadline("seller_response", dispute)
    assert market.run("escalate-disputes", at=later.due_at)["changed"] == 0
    assert market.deadline("seller_response", dispute).spared_at == later.due_at


@pytest.mark.parametrize("waited", [14 * HOUR, 14 * HOUR - SECOND])
def test_a_dry_run_says_who_would_be_spared(market: Market, dispute: int, waited: timedelta) -> None:
    market.run("send-reminders", at=LAST)
    market.run("deliver-mail", at=DUE - 10 * HOUR)  # too late; the rest of the day is granted, and ends fourteen hours later
    market.clock.at = DUE + waited
    foretold = market.run("escalate-disputes", dry_run=True)
    done = market.run("escalate-disputes")
    assert [foretold[name] for name in ("changed", "skipped")] == [done[name] for name in ("changed", "skipped")]


def test_a_dry_run_for_a_time_to_come_takes_reminders_that_are_to_come_for_sent(market: Market, dispute: int) -> None:
    foretold = market.run("escalate-disputes", dry_run=True, at_time=DUE, trigger="cli")
    warn(market, FIRST, LAST)
    done = market.run("escalate-disputes", at=DUE)
    assert [foretold[name] for name in ("at", "changed", "skipped")] == [done[name] for name in ("at", "changed", "skipped")]


def test_a_dry_run_for_a_time_to_come_knows_of_reminders_that_are_overdue(market: Market, dispute: int) -> None:
    market.clock.at = DUE - HOUR
    foretold = market.run("escalate-disputes", dry_run=True, at_time=DUE, trigger="cli")
    assert (foretold["changed"], foretold["skipped"]) == (0, 1)


def test_a_dry_run_keeps_its_limit_over_all_kinds(market: Market) -> None:
    for _ in range(4):
        market.refund()
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + 30 * DAY
    foretold = market.run("flag-late-refunds", dry_run=True, limit=6)["changed"]
    assert foretold == market.run("flag-late-refunds", limit=6)["changed"] == 6


def test_a_short_extension_that_leaves_no_time_for_a_reminder_keeps_the_warnings_that_are_out(
    market: Market, dispute: int
) -> None:
    warn(market, FIRST, LAST)
    Operator(market).extend("disputes", dispute, at=DUE - 2 * HOUR, add="4 hours")
    assert market.run("escalate-disputes", at=DUE + 4 * HOUR - SECOND)["changed"] == 0
    assert market.run("escalate-disputes", at=DUE + 4 * HOUR)["changed"] == 1


def test_deadlines_that_are_not_true_any_more_do_not_use_up_the_cap(market: Market) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nburst_a_minute = 2\n')
    stale = [market.dispute(), market.dispute()]
    good = market.dispute(opened_at=MONDAY + HOUR)
    market.run("stamp", at=MONDAY + HOUR)
    for dispute in stale:  # a mistake, which is reported; until it is mended the deadline stays, and cannot fire
        market.update("disputes", dispute, awaiting_seller_since=MONDAY + 3650 * DAY)
    market.run("stamp")

    assert market.run("escalate-disputes", at=DUE + HOUR)["changed"] == 1
    assert market.states("seller_response", good) == ["fired"]


def test_amnesty_after_a_long_hold_gives_the_time_of_a_warning_and_not_the_hold_once_more(
    market: Market, operator: Operator
) -> None:
    market.configure(GUARDED)
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=DUE - 12 * HOUR)  # the last one; the mail server is down
    operator.hold("disputes", dispute, at=DUE - 12 * HOUR)
    operator.resume("disputes", dispute, at=DUE - 12 * HOUR + 30 * DAY)
    due = DUE + 30 * DAY
    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at) == (due, due)
    market.run("escalate-disputes", at=due)

    spared = market.deadline("seller_response", dispute)
    assert (spared.state, spared.due_at) == ("running", due + SPARED)
