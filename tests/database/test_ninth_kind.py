"""A ninth kind, written in one file of the shop's own (``refused_dispute.py``), works end to end by one line of settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from returnclock.errors import SettingsError
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

PLUGGED_IN = 'kinds = ["tests.database.refused_dispute:REFUSED_DISPUTE"]\n'
DUE = MONDAY + 7 * DAY


@pytest.fixture
def dispute(market: Market) -> int:
    market.configure(PLUGGED_IN)
    dispute = market.dispute(status="refused", seller_replied_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)
    return dispute


def test_a_kind_of_the_shop_s_own_is_stamped_reminded_swept_and_told(market: Market, dispute: int) -> None:
    assert market.run("send-reminders", at=DUE - 2 * DAY)["queued"] == 1
    market.run("deliver-mail")
    assert market.run("close-refused-disputes", at=DUE - SECOND)["changed"] == 0
    assert market.run("close-refused-disputes", at=DUE)["changed"] == 1
    market.run("deliver-mail")

    assert market.row("disputes", dispute).status == "closed"
    assert market.events("refused_dispute", dispute) == [
        *["deadline:stamped", "reminder:queued", "notice:sent"],
        *["dispute:closed_after_refusal", "notice:sent"],
    ]
    reminder, outcome = (message.parsed["Subject"] for message in market.mailer.taken)
    assert ("left to escalate" in reminder, "is closed" in outcome) == (True, True)


def test_a_buyer_who_escalates_meets_it(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="escalated", escalated_by="buyer")
    market.run("stamp")

    assert market.states("refused_dispute", dispute) == ["met"]
    assert market.sweep_all(at=DUE) == 0


def test_reconcile_finds_its_rows_and_settings_change_its_policy(market: Market) -> None:
    market.configure(PLUGGED_IN + '[policy.refused_dispute]\nperiod = "3 days"\n')
    dispute = market.dispute(status="refused", seller_replied_at=MONDAY)
    market.sql("DELETE FROM clock_changes")
    market.run("reconcile", at=MONDAY + HOUR)

    assert market.deadline("refused_dispute", dispute).due_at == MONDAY + 3 * DAY


def test_its_sweep_is_a_task_of_celery_with_a_tick_of_beat(sqlite_market: Market) -> None:
    """In a process of its own: Celery's app is composed once a process."""
    sqlite_market.configure(PLUGGED_IN)
    code = """
from returnclock.tasks import app
app.finalize()
name = "returnclock.close_refused_disputes"
print(name in app.tasks, [entry["task"] for entry in app.conf.beat_schedule.values()].count(name))
"""
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": sqlite_market.url,
        "RETURNCLOCK_DATA": str(sqlite_market.folder),
        "RETURNCLOCK_CONFIG": str(sqlite_market.folder / "returnclock.toml"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout.strip(), done.returncode) == ("True 1", 0), done.stderr


def test_a_kind_that_cannot_be_loaded_is_refused_by_its_name(market: Market) -> None:
    with pytest.raises(SettingsError, match=r"tests\.database\.refused_dispute:REFUSED_DISPUT"):
        market.configure('kinds = ["tests.database.refused_dispute:REFUSED_DISPUT"]\n')
