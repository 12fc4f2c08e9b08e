"""``returnclock run TASK --queue``: what it says when the broker, a worker or the answer does not come."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeoutError as NotYet
from sqlalchemy import insert

from returnclock import schema
from returnclock.database import writing
from returnclock.errors import BrokerUnusable, NoWorker, Refused, RunFailed, StillRunning
from returnclock.settings import load
from returnclock.tables.clock import runs
from returnclock.tasks import app, request
from returnclock.tasks.wording import reason_of
from returnclock.wiring import Wiring, wire
from tests.servers import RedisServer
from tests.system.command_line import typed

RESULT = {"task": "stamp", "run_id": 7}
NOBODY = "127.0.0.1:1"


class Sent:
    """A request that was sent. ``answers`` come one at each look, and the last of them for ever."""

    id = "sent-1"
    backend: Any = None

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    def get(self, timeout: float, propagate: bool) -> object:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, NotYet | OSError):
            raise answer
        return answer


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wiring]:
    """A database, and a clock on which each look at it takes a second."""
    made = wire(load({"RETURNCLOCK_DATA": str(tmp_path)}, tmp_path))
    schema.upgrade(made.engine)
    seconds = iter(range(10_000))
    monkeypatch.setattr(request, "wiring", lambda: made)
    monkeypatch.setattr(request, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(request, "sleep", lambda _: None)
    monkeypatch.setattr(request._Answer, "_is_in_hand", lambda _: False)
    yield made
    made.engine.dispose()


def record(shop: Wiring, **values: object) -> None:
    row = {"id": 7, "task": "stamp", "trigger": "manual", "actor": "maria", "celery_task_id": Sent.id, "state": "running"}
    with writing(shop.engine) as connection:
        connection.execute(insert(runs).values(row | {"started_at": datetime.now(UTC)} | values))


def answer_to(*answers: object) -> dict[str, Any]:
    return request._Answer("stamp", Sent(*answers), 0).wait()  # type: ignore[arg-type]


def test_what_nobody_takes_is_given_up_when_it_has_expired(shop: Wiring) -> None:
    with pytest.raises(NoWorker, match="within 60 s"):
        answer_to(NotYet())
    assert request.monotonic() < request.TAKEN_WITHIN_S + 5


def test_what_a_worker_has_in_hand_is_waited_for_as_long_as_a_run_may_take(shop: Wiring) -> None:
    record(shop)
    assert answer_to(*[NotYet()] * 240, RESULT) == RESULT


def test_a_run_that_does_not_end_is_named_when_it_is_given_up(shop: Wiring) -> None:
    record(shop)
    with pytest.raises(StillRunning, match="run 7"):
        answer_to(NotYet())
    assert request.monotonic() > request.DONE_WITHIN_S


def test_a_worker_that_has_it_in_hand_without_a_row_is_waited_for(shop: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request._Answer, "_is_in_hand", lambda _: True)
    assert answer_to(*[NotYet()] * 240, RESULT) == RESULT


@pytest.mark.parametrize("answer", [NotYet(), ConnectionResetError("gone")], ids=["lost", "results away"])
def test_the_row_tells_the_result_that_celery_lost(shop: Wiring, answer: Exception) -> None:
    record(shop, state="succeeded", result=RESULT)
    assert answer_to(answer) == RESULT


def test_the_row_tells_the_failure_that_celery_lost(shop: Wiring) -> None:
    record(shop, state="failed", error="OperationalError: no such thing\n[SQL: SELECT 1]")
    with pytest.raises(RunFailed) as failed:
        answer_to(NotYet())
    assert "no such thing" in str(failed.value) and "SQL" not in str(failed.value)


def test_a_refusal_of_the_task_stays_a_refusal_and_any_other_error_is_a_failed_run(shop: Wiring) -> None:
    with pytest.raises(Refused) as refused:
        answer_to(Refused(reason="it rests"))
    with pytest.raises(RunFailed, match="KeyError") as failed:
        answer_to(KeyError("x"))
    assert (refused.value.exit_code, failed.value.exit_code) == (4, 1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (RuntimeError("\nRetry limit exceeded"), "Retry limit exceeded"),
        (OSError(28, "No space left on device", "/data/.x.part"), "No space left on device"),
        (ValueError("redis://user:secret@host/0 is away.\nSecond line"), "redis://user:***@host/0 is away"),
        (ValueError("No master found for 'x' : <redis.client.Redis(<redis.connection…"), "No master found for 'x'"),
        (ValueError(""), "ValueError"),
    ],
)
def test_a_fault_is_told_in_one_line_without_a_password(fault: Exception, told: str) -> None:
    assert reason_of(fault) == told


def test_the_cause_is_told_where_celery_says_only_that_it_gave_up() -> None:
    given_up = RuntimeError("Retry limit exceeded")
    given_up.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert reason_of(given_up) == "Connection refused"


def test_nothing_is_left_to_say_when_the_asking_is_over(shop: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)

    class Broken:
        def remove_pending_result(self, _: object) -> None:
            raise OSError("the connection is gone")

    def send(*_: object) -> object:
        sent = app.AsyncResult("sent-1", backend=Broken())
        sent.get = Sent(RESULT).get
        return sent

    monkeypatch.setattr(request, "_send", send)
    assert request.ask_worker("stamp", {}, "maria") == RESULT
    gc.collect()
    assert said == []
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize(
    "url",
    [f"redis://:Hunter2@{NOBODY}/0", f"sentinel://:Hunter2@{NOBODY}", f"amqp://u:Hunter2@{NOBODY}//"],
    ids=["redis", "sentinel", "rabbitmq"],
)
def test_a_broker_that_is_away_is_told_in_a_sentence_and_is_no_refusal(tmp_path: Path, url: str) -> None:
    done = typed(tmp_path, "run", "stamp", "--queue", environ={"RETURNCLOCK_BROKER_URL": url})
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Hunter2" not in done.stderr
    assert done.stderr.startswith("returnclock: The broker at ") and '"returnclock run stamp" without --queue' in done.stderr


def test_a_broker_that_refuses_the_password_is_told_in_a_sentence(tmp_path: Path) -> None:
    with RedisServer() as server:
        with server.client() as client:
            client.acl_setuser("returnclock", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"])
        url = server.url.replace("://", "://returnclock:Hunter2@")
        done = typed(tmp_path, "run", "stamp", "--queue", environ={"RETURNCLOCK_REDIS_URL": url})
    assert done.returncode == 1 and "invalid username-password pair" in done.stderr
    assert "Traceback" not in done.stderr and "Hunter2" not in done.stderr


def test_a_disk_that_is_full_is_told_in_a_sentence(shop: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(app, "connection_for_write", no_space)
    with pytest.raises(BrokerUnusable) as full:
        request.ask_worker("stamp", {}, "maria")
    assert f"{shop.settings.data_folder / 'broker'} cannot be used: No space left on device" in str(full.value)


def test_a_time_that_is_none_is_refused_at_once_with_queue_too(tmp_path: Path) -> None:
    for queue in ([], ["--queue"]):
        done = typed(tmp_path, "run", "stamp", "--dry-run", "--at", "xx", *queue)
        assert done.returncode == 2 and "'xx' is not a time" in done.stderr


def test_the_time_of_a_dry_run_reaches_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from returnclock.cli import work

    def ask(task: str, asked: dict[str, Any], actor: str, _waits: object) -> dict[str, Any]:
        return asked

    monkeypatch.setattr(request, "ask_worker", ask)
    monkeypatch.setattr("returnclock.jobs.job_for", lambda *_: None)
    monkeypatch.setattr("returnclock.tasks.wiring", lambda: None)
    asked = work._queued("stamp", True, datetime(2026, 12, 24, tzinfo=UTC), 3)
    assert asked == {"limit": 3, "dry_run": True, "at": "2026-12-24T00:00:00+00:00"}
