"""What is handed on of a task that failed."""

from __future__ import annotations

import logging
import pickle

import pytest
from billiard.einfo import ExceptionInfo
from sqlalchemy.exc import OperationalError, ProgrammingError

from returnclock.errors import DatabaseUnreachable, ReturnclockError, StatementRefused
from returnclock.tasks.failures import kept_small

PIPE = 65_536


class Said(Exception):
    """What a driver raises."""

    def __init__(self, words: str, sqlstate: str) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


LOCKED = OperationalError("SELECT " + "x" * PIPE, {}, Said("canceling statement due to lock timeout\nLINE 2: …", "55P03"))
FORBIDDEN = ProgrammingError("SELECT " + "x" * PIPE, {}, Said("permission denied for table clock_runs", "42501"))


def failed(first: Exception, then: Exception | None = None) -> tuple[ReturnclockError, int]:
    """What comes out of a task, and how much of it goes through the pipe."""
    with pytest.raises(ReturnclockError) as caught, kept_small():
        try:
            raise first
        except Exception:
            raise (then or first) from first
    return caught.value, len(pickle.dumps(ExceptionInfo((type(caught.value), caught.value, caught.tb))))


@pytest.mark.parametrize("fault", [LOCKED, FORBIDDEN], ids=["passing", "lasting"])
def test_an_error_of_the_database_becomes_one_of_ours_without_its_statement(fault: Exception) -> None:
    error, size = failed(fault)
    assert isinstance(error, StatementRefused) and error.exit_code == 1
    assert "\n" not in str(error) and "SELECT" not in str(error) and size < PIPE / 4
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_led_to_an_error_of_ours_is_not_handed_on() -> None:
    away = DatabaseUnreachable(url="postgresql://shop", reason="no answer")
    error, size = failed(LOCKED, away)
    assert error is away and size < PIPE / 4


def test_only_what_does_not_pass_by_itself_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failed(LOCKED)
    assert caplog.records == []
    failed(FORBIDDEN)
    assert [bool(record.exc_info) for record in caplog.records] == [True]
