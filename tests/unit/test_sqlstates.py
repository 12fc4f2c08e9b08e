"""What a database says is told in its own words, in one line."""

from __future__ import annotations

import click
import psycopg
import pymysql
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from returnclock.cli import Commands
from returnclock.sqlstates import is_lost, named_reason, reason_of


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            Exception("canceling statement due to lock timeout\nCONTEXT:  while locking tuple"),
            "canceling statement due to lock timeout",
        ),
        (
            Exception(1205, "Lock wait timeout exceeded; try restarting transaction"),
            "Lock wait timeout exceeded; try restarting transaction",
        ),
        (Exception(1205, ""), "Exception"),
        (ValueError(""), "ValueError"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_reason_is_one_line_of_words_and_never_empty(said: Exception, told: str) -> None:
    assert reason_of(OperationalError("UPDATE disputes", {}, said)) == told
    assert reason_of(said) == told


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (
            OperationalError(
                "SELECT 1", {}, psycopg.errors.LockNotAvailable("canceling statement\nLINE 2: FROM clock_deadlines")
            ),
            "LockNotAvailable: canceling statement",
        ),
        (
            OperationalError("SELECT 1", {}, pymysql.err.OperationalError(1205, "Lock wait timeout exceeded")),
            "OperationalError: Lock wait timeout exceeded",
        ),
        (PoolTimeout("QueuePool limit reached", code="3o7r"), "TimeoutError: QueuePool limit reached"),
        (RuntimeError("two\nlines"), "RuntimeError: two\nlines"),
    ],
)
def test_what_is_kept_of_a_failure_is_its_name_and_words_and_no_statement(fault: Exception, kept: str) -> None:
    assert named_reason(fault) == kept


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (psycopg.errors.ConnectionFailure("server closed the connection"), True),
        (psycopg.errors.DeadlockDetected("deadlock detected"), False),
        (psycopg.errors.SerializationFailure("could not serialize access"), False),
        (pymysql.err.OperationalError(2013, "Lost connection to server during query"), True),
        (pymysql.err.OperationalError(1927, "Connection was killed"), True),
        (pymysql.err.OperationalError(1213, "Deadlock found"), False),
    ],
)
def test_only_who_was_cut_off_cannot_know_whether_it_was_committed(fault: Exception, lost: bool) -> None:
    assert is_lost(OperationalError("COMMIT", {}, fault)) is lost


@pytest.mark.parametrize(
    ("number", "hint"), [(1205, ". Somebody else has a row in hand, or the connection was lost: try again."), (1146, "")]
)
def test_a_command_that_meets_a_lock_says_that_trying_again_helps(number: int, hint: str) -> None:
    def locked() -> None:
        raise OperationalError("UPDATE disputes", {}, Exception(number, "Not now"))

    told = CliRunner().invoke(Commands(commands={"undo": click.Command("undo", callback=locked)}), ["undo"])

    assert (told.exit_code, told.stderr) == (1, f"returnclock: the database refused: Not now{hint}\n")
