"""What the command says in passing: spans, numbers, waiting, and being interrupted."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError

from returnclock import runs, schema, tasks
from returnclock.cli import cli, faults
from returnclock.cli.work import _number
from returnclock.localtime import span
from returnclock.settings import load
from returnclock.tasks import request
from returnclock.wiring import Wiring, wire


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wiring:
    monkeypatch.chdir(tmp_path)
    wiring = wire(load({}, tmp_path))
    schema.upgrade(wiring.engine)
    return wiring


def typed(*words: str) -> Result:
    return CliRunner().invoke(cli, words, prog_name="returnclock")


@pytest.mark.parametrize(("seconds", "told"), [(0.5, "0.5 s"), (0.04, "0.04 s"), (0, "0 s"), (0.6, "1 s"), (125, "2 min 5 s")])
def test_a_span_that_is_not_nothing_is_never_told_as_nothing(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_a_number_of_a_result_is_told_in_digits() -> None:
    assert (_number(1814400.0), _number({"le_60": 2.0}), _number(0.25)) == ("1814400", "le_60 2", "0.25")


def test_an_extension_in_two_ways_is_told_from_one_in_none(shop: Wiring) -> None:
    words = ("extend", "--all", "--reason", "r")
    assert "Say how much" in typed(*words).stderr
    both = typed(*words, "--add", "2", "--until", "2031-01-01")
    assert (both.exit_code, both.stderr) == (2, "returnclock: --add and --until both say how much; give one of them.\n")


def test_an_error_leaves_standard_output_empty_with_json_too(shop: Wiring) -> None:
    answer = typed("explain", "disputes", "9", "--json")
    assert (answer.exit_code, answer.stdout) == (3, "")
    assert answer.stderr.startswith("returnclock: There is no row in disputes")


def test_who_waits_for_a_worker_is_told_at_once_and_after_ctrl_c_what_becomes_of_it(
    shop: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "wiring", lambda: shop)
    monkeypatch.setattr(request, "wiring", lambda: shop)
    monkeypatch.setattr(request, "_send", lambda *_: SimpleNamespace(backend=None))
    monkeypatch.setattr(request._Answer, "wait", interrupted)
    answer = typed("run", "stamp", "--queue")
    assert (answer.exit_code, answer.stdout) == (1, "")
    waits, _, stays, *_ = answer.stderr.splitlines()
    assert waits == "Sent. Waiting for a worker to take it, 60 s at most."
    stay = "a worker may still take stamp, until the request expires 60 s after it was sent"
    assert stays == f"Not waited for any longer: {stay}."


def test_a_run_that_ctrl_c_ends_is_no_failure_to_be_logged(
    shop: Wiring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(_job: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "job_for", lambda *_: interrupted)
    with caplog.at_level(logging.INFO), pytest.raises(KeyboardInterrupt):
        runs.perform(shop, "stamp", trigger="manual", actor="maria")
    assert "failed" not in caplog.text
    assert '"error": "KeyboardInterrupt"' in typed("runs", "--json").stdout


@pytest.mark.parametrize("said", ["disk I/O error", "database or disk is full"])
def test_a_full_disk_is_asked_for(said: str) -> None:
    told = faults.told(OperationalError("INSERT", {}, sqlite3.OperationalError(said)))
    assert told.startswith(f"the database refused: {said}. Is the disk full?")
