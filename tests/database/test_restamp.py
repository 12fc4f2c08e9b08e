"""Changed rules: preview says what they would move, restamp moves it, and nobody loses a day that was promised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import update

from returnclock import calendars, ledger
from returnclock.database import writing
from returnclock.ledger import Hand
from returnclock.preview import Preview, preview
from returnclock.recount import Case
from returnclock.restamp import CHANGED_MEANWHILE, GIVEN_NOTICE, SKIPPED, Overdue, Plan, Restamped, restamp
from returnclock.tables.clock import deadlines, events, outbox, policies
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

SHORTER = '[policy.seller_response]\nperiod = "3 days"\n'
LONGER = '[policy.seller_response]\nperiod = "8 days"\n'


def previewed(market: Market) -> Preview:
    wiring = market.wiring
    return preview(wiring.engine, market.clock, wiring.rulebook)


def restamped(market: Market, overdue: Overdue = "skip", notice_days: int = 3, batch_size: int = 1000) -> Restamped:
    wiring = market.wiring
    plan = Plan(wiring.engine, market.clock, wiring.rulebook, Hand("maria"), "new terms", overdue, notice_days, batch_size)
    return restamp(plan, wiring.rulebook.kinds)


def opened(market: Market, count: int = 1, at: datetime = MONDAY) -> list[int]:
    order = market.order()
    disputes = [market.dispute(opened_at=at, order_id=order) for _ in range(count)]
    market.run("stamp", at=at)
    return disputes


def cases(found: Preview, kind: str = "seller_response") -> dict[str, int]:
    return dict(found.kinds[kind].cases)


def last_event(market: Market, dispute: int) -> Any:
    return market.rows(events, kind="seller_response", subject_id=str(dispute))[-1]


# -- what moves


def test_settings_that_have_not_changed_move_nothing(market: Market) -> None:
    opened(market, 2)
    market.refund()
    market.order(delivered_at=MONDAY)
    market.run("stamp")

    found = previewed(market)
    assert {case for kind in found.kinds.values() for case in kind.cases} == {Case.UNCHANGED}
    assert found.total_new("would start", "would fire now") == 0
    assert restamped(market).total() == 0
    assert "deadline:restamped" not in market.events()


def test_a_preview_counts_each_case_and_changes_nothing(market: Market) -> None:
    (old,) = opened(market)
    (new,) = opened(market, at=MONDAY + 3 * DAY)
    market.configure(SHORTER)
    market.clock.at = MONDAY + 3 * DAY + SECOND

    found = previewed(market)

    assert cases(found) == {Case.FIRES_NOW: 1, Case.EARLIER: 1}
    assert (found.as_json()["moves"], found.as_json()["would_fire_now"]) == (2, 1)
    (sample,) = found.kinds["seller_response"].samples[Case.FIRES_NOW]
    assert (sample["subject"], sample["before"]["due_at"], sample["after"]["due_at"]) == (
        f"disputes {old}",
        MONDAY + 5 * DAY,
        MONDAY + 3 * DAY,
    )
    assert sample["why"] == "the rule: period 5 days -> 3 days"
    assert [market.deadline("seller_response", one).due_at for one in (old, new)] == [MONDAY + 5 * DAY, MONDAY + 8 * DAY]
    assert market.sweep_all(at=MONDAY + 3 * DAY + SECOND) == 0


@pytest.mark.parametrize(
    ("offset", "case"), [(-SECOND, Case.EARLIER), (timedelta(0), Case.FIRES_NOW), (SECOND, Case.FIRES_NOW)]
)
def test_it_would_fire_now_from_the_second_on_at_which_it_would_be_due(
    sqlite_market: Market, offset: timedelta, case: Case
) -> None:
    opened(sqlite_market)
    sqlite_market.configure(SHORTER)
    sqlite_market.clock.at = MONDAY + 3 * DAY + offset

    assert cases(previewed(sqlite_market)) == {case: 1}


def test_restamp_moves_dates_policy_and_reminders_and_tells_the_ledger_both(market: Market) -> None:
    (dispute,) = opened(market)
    market.configure(LONGER)
    market.clock.at = MONDAY + HOUR

    done = restamped(market)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at, deadline.remind_at) == (
        MONDAY + 8 * DAY,
        MONDAY + 8 * DAY,
        MONDAY + 6 * DAY,
    )
    definition = {row.id: row.definition for row in market.rows(policies)}[deadline.policy_id]
    assert definition["period"] == "8 days"
    assert done.moved["seller_response"] == {Case.LATER: 1}
    told = last_event(market, dispute)
    assert (told.event, told.actor, told.at) == ("deadline:restamped", "maria", MONDAY + HOUR)
    assert told.detail["before"] | {"policy": ""} == {
        "promised_at": (MONDAY + 5 * DAY).isoformat(),
        "due_at": (MONDAY + 5 * DAY).isoformat(),
        "policy": "",
    }
    assert (told.detail["due_at"], told.detail["reason"]) == ((MONDAY + 8 * DAY).isoformat(), "new terms")
    assert told.detail["steps"]
    assert market.sweep_all(at=MONDAY + 8 * DAY - SECOND) == 0
    assert market.sweep_all(at=MONDAY + 8 * DAY) == 1


def test_a_party_that_was_reminded_of_the_moved_date_is_not_warned_once_more(market: Market) -> None:
    warned = '\n[ops]\nwarning_lead = "24 hours"\n'
    market.configure(warned)
    (dispute,) = opened(market)
    market.configure(LONGER + warned)
    market.clock.at = MONDAY + HOUR
    restamped(market)

    assert market.deadline("seller_response", dispute).warn_by == MONDAY + 7 * DAY
    market.run("send-reminders", at=MONDAY + 6 * DAY)
    market.run("deliver-mail")
    assert market.sweep_all(at=MONDAY + 8 * DAY) == 1


def test_a_second_restamp_finds_nothing_more_to_move(sqlite_market: Market) -> None:
    market = sqlite_market
    opened(market, 3)
    market.configure(LONGER)
    assert restamped(market).total() == 3
    assert restamped(market).total() == 0
    assert market.events().count("deadline:restamped") == 3


def test_a_scope_of_kinds_leaves_the_others_alone(sqlite_market: Market) -> None:
    market = sqlite_market
    opened(market)
    market.refund()
    market.run("stamp")
    market.configure(LONGER + '[policy.refund_completion]\nperiod = "12 business days"\n')
    wiring = market.wiring
    plan = Plan(wiring.engine, market.clock, wiring.rulebook, Hand("maria"), "new terms", "skip")

    done = restamp(plan, [wiring.rulebook.kind("refund_completion")])

    assert set(done.moved) == {"refund_completion"}
    assert previewed(market).total(Case.LATER) == 1


def test_other_reminders_alone_are_a_change(sqlite_market: Market) -> None:
    market = sqlite_market
    (dispute,) = opened(market)
    market.configure('[policy.seller_response]\nremind = ["3 days"]\n')

    assert cases(previewed(market)) == {Case.REMINDERS: 1}
    restamped(market)
    deadline = market.deadline("seller_response", dispute)
    assert (deadline.due_at, deadline.remind_at) == (MONDAY + 5 * DAY, MONDAY + 2 * DAY)


def test_a_reminder_after_a_restamp_is_sent_although_one_was_sent_before(market: Market) -> None:
    """The number of a reminder is that of the moments before it; the second must not take the number of the first."""
    (dispute,) = opened(market)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.run("deliver-mail")
    market.configure('[policy.seller_response]\nperiod = "8 days"\nremind = ["1 day"]\n')
    assert restamped(market).total() == 1

    assert market.run("send-reminders", at=MONDAY + 7 * DAY)["queued"] == 1
    assert len(market.notices(notice="reminder")) == 2
    assert market.deadline("seller_response", dispute).remind_at is None


def test_a_dispute_that_was_counted_anew_is_recounted_from_there(market: Market) -> None:
    (dispute,) = opened(market)
    market.update("disputes", dispute, status="awaiting_buyer")
    market.run("stamp", at=MONDAY + DAY)
    market.update("disputes", dispute, status="awaiting_seller")
    market.run("stamp", at=MONDAY + 2 * DAY)
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 7 * DAY
    assert cases(previewed(market)) == {Case.UNCHANGED: 1}
    market.configure(LONGER)

    restamped(market)

    assert market.deadline("seller_response", dispute).due_at == MONDAY + 10 * DAY


def test_a_row_of_an_older_version_that_was_counted_anew_is_recognised(sqlite_market: Market) -> None:
    market = sqlite_market
    (dispute,) = opened(market)
    for status, days in (("awaiting_buyer", 1), ("awaiting_seller", 2)):
        market.update("disputes", dispute, status=status)
        market.run("stamp", at=MONDAY + days * DAY)
    kept = market.deadline("seller_response", dispute)
    older = {name: value for name, value in kept.schedule.items() if name != "counted_from"}
    with writing(market.engine) as connection:
        connection.execute(update(deadlines).values(schedule=older))

    assert cases(previewed(market)) == {Case.UNCHANGED: 1}


# -- never early


def test_a_date_that_a_sent_notice_has_promised_is_never_moved_earlier(market: Market) -> None:
    (told, silent) = opened(market, 2)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    with writing(market.engine) as connection:
        deadline = market.deadline("seller_response", silent)
        connection.execute(outbox.delete().where(outbox.c.deadline_id == deadline.id))
    market.run("deliver-mail")
    market.configure('[policy.seller_response]\nperiod = "4 days"\n')

    assert cases(previewed(market)) == {Case.PROMISED: 1, Case.EARLIER: 1}
    restamped(market)
    assert market.deadline("seller_response", told).due_at == MONDAY + 5 * DAY
    assert market.deadline("seller_response", silent).due_at == MONDAY + 4 * DAY


def test_a_promised_date_may_move_later(sqlite_market: Market) -> None:
    market = sqlite_market
    (dispute,) = opened(market)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.run("deliver-mail")
    market.configure(LONGER)
    restamped(market)
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 8 * DAY


def test_a_notice_that_a_worker_has_in_hand_is_a_promise(market: Market) -> None:
    (dispute,) = opened(market)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    with writing(market.engine) as connection:
        connection.execute(update(outbox).values(leased_by="another", leased_until=MONDAY + 4 * DAY))
    market.configure('[policy.seller_response]\nperiod = "4 days"\n')

    done = restamped(market)

    assert (done.total(), done.left["seller_response"]) == (0, {CHANGED_MEANWHILE: 1})
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY


def between_judging_and_writing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    from returnclock import restamp as room

    write = room._write
    acted = threading.Event()

    def late(*words: Any) -> Sequence[str]:
        if not acted.is_set():
            acted.set()
            act()
        return write(*words)

    monkeypatch.setattr(room, "_write", late)


def test_a_notice_that_is_sent_between_the_judgement_and_the_write_is_a_promise(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dispute,) = opened(market)
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.configure('[policy.seller_response]\nperiod = "4 days"\n')
    between_judging_and_writing(monkeypatch, lambda: market.run("deliver-mail") and None)

    assert restamped(market).total() == 0
    assert len(market.mailer.taken) == 1
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY


@pytest.mark.parametrize("what", ["answer", "sweep", "extension"])
def test_what_happened_between_the_judgement_and_the_write_stands(
    market: Market, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (dispute, other) = opened(market, 2)
    market.configure(LONGER)
    market.clock.at = MONDAY + 5 * DAY - SECOND

    def act() -> None:
        if what == "answer":
            market.update("disputes", dispute, status="awaiting_buyer")
            market.run("stamp")
        elif what == "sweep":
            market.update("disputes", other, status="closed")
            market.run("stamp")
            market.run("escalate-disputes", at=MONDAY + 5 * DAY)
        else:
            extend(market, dispute, MONDAY + 30 * DAY)

    between_judging_and_writing(monkeypatch, act)
    done = restamped(market)

    assert done.left["seller_response"][CHANGED_MEANWHILE] >= 1
    deadline = market.deadline("seller_response", dispute)
    expected = {"answer": ("met", 5), "sweep": ("fired", 5), "extension": ("running", 30)}[what]
    assert (deadline.state, deadline.due_at) == (expected[0], MONDAY + expected[1] * DAY)


def extend(market: Market, dispute: int, until: datetime) -> None:
    """What an operator's extension leaves behind: another date and an event that names it."""
    deadline = market.deadline("seller_response", dispute)
    with writing(market.engine) as connection:
        moved = update(deadlines).where(deadlines.c.id == deadline.id).values(promised_at=until, due_at=until)
        connection.execute(moved)
        ledger.record(connection, Hand("jo"), market.clock.at, "deadline:extended", [deadline.id])


def test_a_deadline_that_an_operator_extended_or_held_is_left_alone(market: Market) -> None:
    extended, held, resumed, plain = opened(market, 4)
    extend(market, extended, MONDAY + 20 * DAY)
    ids = {one: market.deadline("seller_response", one).id for one in (held, resumed)}
    with writing(market.engine) as connection:
        connection.execute(update(deadlines).where(deadlines.c.id == ids[held]).values(state="held"))
        ledger.record(connection, Hand("jo"), MONDAY, "deadline:held", list(ids.values()))
        ledger.record(connection, Hand("jo"), MONDAY, "deadline:resumed", [ids[resumed]])
    market.configure(LONGER)
    market.clock.at = MONDAY + HOUR

    assert cases(previewed(market)) == {Case.INTERVENED: 3, Case.LATER: 1}
    assert restamped(market).left["seller_response"] == {Case.INTERVENED: 3}
    assert market.deadline("seller_response", extended).due_at == MONDAY + 20 * DAY
    assert market.deadline("seller_response", plain).due_at == MONDAY + 8 * DAY


# -- what would fire now


@pytest.fixture
def overdue(market: Market) -> tuple[Market, int]:
    """A dispute whose answer would be late already by the new rule, and is due in a day by its own."""
    (dispute,) = opened(market)
    market.configure(SHORTER)
    market.clock.at = MONDAY + 4 * DAY
    return market, dispute


def test_skip_leaves_it_as_it_was(overdue: tuple[Market, int]) -> None:
    market, dispute = overdue
    assert restamped(market, "skip").left["seller_response"] == {SKIPPED: 1}
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY
    assert market.sweep_all() == 0


def test_fire_lets_the_next_sweep_fire_it(overdue: tuple[Market, int]) -> None:
    market, dispute = overdue
    assert restamped(market, "fire").moved["seller_response"] == {Case.FIRES_NOW: 1}
    assert market.sweep_all() == 1
    assert market.states("seller_response", dispute) == ["fired"]


def test_notice_reminds_the_party_at_once_and_gives_whole_days_from_now(overdue: tuple[Market, int]) -> None:
    market, dispute = overdue
    assert restamped(market, "notice", notice_days=2).moved["seller_response"] == {GIVEN_NOTICE: 1}

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at) == (MONDAY + 6 * DAY, MONDAY + 6 * DAY)
    assert market.run("send-reminders")["queued"] == 1
    market.run("deliver-mail")
    (message,) = market.mailer.taken
    assert "due in 2 days" in message.parsed["Subject"]
    assert market.sweep_all(at=MONDAY + 6 * DAY - SECOND) == 0
    assert market.sweep_all(at=MONDAY + 6 * DAY) == 1


def test_a_second_restamp_keeps_what_the_first_gave_notice_of_also_before_it_is_sent(overdue: tuple[Market, int]) -> None:
    market, dispute = overdue
    restamped(market, "notice", notice_days=2)

    assert cases(previewed(market)) == {Case.PROMISED: 1}
    assert restamped(market, "fire").total() == 0
    market.configure(LONGER)
    assert restamped(market).total() == 1
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 8 * DAY


def test_a_notice_goes_out_although_earlier_reminders_have_gone_before(market: Market) -> None:
    (dispute,) = opened(market)
    market.run("send-reminders", at=MONDAY + 3 * DAY)  # queued, and the mail server is away
    market.configure(SHORTER)
    market.clock.at = MONDAY + 3 * DAY + HOUR

    restamped(market, "notice", notice_days=2)

    assert market.run("send-reminders")["queued"] == 1
    assert len(market.notices(notice="reminder")) == 2
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY + HOUR


# -- calendars, kinds, and what cannot be counted


def test_a_new_closure_moves_no_open_deadline_by_itself_and_shows_in_the_preview(market: Market) -> None:
    refund = market.refund()
    market.run("stamp")
    before = market.deadline("refund_completion", refund).due_at
    market.configure('[calendar]\nclosures = ["2026-03-10"]\n')
    for task in ("stamp", "reconcile"):
        market.run(task)
    assert market.deadline("refund_completion", refund).due_at == before

    found = previewed(market)
    assert cases(found, "refund_completion") == {Case.LATER: 1}
    (sample,) = found.kinds["refund_completion"].samples[Case.LATER]
    assert sample["why"].startswith("the days of calendar US: now: ")
    assert "closure of the shop" in sample["why"]
    restamped(market)
    assert market.deadline("refund_completion", refund).due_at == before + DAY


def test_a_newer_list_of_holidays_moves_no_open_deadline_by_itself_and_shows_in_the_preview(
    sqlite_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = sqlite_market
    refund = market.refund()
    market.run("stamp")
    before = market.deadline("refund_completion", refund).due_at
    known = calendars._public_holidays

    def newer(*words: Any) -> Any:
        found = known(*words)
        found[date(2026, 3, 11)] = "Day of the Lamp"
        return found

    monkeypatch.setattr(calendars, "_public_holidays", newer)
    market.configure("")
    market.run("reconcile")
    assert market.deadline("refund_completion", refund).due_at == before

    found = previewed(market)
    assert "Day of the Lamp" in found.kinds["refund_completion"].samples[Case.LATER][0]["why"]
    restamped(market)
    assert market.deadline("refund_completion", refund).due_at == before + DAY


def test_a_kind_that_is_switched_off_and_rows_from_before_its_effect_are_left_as_they_are(sqlite_market: Market) -> None:
    market = sqlite_market
    market.configure('[policy.return_shipment]\nperiod = "14 days"\n')
    market.dispute(status="accepted", accepted_at=MONDAY)
    opened(market)
    market.configure('[policy.seller_response]\nperiod = "9 days"\neffective_from = "2026-04-01"\n')

    found = previewed(market)
    assert cases(found, "return_shipment") == {Case.SWITCHED_OFF: 1}
    assert cases(found) == {Case.BEFORE_EFFECTIVE: 1}
    assert restamped(market).total() == 0


def test_what_cannot_be_counted_is_said_and_stays_as_it_was(sqlite_market: Market) -> None:
    market = sqlite_market
    (dispute,) = opened(market)
    market.configure('[policy.seller_response]\nperiod = "25000 business days"\n')

    found = previewed(market)
    assert cases(found) == {Case.UNCOUNTABLE: 1}
    (sample,) = found.kinds["seller_response"].samples[Case.UNCOUNTABLE]
    assert "holidays are known" in sample["why"]
    assert restamped(market).total() == 0
    assert market.deadline("seller_response", dispute).due_at == MONDAY + 5 * DAY


def test_a_new_kind_shows_which_old_rows_it_would_stamp_and_fire(market: Market) -> None:
    for days in (30, 20, 1):
        market.dispute(status="accepted", accepted_at=MONDAY - days * DAY, opened_at=MONDAY - 40 * DAY)
    market.run("stamp")
    market.configure('[policy.return_shipment]\nperiod = "14 days"\n')

    found = previewed(market)
    assert dict(found.kinds["return_shipment"].new) == {"would fire now": 2, "would start": 1}
    assert found.as_json()["new_would_fire_now"] == 2

    market.configure('[policy.return_shipment]\nperiod = "14 days"\neffective_from = "2026-02-25"\n')
    assert dict(previewed(market).kinds["return_shipment"].new) == {"would start": 1}


# -- pages, crashes and workers beside it


def test_a_crash_leaves_whole_pages_and_a_second_run_goes_on(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(market, 7)
    market.configure(LONGER)
    from returnclock import restamp as room

    record, pages = room.ledger.record_each, []

    def breaks_at_the_third(*words: Any) -> None:
        pages.append(words)
        if len(pages) == 3:
            raise RuntimeError("killed")
        record(*words)

    monkeypatch.setattr(room.ledger, "record_each", breaks_at_the_third)
    with pytest.raises(RuntimeError):
        restamped(market, batch_size=2)
    moved = [row for row in market.rows(deadlines) if row.due_at == MONDAY + 8 * DAY]
    assert len(moved) == 4
    assert market.events().count("deadline:restamped") == 4

    monkeypatch.undo()
    assert restamped(market, batch_size=2).total() == 3
    assert market.events().count("deadline:restamped") == 7


def test_two_restamps_at_once_move_every_deadline_once(market: Market) -> None:
    opened(market, 12)
    market.configure(LONGER)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(restamped(market, batch_size=2).total())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(found) == 12
    assert market.events().count("deadline:restamped") == 12
    assert {row.due_at for row in market.rows(deadlines)} == {MONDAY + 8 * DAY}


def test_a_page_asks_a_fixed_number_of_questions(market: Market) -> None:
    opened(market, 9)
    market.configure(LONGER)
    said: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    sqlalchemy_event.listen(market.engine, "before_cursor_execute", listen)
    try:
        restamped(market, batch_size=3)
    finally:
        sqlalchemy_event.remove(market.engine, "before_cursor_execute", listen)
    assert len(said) < 130  # 3 pages of writing, and the pages of the other kinds that are empty


def test_a_deadline_that_no_longer_runs_is_not_touched(sqlite_market: Market) -> None:
    market = sqlite_market
    (dispute,) = opened(market)
    market.update("disputes", dispute, status="closed")
    market.configure(LONGER)
    assert cases(previewed(market)) == {Case.NOT_RUNNING: 1}
    assert restamped(market).total() == 0


def test_a_warning_whose_reminder_was_not_delivered_is_still_owed_for_the_new_date(market: Market) -> None:
    rule = '[ops]\nwarning_lead = "24 hours"\n[policy.seller_response]\nremind = ["2 days"]\n'
    market.configure(rule)
    (dispute,) = opened(market)
    due = MONDAY + 5 * DAY
    market.run("send-reminders", at=due - 2 * DAY)  # queued; the mail server is down
    market.configure(rule + 'grace = "1 hour"\n')
    market.clock.at = due - 30 * HOUR
    assert restamped(market).total() == 1

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.due_at, deadline.warn_by) == (due + HOUR, due - 23 * HOUR)
    assert market.run("escalate-disputes", at=due + HOUR)["changed"] == 0
