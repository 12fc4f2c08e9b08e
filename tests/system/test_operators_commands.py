"""The commands of an operator who is woken at three: what they print for people, that --json parses, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, insert, text

from returnclock import schema
from returnclock.cli import cli
from returnclock.database import writing
from returnclock.engines import open_engine
from returnclock.tables.clock import events, outbox, runs

ENDING_S = 20


class Shop:
    """A folder with an upgraded SQLite database, and the command typed in it, in this process."""

    def __init__(self, folder: Path, upgraded: Path) -> None:
        self.folder = folder
        (folder / "returnclock-data").mkdir()
        shutil.copy(upgraded, folder / "returnclock-data" / "returnclock.db")
        self.engine: Engine = open_engine(f"sqlite:///{folder}/returnclock-data/returnclock.db")

    def typed(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(cli, words, input=answer, prog_name="returnclock")

    def said(self, *words: str) -> str:
        done = self.typed(*words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.said(*words, "--json"))

    def sql(self, *statements: str) -> None:
        with writing(self.engine) as connection:
            for statement in statements:
                connection.execute(text(statement))

    def settings(self, toml: str) -> None:
        (self.folder / "returnclock.toml").write_text(toml)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was upgraded once, to be copied: a copy takes no time."""
    file = tmp_path_factory.mktemp("upgraded") / "returnclock.db"
    engine = open_engine(f"sqlite:///{file}")
    schema.upgrade(engine)
    engine.dispose()  # the last one that closes it writes the log into the file
    return file


@pytest.fixture
def shop(tmp_path: Path, upgraded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Two disputes of order 1, opened an hour and four days ago."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    made = Shop(tmp_path, upgraded)
    made.sql(
        "INSERT INTO sellers (id, name, email, time_zone) VALUES (1, 'Ana', 'ana@shop.example', 'Europe/Lisbon')",
        "INSERT INTO buyers (id, name, email) VALUES (1, 'Bea', 'bea@home.example')",
        "INSERT INTO orders (id, buyer_id, seller_id, country) VALUES (1, 1, 1, 'DE')",
        "INSERT INTO disputes (id, order_id, opened_at) VALUES (81, 1, datetime('now', '-1 hour'))",
        "INSERT INTO disputes (id, order_id, opened_at) VALUES (82, 1, datetime('now', '-97 hours'))",
    )
    made.said("run", "stamp")
    yield made
    made.engine.dispose()


# -- status


def test_status_says_the_urgent_first_and_what_to_type_next(shop: Shop) -> None:
    shop.sql("UPDATE clock_deadlines SET due_at = '2026-01-01 00:00:00.000000Z' WHERE subject_id = '82'")
    with writing(shop.engine) as connection:
        dead = {"kind": "seller_response", "deadline_id": 1, "notice": "outcome", "party": "seller", "state": "dead"}
        moment = datetime(2026, 11, 1, tzinfo=UTC)
        connection.execute(
            insert(outbox), [{**dead, "key": str(n), "queued_at": moment, "error": "550 no such user"} for n in (1, 2)]
        )

    lines = shop.said("status").splitlines()

    assert lines[1].startswith("LATE  1 seller_response, the oldest by ")
    assert 'Dead notices: 2 ("returnclock outbox list --state dead" lists them).' in lines
    assert "       2  550 no such user" in lines
    assert any(line.startswith("  escalate-disputes") and "never, and should every 2 s" in line for line in lines)
    report = shop.json("status")
    assert report["dead_notices"] == [{"error": "550 no such user", "count": 2}]
    assert report["deadlines"] == {"seller_response": {"running": 2}}
    assert report["tasks"]["stamp"] | {"age_s": 0, "succeeded_at": ""} == {
        "succeeded_at": "",
        "failed_at": None,
        "error": None,
        "expected_every_s": 0.5,
        "age_s": 0,
        "stale": False,
    }


@pytest.mark.parametrize("state", ["fresh", "stale"])
def test_a_task_is_stale_after_three_intervals_and_a_minute(shop: Shop, state: str) -> None:
    ago = timedelta(seconds=3 * 2 + 60 + (30 if state == "stale" else -30))
    with writing(shop.engine) as connection:
        moment = datetime.now(UTC) - ago
        run = {"task": "escalate-disputes", "trigger": "beat", "actor": "beat", "state": "succeeded"}
        connection.execute(insert(runs).values(run | {"started_at": moment, "finished_at": moment}))

    assert shop.json("status")["tasks"]["escalate-disputes"]["stale"] is (state == "stale")


def process(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "returnclock", *words],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_watching_prints_an_object_a_line_and_ends_cleanly_on_ctrl_c(shop: Shop) -> None:
    with process(shop.folder, "status", "--watch", "0.2", "--json") as watching:
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=ENDING_S)
    assert seen[0]["at"] < seen[1]["at"]
    assert (watching.returncode, errors) == (0, "")


def test_watching_on_a_terminal_draws_on_a_screen_of_its_own_and_gives_the_old_one_back(shop: Shop) -> None:
    import pty

    master, slave = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "returnclock", "status", "--watch", "0.2"],
        cwd=shop.folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "50"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    drawn = b""
    end = time.monotonic() + ENDING_S
    while b"Ctrl-C ends." not in drawn and time.monotonic() < end:
        drawn += os.read(master, 65536)
    watching.send_signal(signal.SIGINT)
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        drawn += more
    assert watching.wait(ENDING_S) == 0
    os.close(master)
    assert b"Nothing is late." in drawn
    assert drawn.index(b"\x1b[?1049h") < drawn.index(b"Nothing is late.") < drawn.rindex(b"\x1b[?1049l")
    assert b"Traceback" not in drawn


# -- events


def test_events_are_told_in_sentences_and_filtered(shop: Shop) -> None:
    told = shop.said("events")
    assert "disputes 82: The clock was started: the time for the seller's answer ends " in told
    assert len(told.splitlines()) == 2
    only = [json.loads(line) for line in shop.said("events", "--subject", "81", "--json").splitlines()]
    assert [event["event"] for event in only] == ["deadline:stamped"]
    assert only[0]["told"].startswith("The clock was started: ")
    for words in (
        ("--event", "notice:*"),
        ("--actor", "maria"),
        ("--run", "99"),
        ("--deadline", "99"),
        ("--kind", "return_window"),
    ):
        assert shop.said("events", *words) == ""
    assert len(shop.said("events", "--event", "deadline:*", "--since-id", "1").splitlines()) == 1
    assert len(shop.said("events", "--since-id", "0", "--limit", "1").splitlines()) == 1
    assert "did you mean" in shop.typed("events", "--kind", "seller_respons").stderr


def test_a_reason_forges_no_line_and_steers_no_terminal(shop: Shop) -> None:
    forged = "root)\n   999  2026-12-01 05:00:00 UTC  disputes 30: Time was up. (clock"
    shop.said("hold", "disputes", "81", "--by", forged, "--reason", "\x1b[2J\x1b[31mred\u202eabc")
    shop.sql("UPDATE clock_holds SET reason = 'a\x1bb\nc'")  # by another hand than the command's
    for words in (("events",), ("explain", "disputes", "81"), ("holds",)):
        told = shop.said(*words)
        assert not {"\x1b", "\u202e"} & set(told)
        assert not [line for line in told.splitlines() if line.strip().startswith("999")]
    assert "\ufffd[2J\ufffd[31mred\ufffdabc" in shop.said("events")


def test_a_hold_that_covers_nothing_says_so_and_how_to_end_it(shop: Shop) -> None:
    told = shop.said("hold", "--country", "Portugal", "--reason", "postal strike")
    assert "Nothing that runs is of this scope" in told and "returnclock resume --hold 1" in told
    assert "Nothing that runs" not in shop.said("hold", "--country", "DE", "--reason", "postal strike", "--yes")


def test_events_say_that_nothing_matches_but_not_to_whoever_asks_for_what_is_new(shop: Shop) -> None:
    answer = shop.typed("events", "--event", "foo", "--json")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "No event matches.\n")
    newest = json.loads(shop.said("events", "--limit", "1", "--json"))["id"]
    answer = shop.typed("events", "--since-id", str(newest))
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "", "")


def test_an_underscore_in_a_pattern_is_an_underscore(shop: Shop) -> None:
    with writing(shop.engine) as connection:
        moment = datetime(2026, 11, 1, tzinfo=UTC)
        for name in ("return_window:expired", "returnXwindow:expired"):
            connection.execute(insert(events).values(event=name, at=moment, actor="test"))
    assert len(shop.said("events", "--event", "return_window:*").splitlines()) == 1


def test_following_tells_what_comes_and_ends_cleanly_on_ctrl_c(shop: Shop) -> None:
    with process(shop.folder, "events", "--follow", "--since-id", "1", "--json") as following:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        shop.sql("UPDATE disputes SET status = 'closed' WHERE id = 81")
        shop.said("run", "stamp")
        second = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        rest, errors = following.communicate(timeout=ENDING_S)
    assert (first["id"], second["id"], second["event"]) == (2, 3, "deadline:voided")
    assert (following.returncode, rest, errors) == (0, "", "")


def test_following_ends_cleanly_when_its_reader_has_gone(shop: Shop) -> None:
    following = process(shop.folder, "events", "--follow", "--since-id", "0")
    assert following.stdout is not None and following.stderr is not None
    assert following.stdout.readline()
    following.stdout.close()  # nothing more comes, and it ends all the same
    assert following.wait(ENDING_S) == 0
    assert following.stderr.read() == ""
    following.stderr.close()


# -- runs


def test_runs_are_listed_filtered_and_grouped_by_error(shop: Shop) -> None:
    errors = [
        "DatabaseUnreachable: no answer from 10.0.0.7:5432 after 3 s",
        "DatabaseUnreachable: no answer from 10.0.0.9:6432 after 12 s",
        "CountsDisagree: the sweep took 7 deadline(s)\nwith a second line",
    ]
    with writing(shop.engine) as connection:
        for number, error in enumerate(errors):
            moment = datetime(2026, 11, 1 + number, tzinfo=UTC)
            run = {"task": "deliver-mail" if number else "stamp", "trigger": "beat", "actor": "beat", "state": "failed"}
            connection.execute(insert(runs).values(run | {"started_at": moment, "finished_at": moment, "error": error}))
        connection.execute(
            insert(runs).values(task="purge", trigger="beat", actor="beat", started_at=moment, state="succeeded", idle=True)
        )

    newest, older = shop.json("runs", "--failures")
    assert (older["count"], older["tasks"]) == (2, ["deliver-mail", "stamp"])
    assert older["example"] == errors[1]
    assert older["first_at"] < older["last_at"]
    assert newest["error"] == "CountsDisagree: the sweep took … deadline(s)"
    told = shop.said("runs", "--failures")
    assert "2 times, last 2026-11-02 00:00:00 UTC" in told
    assert [row["task"] for row in shop.json("runs")] == ["deliver-mail", "deliver-mail", "stamp", "stamp"]
    assert [row["task"] for row in shop.json("runs", "--idle", "--limit", "1")] == ["purge"]
    assert len(shop.json("runs", "--state", "failed", "--since", "2026-11-02")) == 2
    assert len(shop.json("runs", "--task", "stamp", "--trigger", "cli")) == 1
    assert "nothing to change" not in shop.said("runs", "--state", "failed")
    assert shop.typed("runs", "--since", "yesterday").exit_code == 2


# -- deadlines and forecast


def test_deadlines_are_found_by_row_and_date_and_in_another_order(shop: Shop) -> None:
    ids = [row["subject_id"] for row in shop.json("deadlines")]
    assert ids == ["82", "81"]
    assert [row["subject_id"] for row in shop.json("deadlines", "--order-by", "start", "--newest-first")] == ["81", "82"]
    assert [row["subject_id"] for row in shop.json("deadlines", "--table", "disputes", "--subject", "81")] == ["81"]
    assert shop.json("deadlines", "--table", "orders") == []
    assert shop.json("deadlines", "--order-by", "settled") == []
    due = shop.json("deadlines", "--subject", "82")[0]["due_at"]
    later = (datetime.fromisoformat(due) + timedelta(seconds=1)).isoformat()
    assert [row["subject_id"] for row in shop.json("deadlines", "--due-after", due)] == ["82", "81"]
    assert [row["subject_id"] for row in shop.json("deadlines", "--due-after", later)] == ["81"]
    assert [row["subject_id"] for row in shop.json("deadlines", "--due-before", due)] == []
    wrong = shop.typed("deadlines", "--table", "dispute")
    assert (wrong.exit_code, "did you mean 'disputes'?" in wrong.stderr) == (3, True)


def test_forecast_counts_by_local_day_kind_and_party(shop: Shop) -> None:
    shop.settings('[calendar]\ntime_zone = "Pacific/Auckland"\n')
    found = shop.json("forecast", "--days", "14")
    assert (found["zone"], found["total"], len(found["days"])) == ("Pacific/Auckland", 2, 14)
    (first, second) = [day for day in found["days"] if day["total"]]
    assert first["by_kind"] == {"seller_response": 1}
    assert first["by_party"] == {"seller": 1}
    due = datetime.fromisoformat(shop.json("deadlines", "--subject", "82")[0]["due_at"])
    assert datetime.fromisoformat(first["begins_at"]) <= due < datetime.fromisoformat(first["ends_at"])
    chart = shop.said("forecast")
    assert "Falling due by day, Pacific/Auckland" in chart
    assert "the seller must act" in chart
    assert "seller 2; 2 in all" in chart
    assert second["day"] > first["day"]


# -- explain


def test_explain_says_in_one_sentence_how_it_stands(shop: Shop) -> None:
    story = shop.said("explain", "disputes", "81")
    assert "The seller's answer is awaited until " in story
    assert ": 4 days and 2" in story
    assert "The clock was started: the time for the seller's answer ends " in story
    shop.sql("UPDATE clock_deadlines SET due_at = '2026-01-01 00:00:00.000000Z' WHERE subject_id = '82'")
    assert "ago, and the next sweep enforces it." in shop.said("explain", "disputes", "82")
    shop.said("run", "escalate-disputes")
    told = shop.json("explain", "disputes", "82")["stories"][0]
    assert "so the rule took effect" in told["summary"]
    assert told["events"][-1]["told"] == "Time was up for the seller's answer, and the rule took effect: dispute escalated."


# -- preview and restamp


def test_preview_and_restamp_say_the_number_ask_and_leave_their_run(shop: Shop) -> None:
    shop.settings('[policy.seller_response]\nperiod = "3 days"\n')
    told = shop.said("preview")
    assert "2 date(s) move, 1 would fire now; 0 stay as they are." in told
    assert "the rule: period 5 days -> 3 days" in told
    refused = shop.typed("restamp", "--reason", "terms")
    assert (refused.exit_code, "--overdue notice" in refused.stderr) == (4, True)
    no = shop.typed("restamp", "--reason", "terms", "--overdue", "fire", answer="n\n")
    assert (no.exit_code, "Move 2 deadline(s), 1 of them fire with the next sweep?" in no.output) == (4, True)
    assert shop.json("restamp", "--reason", "terms", "--overdue", "skip", "--dry-run")["would_move"] == 1
    assert shop.typed("restamp", "--reason", "terms", "--overdue", "skip", "--json").exit_code == 4
    assert shop.typed("restamp", "--reason", " ", "--yes").exit_code == 2
    assert shop.typed("restamp", "--yes").exit_code == 2
    assert shop.said("events", "--event", "deadline:restamped") == ""

    done = shop.json("restamp", "--reason", "terms", "--overdue", "notice", "--by", "maria", "--yes")

    assert (done["moved"], done["by_kind"]["seller_response"]["moved"]) == (2, {"given notice": 1, "earlier": 1})
    (run,) = shop.json("runs", "--task", "restamp")
    assert (run["id"], run["state"], run["actor"], run["result"]["moved"]) == (done["run_id"], "succeeded", "maria", 2)
    assert "Reason: terms." in shop.said("events", "--event", "deadline:restamped", "--actor", "maria")
    assert "There is nothing to move." in shop.said("restamp", "--reason", "terms")
    assert "Changed rules were applied" in shop.said("explain", "disputes", "81")


def test_restamp_tells_and_keeps_what_it_moved_and_what_it_left(shop: Shop) -> None:
    shop.sql(
        "INSERT INTO orders (id, buyer_id, seller_id, country) VALUES (2, 1, 1, 'FR')",
        "INSERT INTO disputes (id, order_id, opened_at) VALUES (83, 2, datetime('now', '-1 hour'))",
    )
    shop.said("run", "stamp")
    shop.settings('[[policy.seller_response.override]]\nwhen = { country = "DE" }\nperiod = "9 days"\n')
    done = shop.json("restamp", "--reason", "terms", "--yes", "--overdue", "skip")

    found = done["by_kind"]["seller_response"]
    assert (done["moved"], found) == (2, {"moved": {"later": 2}, "left": {"unchanged": 1}})
    (run,) = shop.json("runs", "--task", "restamp")
    assert (run["state"], run["result"]["by_kind"]) == ("succeeded", done["by_kind"])


def test_an_edited_file_is_previewed_against_the_same_database(shop: Shop) -> None:
    edited = shop.folder / "edited.toml"
    edited.write_text('[policy.seller_response]\nperiod = "9 days"\n')
    found = shop.json("preview", "--config", str(edited))
    assert (found["moves"], found["settings"]) == (2, str(edited))
    assert shop.json("preview")["moves"] == 0
    edited.write_text('[policy.seller_response]\nperiod = "9 dayz"\n')
    wrong = shop.typed("preview", "--config", str(edited))
    assert (wrong.exit_code, "9 dayz" in wrong.stderr) == (2, True)
    assert "did you mean" in shop.typed("preview", "--kind", "seller_respons").stderr


def test_sqlite_has_no_accounts_to_grant_rights_to(shop: Shop) -> None:
    refused = shop.typed("db", "grants")
    assert (refused.exit_code, "knows no accounts" in refused.stderr) == (4, True)
