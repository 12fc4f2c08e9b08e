"""The command as a stranger types it: real processes, a fresh folder, the embedded default."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from returnclock.cli import cli
from returnclock.database import writing
from returnclock.engines import open_engine
from tests.system.command_line import typed

RESULT_KEYS = {
    *("task", "run_id", "trigger", "at", "examined", "changed", "queued", "skipped", "problems", "backlog"),
    *("max_lateness_s", "seconds", "by_kind"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an upgraded database in which one dispute is due and one row is wrong."""
    assert typed(tmp_path, "db", "upgrade").returncode == 0
    engine = open_engine(f"sqlite:///{tmp_path}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        for statement in (
            "INSERT INTO sellers (id, name, email, time_zone) VALUES (1, 'Ana', 'ana@shop.example', 'Europe/Lisbon')",
            "INSERT INTO buyers (id, name, email, time_zone) VALUES (1, 'Bea', 'bea@home.example', 'Mars/Phobos')",
            "INSERT INTO orders (id, buyer_id, seller_id, country) VALUES (1, 1, 1, 'DE')",
            "INSERT INTO disputes (id, order_id, opened_at) VALUES (81, 1, datetime('now', '-6 days'))",
        ):
            connection.execute(text(statement))
    engine.dispose()
    return tmp_path


def test_every_command_answers_help() -> None:
    for name, command in cli.commands.items():
        assert command.help, f"{name} says nothing of itself"


def test_help_loads_neither_celery_nor_sqlalchemy(tmp_path: Path) -> None:
    loaded = (
        "import sys\nfrom returnclock.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('celery', 'sqlalchemy', 'holidays', 'rich') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


def test_a_task_run_by_hand_prints_the_result_object_and_leaves_its_run(folder: Path) -> None:
    stamped = json.loads(typed(folder, "run", "stamp", "--json").stdout)
    assert set(stamped) == RESULT_KEYS
    swept = json.loads(typed(folder, "run", "escalate-disputes", "--json").stdout)
    assert (swept["changed"], swept["queued"], swept["trigger"]) == (1, 2, "cli")
    again = json.loads(typed(folder, "run", "escalate-disputes", "--json").stdout)
    assert (again["changed"], again["run_id"]) == (0, swept["run_id"] + 1)


def test_a_dry_run_changes_nothing_and_leaves_no_run(folder: Path) -> None:
    typed(folder, "run", "stamp")
    tried = json.loads(typed(folder, "run", "escalate-disputes", "--dry-run", "--json").stdout)
    assert (tried["changed"], tried["run_id"]) == (1, None)
    early = typed(folder, "run", "escalate-disputes", "--dry-run", "--at", "2020-01-01", "--json")
    assert json.loads(early.stdout)["changed"] == 0
    assert json.loads(typed(folder, "deadlines", "--state", "fired", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "escalate-dispute"), 2, "did you mean 'escalate-disputes'?"),
        (("run", "stamp", "--at", "2026-01-01"), 2, "--at works only with --dry-run"),
        (("run", "stamp", "--dry-run", "--at", "soon"), 2, "'soon' is not a time"),
        (("explain", "disputes", "9"), 3, "no row in disputes with the id '9'"),
        (("explain", "dispute", "9"), 3, "did you mean 'disputes'?"),
        (("deadlines", "--kind", "seller_respons"), 2, 'did you mean "seller_response"?'),
        (("outbox", "show", "9"), 3, "no notice 9"),
        (("outbox", "requeue", "9", "--reason", "mended"), 3, "no dead or suppressed notice"),
        (("outbox", "requeue", "--group", "zzz", "--reason", "r"), 3, "no group of dead notices 'zzz'; \"returnclock outbox"),
        (("hold", "disputes", "99999", "--reason", "r"), 3, "no row in disputes with the id '99999'"),
        (("extend", "disputes", "99999", "--add", "2", "--reason", "r"), 3, "no row in disputes with the id '99999'"),
        (("runs", "--task", "escalate_disputes", "--failures"), 2, "did you mean 'escalate-disputes'?"),
        (("pause", "seller_respons", "--reason", "r"), 2, "neither a task nor a kind 'seller_respons' (did"),
        (("outbox", "requeue", "--reason", "mended"), 2, "--dead for all dead ones"),
        (("due", "10 busines days", "--from", "2026-12-18"), 2, "is not a period"),
        (("due", "10 days", "--from", "Friday"), 2, "'Friday' is not a time"),
        (("due", "10 days", "--from", "2026-12-18", "--country", "XZ"), 2, "no holiday calendar for the country"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = typed(folder, *words)
    assert answer.returncode == code
    assert said in answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr


def test_a_failed_run_is_told_once_and_kept_without_its_statement(folder: Path) -> None:
    typed(folder, "run", "stamp")
    late = typed(folder, "run", "audit")
    assert (late.returncode, late.stderr.count("1 deadline(s) are due")) == (1, 1)
    assert late.stderr.startswith("returnclock: ")
    engine = open_engine(f"sqlite:///{folder}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE clock_changes"))
    refused = typed(folder, "run", "stamp")
    assert (refused.returncode, refused.stderr) == (1, "returnclock: the database refused: no such table: clock_changes\n")
    with writing(engine) as connection:
        kept = connection.execute(text("SELECT error FROM clock_runs WHERE task = 'stamp' AND state = 'failed'")).scalar_one()
    assert kept == "OperationalError: no such table: clock_changes"
    engine.dispose()


def test_a_database_that_was_never_upgraded_is_named_with_the_remedy(tmp_path: Path) -> None:
    for words in (("run", "stamp"), ("status",), ("explain", "disputes", "1"), ("worker",)):
        answer = typed(tmp_path, *words)
        assert answer.returncode == 1
        assert 'Run "returnclock db upgrade" first.' in answer.stderr


def test_a_database_that_is_away_is_a_sentence_and_critical_for_monitoring(tmp_path: Path) -> None:
    away = {"DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/market"}
    assert typed(tmp_path, "run", "stamp", environ=away).returncode == 1
    for words in (("check",), ("db", "check")):
        answer = typed(tmp_path, *words, environ=away)
        assert answer.returncode == 2
        assert answer.stdout.startswith("CRITICAL: The database postgresql+psycopg://nobody:***@127.0.0.1:1/market cannot")
        assert "secret" not in answer.stdout + answer.stderr


def test_monitoring_never_takes_a_database_that_refuses_for_a_mere_warning(folder: Path) -> None:
    misspelt = {"DATABASE_URL": "mysql://nobody:secret@127.0.0.1:1/market?nonsense=1"}
    for words in (("check",), ("db", "check")):
        answer = typed(folder, *words, environ=misspelt)
        assert (answer.returncode, answer.stderr) == (2, "")
        assert "there is no option 'nonsense'" in answer.stdout
    engine = open_engine(f"sqlite:///{folder}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE clock_runs"))
    engine.dispose()
    answer = typed(folder, "check")
    assert (answer.returncode, answer.stdout) == (2, "CRITICAL: the database refused: no such table: clock_runs\n")


def test_settings_that_do_not_hold_are_all_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "returnclock.toml").write_text(
        '[policy.seller_respons]\nperiod = "5 days"\n[policy.return_window]\nperiod = "15 dayz"\n[calendar]\ncountry = "XZ"\n'
    )
    answer = typed(tmp_path, "status")
    assert answer.returncode == 2
    assert "3 fault(s)" in answer.stderr
    for word in ("seller_respons", "15 dayz", "XZ"):
        assert word in answer.stderr


def test_explain_tells_the_whole_story(folder: Path) -> None:
    for task in ("stamp", "escalate-disputes", "deliver-mail"):
        assert typed(folder, "run", task).returncode == 0
    story = typed(folder, "explain", "disputes", "81").stdout
    for part in (
        "seller_response: fired",
        "rule       5 days for the seller's answer",
        "in Europe/Lisbon, calendar DE",
        "The day of the event is not counted (EU 1182/71 art. 3(1)).",
        "deadline:stamped",
        "dispute:escalated",
        "outcome to the seller <ana@shop.example>: sent",
        "Problem: buyers 1: There is no time zone 'Mars/Phobos'",
    ):
        assert part in story
    told = json.loads(typed(folder, "explain", "disputes", "81", "--json").stdout)
    assert told["stories"][0]["deadline"]["state"] == "fired"
    assert len(told["stories"][0]["steps"]) == 4


def test_status_problems_deadlines_and_outbox_speak_to_people_and_machines(folder: Path) -> None:
    for task in ("stamp", "escalate-disputes", "deliver-mail"):
        typed(folder, "run", task)
    assert "Nothing is late." in typed(folder, "status").stdout
    assert json.loads(typed(folder, "status", "--json").stdout)["settled_last_day"] == {"seller_response": {"fired": 1}}
    assert "Mars/Phobos" in typed(folder, "problems").stdout
    assert [row["code"] for row in json.loads(typed(folder, "problems", "--json").stdout)] == ["unknown_time_zone"]
    assert "seller_response" in typed(folder, "deadlines").stdout
    assert [row["state"] for row in json.loads(typed(folder, "outbox", "list", "--json").stdout)] == ["sent", "sent"]
    assert "escalated" in typed(folder, "outbox", "show", "1").stdout
    assert typed(folder, "db", "check").returncode == 0
    assert typed(folder, "check").returncode == 2  # nobody sweeps the other kinds


def test_due_shows_the_date_and_every_step(tmp_path: Path) -> None:
    words = ("due", "10 business days", "--from", "2026-12-18T16:00", "--country", "DE", "--subdivision", "BY")
    answer = typed(tmp_path, *words, "--zone", "Europe/Berlin")
    assert answer.stdout.startswith("Tue 05 Jan 2027 16:00:00 (Europe/Berlin)  =  2027-01-05T15:00:00+00:00")
    assert "Fri 25 Dec 2026 skipped: Christmas Day." in answer.stdout
    told = json.loads(typed(tmp_path, *words, "--ends", "end_of_day", "--json").stdout)
    assert told["last_day"] == "2027-01-05"
    assert not (tmp_path / "returnclock-data").exists()


def test_the_command_is_mounted_in_celery_and_refuses_unknown_tasks_there_too(tmp_path: Path) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "returnclock.tasks", "returnclock", "run", "nope"]
    answer = subprocess.run(celery, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "There is no task 'nope'. Nothing was run or queued." in answer.stderr
