"""The demo keeps its promise, and its verdict notices when the promise is broken."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Connection, delete, insert, select, update

from returnclock.demo import run_demo
from returnclock.demo.play import Intruder
from returnclock.errors import BadUsage, Refused
from returnclock.tables.clock import deadlines, events, outbox

DAYS = 8
MEDDLED_AT = 24 * 5  # in hours from the start: after the outage, with three days to come


def played(intruder: Intruder | None = None, *, days: int = DAYS) -> tuple[int, dict[str, Any]]:
    out = StringIO()
    code = run_demo(days=days, as_json=True, console=Console(file=out, width=200), intruder=intruder)
    return code, json.loads(out.getvalue())


def once(meddle: Intruder) -> Intruder:
    """Do it before one tick, and never again."""
    ticks = 0

    def intruder(connection: Connection, at: datetime) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == MEDDLED_AT:
            meddle(connection, at)

    return intruder


def window_that_ends(connection: Connection, at: datetime, *, next_after: bool) -> int:
    """The running return window that ends next after an instant, or the one that ends last."""
    still = (deadlines.c.kind == "return_window", deadlines.c.state == "running", deadlines.c.due_at > at)
    order = deadlines.c.due_at if next_after else deadlines.c.due_at.desc()
    return int(connection.execute(select(deadlines.c.id).where(*still).order_by(order).limit(1)).scalar_one())


def test_eight_days_with_an_outage_keep_the_promise() -> None:
    code, told = played()

    assert code == 0
    assert (told["early"], told["lost"], told["twice"], told["unexplained"]) == (0, 0, 0, 0)
    assert told["checked"] == sum(of["fired"] for of in told["by_kind"].values()) > 30
    assert told["letters"] > 50
    answers, windows = told["by_kind"]["seller_response"], told["by_kind"]["return_window"]
    assert answers["fired"] and answers["met"] and windows["fired"] and windows["met"] and windows["void"]
    assert windows["reminders_skipped"], "the outage made no reminder stale"
    assert 3600 < max(answers["latest_s"], windows["latest_s"]) <= 48 * 3600
    assert told["by_kind"]["refund_completion"]["fired"]
    for of in told["by_kind"].values():
        assert of["stamped"] == of["running"] + of["met"] + of["fired"] + of["void"]


def test_a_deadline_that_is_moved_forward_is_found_to_have_fired_early() -> None:
    def meddle(connection: Connection, at: datetime) -> None:
        chosen = window_that_ends(connection, at, next_after=False)
        connection.execute(update(deadlines).where(deadlines.c.id == chosen).values(due_at=at))

    code, told = played(once(meddle))
    assert (code, told["early"]) == (1, 1)


def test_a_deadline_that_is_put_off_is_found_to_be_lost() -> None:
    def meddle(connection: Connection, at: datetime) -> None:
        chosen = window_that_ends(connection, at, next_after=True)
        later = at + timedelta(days=365)
        connection.execute(update(deadlines).where(deadlines.c.id == chosen).values(due_at=later))

    code, told = played(once(meddle))
    assert (code, told["lost"], told["early"]) == (1, 1, 0)


def test_a_notice_that_vanishes_is_found_to_be_lost() -> None:
    def meddle(connection: Connection, _at: datetime) -> None:
        chosen = select(outbox.c.id).where(outbox.c.notice == "outcome").order_by(outbox.c.id).limit(1)
        connection.execute(delete(outbox).where(outbox.c.id == connection.execute(chosen).scalar_one()))

    code, told = played(once(meddle))
    assert (code, told["lost"]) == (1, 1)


def test_a_second_firing_of_one_deadline_is_found() -> None:
    def meddle(connection: Connection, at: datetime) -> None:
        first = connection.execute(select(events).where(events.c.event == "return_window:expired").limit(1)).one()
        connection.execute(insert(events).values({**first._mapping, "id": None, "at": at}))

    code, told = played(once(meddle))
    assert (code, told["twice"]) == (1, 1)


def test_a_letter_that_is_sent_twice_is_found() -> None:
    def meddle(connection: Connection, at: datetime) -> None:
        chosen = select(outbox.c.id).where(outbox.c.notice == "outcome", outbox.c.state == "sent").limit(1)
        again = connection.execute(chosen).scalar_one()
        values = {"state": "queued", "next_attempt_at": at}
        connection.execute(update(outbox).where(outbox.c.id == again).values(values))

    code, told = played(once(meddle))
    assert (code, told["twice"]) == (1, 1)


def test_a_deadline_without_its_explanation_is_found() -> None:
    def meddle(connection: Connection, at: datetime) -> None:
        chosen = window_that_ends(connection, at, next_after=False)
        connection.execute(delete(events).where(events.c.deadline_id == chosen, events.c.event == "deadline:stamped"))

    code, told = played(once(meddle))
    assert (code, told["unexplained"]) == (1, 1)


def test_plain_lines_fit_where_there_is_no_terminal(tmp_path: Path) -> None:
    out = StringIO()
    assert run_demo(days=5, keep=tmp_path / "kept", console=Console(file=out, width=80)) == 0

    said = out.getvalue()
    assert "\x1b" not in said
    assert "everything stops" in said
    assert "0 early, 0 lost, 0 twice, 0 unexplained" in said
    assert "…" not in said
    assert all(len(line) <= 80 for line in said.splitlines() if "max" in line or line.startswith("refund_"))
    assert {path.name for path in (tmp_path / "kept").iterdir()} >= {"returnclock.db", "returnclock.toml", "mail"}


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="not an empty folder"):
        run_demo(days=5, keep=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("days", [4, 121])
def test_a_number_of_days_out_of_range_is_refused(days: int) -> None:
    with pytest.raises(BadUsage, match="between 5 and 120"):
        run_demo(days=days)
