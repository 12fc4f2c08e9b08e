"""Nobody who types a command is shown a traceback, and monitoring never takes one for a mere warning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from returnclock.database import writing
from returnclock.engines import open_engine
from tests.system.command_line import typed

BIG = "9" * 23


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an upgraded database, which no test here changes."""
    made = tmp_path_factory.mktemp("deployment")
    assert typed(made, "db", "upgrade").returncode == 0
    return made


def by_shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """The command as "$0", in whatever a shell makes of its streams and its folder."""
    words = ["sh", "-c", line.replace("rc ", f"{sys.executable} -m returnclock ")]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def as_nobody(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return subprocess.run(
        [*drop, sys.executable, "-m", "returnclock", *words],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        *(("hold", BIG, "--reason", "r"), ("resume", BIG, "--reason", "r"), ("resume", "--hold", BIG, "--reason", "r")),
        *(("outbox", "show", BIG), ("outbox", "requeue", BIG, "--reason", "r")),
        *(("events", "--deadline", BIG), ("events", "--run", BIG), ("vacation", "list", "--seller", BIG)),
        ("vacation", "remove", BIG, "--reason", "r"),
        ("vacation", "add", BIG, "2031-01-01", "2031-01-02", "--reason", "r"),
    ],
)
def test_an_id_that_no_database_can_hold_is_one_that_there_is_not(folder: Path, words: tuple[str, ...]) -> None:
    answer = typed(folder, *words)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr.startswith("returnclock: There is no ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        *(("outbox", "list", "--limit", BIG), ("deadlines", "--limit", BIG), ("problems", "--limit", BIG)),
        *(
            ("events", "--limit", BIG),
            ("events", "--since-id", BIG),
            ("runs", "--limit", BIG),
            ("run", "stamp", "--limit", BIG),
        ),
    ],
)
def test_a_number_that_no_database_can_hold_is_wrong_usage(folder: Path, words: tuple[str, ...]) -> None:
    answer = typed(folder, *words)
    assert answer.returncode == 2
    assert f"{BIG} is not a number from" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "escalate-disputes", "--dry-run", "--at", "9999-12-31T23:59"),
        ("hold", "--all", "--from", "0001-01-01", "--reason", "r"),
    ],
)
def test_a_time_from_which_nothing_can_be_counted_is_refused(folder: Path, words: tuple[str, ...]) -> None:
    answer = typed(folder, *words)
    assert answer.returncode == 2
    assert "is too far away to count from. Write a time of the years" in answer.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_data_folder_that_nobody_may_see_or_make_is_named_and_unknown_to_monitoring(tmp_path: Path) -> None:
    (hidden := tmp_path / "hidden").mkdir(mode=0o700)
    where = {"RETURNCLOCK_DATA": str(hidden / "x")}
    for words in (("check",), ("db", "check")):
        answer = as_nobody(Path("/"), *words, **where)
        assert (answer.returncode, answer.stderr) == (3, "")
        assert answer.stdout.startswith(f"UNKNOWN: The folder {hidden}/x cannot be used: Permission denied.")
    assert '"status": "UNKNOWN"' in as_nobody(Path("/"), "check", "--json", **where).stdout
    for words in (("status",), ("db", "upgrade"), ("up",)):
        answer = as_nobody(Path("/"), *words, **where)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr.startswith(f"returnclock: The folder {hidden}/x cannot be used: Permission denied.")


def test_a_command_that_only_reads_makes_no_database_where_there_is_none(tmp_path: Path) -> None:
    for words in (("status",), ("explain", "disputes", "1"), ("hold", "--all", "--reason", "r"), ("metrics", "--once")):
        answer = typed(tmp_path, *words)
        assert answer.returncode == 1
        assert answer.stderr.startswith(
            f"returnclock: There is no database sqlite:///{tmp_path}/returnclock-data/returnclock.db"
        )
        assert 'Run "returnclock db upgrade" first.' in answer.stderr
    assert typed(tmp_path, "check").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_an_older_program_leaves_a_newer_database_alone_and_says_what_to_do(tmp_path: Path) -> None:
    typed(tmp_path, "db", "upgrade")
    engine = open_engine(f"sqlite:///{tmp_path}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        connection.execute(text("UPDATE clock_schema_version SET version_num = '0042'"))
    engine.dispose()
    answer = typed(tmp_path, "db", "upgrade")
    assert (answer.returncode, answer.stdout) == (4, "")
    assert "has schema 0042, and is newer than this returnclock" in answer.stderr
    assert "Traceback" not in answer.stderr
    unit = (Path(__file__).parents[2] / "deploy/systemd/returnclock-upgrade.service").read_text()
    assert f"RestartPreventExitStatus={answer.returncode}" in unit


@pytest.mark.parametrize(("words", "code"), [("status", 1), ("status --json", 1), ("deadlines", 1), ("check", 3)])
def test_output_that_a_full_disk_does_not_take_is_a_sentence(folder: Path, words: str, code: int) -> None:
    answer = by_shell(folder, f"rc {words} > /dev/full")
    assert (answer.returncode, answer.stderr) == (code, "returnclock: the system refused: No space left on device\n")


@pytest.mark.parametrize("words", ["status", "check --json"])
def test_output_that_was_closed_is_printed_nowhere_and_into_no_file(folder: Path, words: str) -> None:
    answer = by_shell(folder, f"rc {words} >&-")
    assert (answer.returncode, answer.stderr) == (2 if "check" in words else 0, "")
    assert (folder / "returnclock-data" / "returnclock.db").read_bytes().startswith(b"SQLite format 3\0")


def test_a_folder_that_was_deleted_under_the_command_is_said(tmp_path: Path) -> None:
    for words, code in (("check", 3), ("status", 2)):
        answer = by_shell(tmp_path, f"mkdir gone && cd gone && rmdir ../gone && rc {words}")
        assert answer.returncode == code
        assert "the current folder cannot be used (No such file or directory)" in answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr


def test_what_nobody_foresaw_is_one_sentence_and_its_traceback_is_for_who_asks(folder: Path) -> None:
    broken = (
        "import sys; from returnclock import health; health.overdue = lambda *_: 1 / 0; sys.argv[0] = 'returnclock'\n"
        "from returnclock.cli import main; main()"
    )

    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        started = [sys.executable, "-c", broken, *words]
        environ = {**os.environ, **environ}
        return subprocess.run(started, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)

    told = "this should not have happened: ZeroDivisionError: division by zero."
    answer = run("status")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith(f"returnclock: {told}")
    assert "Traceback" in run("status", RETURNCLOCK_DEBUG="1").stderr
    verdict = run("check")
    assert (verdict.returncode, verdict.stderr) == (3, "")
    assert verdict.stdout.startswith(f"UNKNOWN: {told}")
