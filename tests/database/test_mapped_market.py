"""A market on tables that keep everything otherwise, in each of the three databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, event, text

from returnclock import schema
from returnclock.cli import cli
from returnclock.engines import open_engine
from returnclock.errors import Refused
from returnclock.mapping import attaching
from returnclock.mapping.watching import watches
from returnclock.ops import turn
from returnclock.tables.clock import changes, problems
from tests.database.desk import Operator
from tests.database.fourth_schema import ANSWERED, AWAITED, LISBON, Bazaar
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

FIVE_DAYS = MONDAY + 5 * DAY


def opened(url: str, folder: Path) -> Iterator[Bazaar]:
    engine = open_engine(url)
    schema.upgrade(engine, mapped=True)
    bazaar = Bazaar(engine, folder)
    bazaar.lay_out()
    yield bazaar
    engine.dispose()


@pytest.fixture(scope="module")
def bazaars(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bazaar]]:
    """One database of each kind, made and migrated once and emptied for each test."""
    known: dict[str, tuple[Iterator[Bazaar], Bazaar]] = {}

    def one(database: str) -> Bazaar:
        if database not in known:
            folder = tmp_path_factory.mktemp(database)
            sqlite = f"sqlite:///{folder / 'market.db'}"
            url = sqlite if database == "sqlite" else request.getfixturevalue(database).create_database()
            opening = opened(url, folder)
            known[database] = (opening, next(opening))
        known[database][1].empty()
        return known[database][1]

    yield one
    for opening, _ in known.values():
        next(opening, None)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def bazaar(request: pytest.FixtureRequest, bazaars: Callable[[str], Bazaar]) -> Bazaar:
    return bazaars(request.param)


@pytest.fixture(params=["postgres", "mariadb"])
def served(request: pytest.FixtureRequest, bazaars: Callable[[str], Bazaar]) -> Bazaar:
    """Where two write at the same time."""
    return bazaars(request.param)


def test_text_keys_local_times_and_a_status_beside_are_read_and_the_outcome_is_written_as_local_time(bazaar: Bazaar) -> None:
    summer = datetime(2026, 4, 6, 10, tzinfo=UTC)  # eleven o'clock in Lisbon
    ref = bazaar.purchase("A-1", summer - 2 * DAY, summer)
    case, payback = bazaar.complain("C-1", summer), bazaar.pay_back("B-1", summer)
    bazaar.run("reconcile", at=summer + HOUR)
    assert bazaar.deadline("return_window", ref).starts_at == summer
    assert bazaar.deadline("seller_response", case).due_at == summer + 5 * DAY
    late = bazaar.deadline("refund_completion", payback).due_at

    assert bazaar.sweep_all(at=summer + 40 * DAY) == 4
    with bazaar.transaction() as connection:
        flag, flagged_on = connection.execute(text("SELECT flag, flagged_on FROM purchase WHERE ref = 'A-1'")).one()
        written = connection.execute(text("SELECT late FROM payback")).scalar_one()
    assert flag == "over"
    assert in_lisbon(flagged_on) == summer + 40 * DAY
    assert in_lisbon(written) == late
    bazaar.run("reconcile")
    assert bazaar.sweep_all() == 0
    assert bazaar.states("seller_response", case) == ["fired"]


def in_lisbon(value: Any) -> datetime:
    naive = datetime.fromisoformat(value) if isinstance(value, str) else value
    return naive.replace(tzinfo=LISBON).astimezone(UTC)


def test_a_flag_is_taken_back_where_no_trigger_told_of_the_cancellation(bazaar: Bazaar) -> None:
    payback = bazaar.pay_back("B-1", MONDAY)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    bazaar.sweep_all(at=MONDAY + 20 * DAY)
    bazaar.sql("UPDATE payback SET state = 'dropped'")
    bazaar.run("reconcile")
    assert bazaar.states("refund_completion", payback) == ["void"]
    with bazaar.transaction() as connection:
        assert connection.execute(text("SELECT late FROM payback")).scalar_one() is None


READINGS = {
    "2026-03-29 00:59:59": "2026-03-29 00:59:59",
    "2026-03-29 01:30:00": "2026-03-29 01:30:00",  # skipped: the later reading
    "2026-03-29 02:00:00": "2026-03-29 01:00:00",
    "2026-10-25 00:59:59": "2026-10-24 23:59:59",
    "2026-10-25 01:30:00": "2026-10-25 01:30:00",  # repeated: the second time
    "2026-10-25 02:00:00": "2026-10-25 02:00:00",
}


def test_a_local_time_is_read_as_the_later_instant_where_clocks_change(bazaar: Bazaar) -> None:
    for number, local in enumerate(READINGS):
        bazaar.purchase(f"A-{number}")
        bazaar.sql(f"INSERT INTO parcel (ref, arrived) VALUES ('A-{number}', '{local}')")
    bazaar.run("reconcile", at=datetime(2026, 11, 1, tzinfo=UTC))
    for number, utc in enumerate(READINGS.values()):
        wanted = datetime.fromisoformat(utc).replace(tzinfo=UTC)
        assert bazaar.deadline("return_window", f"A-{number}").starts_at == wanted


def test_a_window_waits_for_the_last_parcel(bazaar: Bazaar) -> None:
    bazaar.purchase("A-1", MONDAY, None)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    assert bazaar.deadlines("return_window", "A-1") == []


def test_an_address_behind_a_view_is_written_to(bazaar: Bazaar) -> None:
    bazaar.complain("C-1", MONDAY)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    bazaar.run("escalate-disputes", at=FIVE_DAYS)
    bazaar.run("deliver-mail")
    assert sorted(taken.parsed["To"] for taken in bazaar.mailer.taken) == [
        "Ana <seller@home.example>",
        "Bea <buyer@home.example>",
    ]


def test_an_answer_in_another_table_that_is_not_committed_yet_holds_the_deadline_back(served: Bazaar) -> None:
    """The front end's transaction began before the sweep and ends after it."""
    for ref in ("C-1", "C-2"):
        served.complain(ref, MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    with served.transaction() as front_end:
        front_end.execute(text(f"UPDATE complaint_state SET code = {ANSWERED} WHERE complaint = 'C-1'"))
        assert served.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 1
        assert served.states("seller_response", "C-1") == ["running"]
    served.run("escalate-disputes")
    assert served.states("seller_response", "C-1") == ["running"]
    served.run("reconcile")
    assert (served.states("seller_response", "C-1"), served.states("seller_response", "C-2")) == (["met"], ["fired"])


def test_an_answer_in_another_table_that_commits_between_the_claim_and_the_look_wins(served: Bazaar) -> None:
    served.complain("C-1", MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    with once_after(served, "FOR UPDATE", lambda: answer(served, "C-1")):
        assert served.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 0
    assert served.states("seller_response", "C-1") == ["running"]


def test_an_answer_in_another_table_waits_once_the_sweep_has_looked(served: Bazaar) -> None:
    """What the sweep has seen stays so until it commits: the answer comes after it, as it does in one table."""
    served.complain("C-1", MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    blocked: list[str] = []
    with once_after(served, "UPDATE clock_deadlines", lambda: blocked.append(refusal_of_an_answer(served, "C-1"))):
        assert served.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 1
    assert blocked == ["OperationalError"]


def refusal_of_an_answer(bazaar: Bazaar, ref: str) -> str:
    """What becomes of an answer that waits but a moment for whoever has locked the status; empty if it need not wait."""
    with bazaar.front_end.connect() as connection:
        wait = "SET lock_timeout = '200ms'" if bazaar.dialect == "postgresql" else "SET innodb_lock_wait_timeout = 1"
        connection.execute(text(wait))
        try:
            connection.execute(text(f"UPDATE complaint_state SET code = {ANSWERED} WHERE complaint = '{ref}'"))
        except Exception as fault:
            return type(fault).__name__
        connection.rollback()
        return ""


def test_an_answer_in_another_table_waits_once_an_operator_has_looked(served: Bazaar) -> None:
    served.complain("C-1", MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    blocked: list[str] = []
    with once_after(served, "UPDATE clock_deadlines", lambda: blocked.append(refusal_of_an_answer(served, "C-1"))):
        assert Operator(served).fire("disputes", "C-1", at=MONDAY + 2 * HOUR)["fired"] == 1
    assert blocked == ["OperationalError"]


def test_an_answer_in_another_table_that_commits_before_an_operator_s_look_is_never_overrun(served: Bazaar) -> None:
    served.complain("C-1", MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    with once_after(served, "FOR UPDATE", lambda: answer(served, "C-1")), pytest.raises(Refused, match="still true"):
        Operator(served).fire("disputes", "C-1", at=MONDAY + 2 * HOUR)
    assert served.states("seller_response", "C-1") == ["running"]


def test_an_operator_never_fires_what_is_just_being_answered_in_another_table(
    served: Bazaar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LOOKS", 3)
    for ref in ("C-1", "C-2", "C-3"):
        served.complain(ref, MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    operator = Operator(served)
    with served.transaction() as front_end:
        front_end.execute(text(f"UPDATE complaint_state SET code = {ANSWERED} WHERE complaint = 'C-1'"))
        with pytest.raises(Refused, match="is changing it just now"):
            operator.fire("disputes", "C-1", at=MONDAY + 2 * HOUR)
        fired = operator.fire(kind="seller_response")
        assert (fired["matched"], fired["fired"], fired["left"]) == (3, 2, 1)
    served.run("reconcile")
    assert [served.states("seller_response", ref) for ref in ("C-1", "C-2", "C-3")] == [["met"], ["fired"], ["fired"]]


def test_a_status_beside_that_may_not_be_locked_is_still_looked_at_twice(served: Bazaar) -> None:
    served.complain("C-1", MONDAY)
    served.run("reconcile", at=MONDAY + HOUR)
    file = served.folder / "returnclock.toml"
    loose = file.read_text().replace("[market.disputes.columns.status]", "[market.disputes.columns.status]\nlocks = false")
    Market.configure(served, loose)
    with once_after(served, "FOR UPDATE", lambda: answer(served, "C-1")):
        assert served.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 0


def answer(bazaar: Bazaar, ref: str) -> None:
    bazaar.sql("UPDATE complaint_state SET code = :code WHERE complaint = :ref", code=ANSWERED, ref=ref)


@contextmanager
def once_after(bazaar: Bazaar, word: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something by another connection as soon as our engine has executed the first statement with the word."""
    done: list[bool] = []

    def after(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if word in statement and not done:
            done.append(True)
            act()

    event.listen(bazaar.engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(bazaar.engine, "after_cursor_execute", after)
    assert done


def test_a_deadline_is_never_early_by_a_second(bazaar: Bazaar) -> None:
    bazaar.complain("C-1", MONDAY)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    assert bazaar.run("escalate-disputes", at=FIVE_DAYS - SECOND)["changed"] == 0
    assert bazaar.run("escalate-disputes", at=FIVE_DAYS)["changed"] == 1


def check(bazaar: Bazaar) -> tuple[int, str]:
    file = str(bazaar.folder / "returnclock.toml")
    environ = {"DATABASE_URL": bazaar.url, "RETURNCLOCK_DATA": str(bazaar.folder), "RETURNCLOCK_CONFIG": file}
    done = CliRunner().invoke(cli, ["db", "check"], env=environ, catch_exceptions=False)
    return done.exit_code, done.output


def remapped(bazaar: Bazaar, *changes: tuple[str, str]) -> None:
    toml = (bazaar.folder / "returnclock.toml").read_text()
    for old, new in changes:
        assert old in toml
        toml = toml.replace(old, new)
    Market.configure(bazaar, toml)


def test_check_finds_nothing_in_a_mapping_that_holds_and_asks_for_the_triggers(bazaar: Bazaar) -> None:
    bazaar.complain("C-1", MONDAY)
    code, said = check(bazaar)
    assert (code, "returnclock attach" in said, "1 fault(s), 0 of them grave" in said) == (1, True, True), said
    remapped(bazaar, ("[market]\n", '[market]\nchanges = "reconcile"\n'))
    assert check(bazaar)[0] == 0


def test_check_says_what_is_missing_mistyped_unindexed_unknown_and_not_writable(bazaar: Bazaar) -> None:
    bazaar.sql("INSERT INTO payback (ref, purchase, state) VALUES ('B-9', 'P-9', 'lost')")
    remapped(
        bazaar,
        ('"raised"', '"raisd"'),
        ('table    = "purchase"', 'table    = "purchases"'),
        (
            'email = "address" }',
            'email = "address", country = { table = "mailbox", column = "address", on = { address = "id" } } }',
        ),
    )
    code, said = check(bazaar)
    assert code == 2
    assert "there is no table purchases (did you mean purchase?)" in said
    assert "complaint has no column raisd (did you mean raised?)" in said
    assert "mailbox has no index that begins with address" in said
    assert "payback.state also holds 'lost'" in said


def test_check_finds_a_column_that_may_not_be_written_and_a_date_that_is_none(postgres_url: str, tmp_path: Path) -> None:
    for bazaar in opened(postgres_url, tmp_path):
        bazaar.sql("ALTER TABLE purchase ADD COLUMN over_since timestamp GENERATED ALWAYS AS (NULL::timestamp) STORED")
        remapped(bazaar, ('"flagged_on"', '"over_since"'), ('started_at = "begun"', 'started_at = "state"'))
        code, said = check(bazaar)
        assert code == 2
        assert "purchase.over_since cannot be written" in said
        assert "payback.state is VARCHAR(12), no date" in said


def test_a_shop_that_maps_only_its_orders_has_a_return_window_and_no_complaint(bazaar: Bazaar) -> None:
    """Neither parties nor disputes nor dates beside the delivery: what is not mapped is not asked for."""
    orders_only = '[market.orders]\ntable = "purchase"\nkey = "ref"\nkey_type = "text"\n[market.orders.columns]\n'
    Market.configure(bazaar, orders_only + 'delivered_at = { table = "parcel", column = "arrived", on = { ref = "ref" } }\n')
    bazaar.purchase("A-1", MONDAY)
    bazaar.purchase("A-2", None)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    bazaar.sql("INSERT INTO clock_changes (table_name, subject_id) VALUES ('orders', 'A-2')")
    bazaar.run("stamp")
    assert (bazaar.states("return_window", "A-1"), bazaar.states("return_window", "A-2")) == (["running"], [])
    assert bazaar.open_problems() == {}
    assert bazaar.sweep_all(at=MONDAY + 20 * DAY) == 1


def test_a_kind_of_the_shop_s_own_runs_on_the_shop_s_own_tables(bazaar: Bazaar) -> None:
    remapped(
        bazaar,
        ("[market]\n", 'kinds = ["tests.database.refused_dispute:REFUSED_DISPUTE"]\n[market]\n'),
        ('opened_at = "raised"\n', 'opened_at = "raised"\nseller_replied_at = "raised"\n'),
        ("accepted = 20", "refused = 20"),
    )
    case = bazaar.complain("C-1", MONDAY)
    answer(bazaar, case)
    bazaar.run("reconcile", at=MONDAY + HOUR)
    assert bazaar.run("close-refused-disputes", at=MONDAY + 7 * DAY - SECOND)["changed"] == 0
    assert bazaar.run("close-refused-disputes", at=MONDAY + 7 * DAY)["changed"] == 1
    bazaar.run("reconcile")
    assert bazaar.run("close-refused-disputes", at=MONDAY + 9 * DAY)["changed"] == 0


def test_check_finds_rows_that_may_be_read_and_not_locked(postgres_url: str, tmp_path: Path) -> None:
    for bazaar in opened(postgres_url, tmp_path):
        role = f"reader_{bazaar.url.rpartition('_')[2]}"
        bazaar.sql(f"CREATE ROLE {role} LOGIN")
        bazaar.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        bazaar.sql(f"REVOKE UPDATE ON complaint_state, purchase FROM {role}")
        bazaar.url = bazaar.url.replace("postgres@", f"{role}@")
        code, said = check(bazaar)
        assert code == 2
        assert "[market.disputes.columns] status: rows of complaint_state cannot be locked: permission denied" in said
        assert "purchase.flag cannot be written: permission denied" in said
        bazaar.url = bazaar.url.replace(f"{role}@", "postgres@")
        bazaar.sql(f"DROP OWNED BY {role}")
        bazaar.sql(f"DROP ROLE {role}")


def test_a_key_that_is_too_long_for_us_fails_no_statement_of_the_shop_and_is_a_problem(bazaar: Bazaar) -> None:
    watched = watches(bazaar.wiring.settings.market)
    attaching.execute(bazaar.engine, attaching.plan(bazaar.engine, watched)[0])
    try:
        kept = bazaar.dialect == "sqlite"  # which keeps keys of any length
        ref = "C" * 192
        bazaar.purchase("P-1")
        for one in (ref, "C-1"):
            bazaar.add("complaint", ref=one, purchase="P-1", raised=MONDAY)
            bazaar.add("complaint_state", complaint=one, code=AWAITED)
        with bazaar.transaction() as connection:
            connection.execute(text("UPDATE complaint SET purchase = 'P-1' WHERE ref = :ref"), {"ref": ref})
        assert {row.subject_id for row in bazaar.rows(changes) if len(row.subject_id) > 9} == ({ref} if kept else set())
        for raised in (MONDAY - HOUR, MONDAY):
            bazaar.run("reconcile")
            with bazaar.transaction() as connection:
                connection.execute(text("UPDATE complaint SET raised = :at"), {"at": bazaar._instant(raised)})
            bazaar.run("stamp")  # which knows nothing of the row, and closes nothing
            found = [(row.code, row.subject_id) for row in bazaar.rows(problems) if row.resolved_at is None]
            assert found == ([] if kept else [("long_key", ref[:191])])
        assert bazaar.deadlines("seller_response", "C-1") != []
        assert (bazaar.deadlines("seller_response", ref) != []) is kept

        with bazaar.transaction() as connection:
            connection.execute(text("DELETE FROM complaint WHERE ref = :ref"), {"ref": ref})
        bazaar.run("reconcile", at=MONDAY + HOUR)
        assert [row for row in bazaar.rows(problems) if row.resolved_at is None] == []
    finally:
        attaching.execute(bazaar.engine, attaching.plan(bazaar.engine, watched, remove=True)[0])


def test_an_order_and_a_party_whose_keys_are_too_long_stop_nothing_beside_them(bazaar: Bazaar) -> None:
    ref = "P" * 192
    delivered = "delivered_at      = {"
    remapped(bazaar, (delivered, f'estimated_delivery_at = "flagged_on"\n{delivered}'))
    for one in (ref, "P-1"):  # both long overdue, and of a buyer and a seller who do not exist
        bazaar.add("purchase", ref=one, customer=8, vendor=9, flagged_on=bazaar._instant(MONDAY - 40 * DAY))
    bazaar.add("complaint", ref="C-1", purchase=ref, raised=bazaar._instant(MONDAY))
    bazaar.add("complaint_state", complaint="C-1", code=AWAITED)
    bazaar.run("reconcile", at=MONDAY + HOUR)

    bazaar.deadline("seller_response", "C-1")
    found = {(row.code, row.subject_id) for row in bazaar.rows(problems) if row.code != "long_key"}
    assert ("overdue_start", "P-1") in found
    assert any(subject_id == ref for _, subject_id in found) is (bazaar.dialect == "sqlite")
