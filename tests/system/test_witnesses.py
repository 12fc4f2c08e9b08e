"""Those outside who are told of runs, each by a fake of this process: the heartbeat, Sentry, OpenTelemetry; and the logs."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
import sentry_sdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from returnclock import witnesses
from returnclock.errors import DeadlinesLate
from returnclock.heartbeat import ping, run_uuid
from returnclock.jobs import job_for
from returnclock.logbook import ConsoleFormatter, JsonFormatter
from returnclock.tables.clock import runs
from returnclock.telemetry import in_run, masked
from returnclock.witnesses.otel import OtelWitness
from returnclock.witnesses.sentry import SentryWitness
from tests.database.conftest import emptied, migrated
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    yield from migrated(f"sqlite:///{tmp_path_factory.mktemp('witnesses') / 'market.db'}")


@pytest.fixture
def market(engine: Any, tmp_path: Any) -> Market:
    return Market(emptied(engine), tmp_path)


@pytest.fixture(autouse=True)
def _no_witness_of_another_test() -> Iterator[None]:
    real = witnesses._witnesses
    real.cache_clear()
    yield
    real.cache_clear()


class Switchboard:
    """A web server that notes what it is asked, and what the market's database said at that moment."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []
        self.look: Any = lambda: None
        self.looked: list[Any] = []
        board = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = urlsplit(self.path)
                board.asked.append((parts.path, parse_qs(parts.query), body.decode("utf-8", "replace")))
                board.looked.append(board.look())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Switchboard:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


@pytest.fixture
def board() -> Iterator[Switchboard]:
    with Switchboard() as started:
        yield started


def witnessed_by(market: Market, monkeypatch: pytest.MonkeyPatch, *told: Any) -> None:
    monkeypatch.setattr(witnesses, "_witnesses", lambda *_: told)


# The heartbeat and the audit


def test_an_audit_tells_its_start_and_its_end_by_one_id_when_its_row_is_committed(market: Market, board: Switchboard) -> None:
    market.configure(f'heartbeat_url = "{board.url}/ping/secret/?env=prod"')
    board.look = lambda: [row.state for row in market.rows(runs)]
    result = market.run("audit")

    assert board.paths() == ["/ping/secret/start", "/ping/secret"]
    told = [query for _, query, _ in board.asked]
    assert told == [{"env": ["prod"], "rid": [str(run_uuid(result["run_id"]))]}] * 2
    assert UUID(told[0]["rid"][0])
    assert board.looked == [["running"], ["succeeded"]]


@pytest.mark.parametrize(("late", "fails"), [(300 * SECOND, False), (301 * SECOND, True)])
def test_an_audit_fails_when_a_deadline_is_later_than_its_limit_and_says_so(
    market: Market, board: Switchboard, late: timedelta, fails: bool
) -> None:
    market.configure(f'heartbeat_url = "{board.url}"\nlate_limit = "5 minutes"')
    market.dispute(MONDAY)
    market.run("stamp")
    board.look = lambda: [row.state for row in market.rows(runs, task="audit")]
    market.clock.at = MONDAY + 5 * DAY + late
    if not fails:
        assert market.run("audit")["backlog"] == 1
        assert board.paths() == ["/start", "/"]
        return
    with pytest.raises(DeadlinesLate, match=r"1 deadline\(s\).*seller_response, is late by 0:05:01 \(its limit is 0:05:00\)"):
        market.run("audit")
    assert board.paths() == ["/start", "/fail"]
    assert "seller_response, is late by 0:05:01" in board.asked[1][2]
    assert board.looked == [["running"], ["failed"]]


def test_a_kind_may_have_a_limit_of_its_own(market: Market) -> None:
    market.configure('[policy.seller_response]\nlate_limit = "2 hours"')
    market.dispute(MONDAY)
    market.run("stamp")
    assert market.run("audit", at=MONDAY + 5 * DAY + 2 * HOUR)["backlog"] == 1
    with pytest.raises(DeadlinesLate, match="its limit is 2:00:00"):
        market.run("audit", at=MONDAY + 5 * DAY + 2 * HOUR + SECOND)


def test_other_tasks_and_dry_runs_tell_the_heartbeat_nothing(market: Market, board: Switchboard) -> None:
    market.configure(f'heartbeat_url = "{board.url}"')
    market.run("stamp")
    market.run("audit", dry_run=True)
    assert board.asked == []


def test_a_heartbeat_that_cannot_be_reached_fails_nothing_and_its_address_is_in_no_log(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    market.configure('heartbeat_url = "http://127.0.0.1:1/ping/secret-uuid"')
    assert market.run("audit")["task"] == "audit"
    assert "the heartbeat could not be told (success)" in caplog.text
    assert "secret-uuid" not in caplog.text
    ping(None, "success")


# The record of a run and Celery's result


def test_the_row_of_a_run_carries_the_same_object_that_was_returned(market: Market) -> None:
    market.dispute(MONDAY)
    result = market.run("stamp", trigger="manual", actor="maria")
    (row,) = market.rows(runs)
    assert row.result == result
    assert json.loads(json.dumps(result)) == result


def test_the_task_of_celery_returns_that_very_object(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    from returnclock import tasks

    monkeypatch.setattr(tasks, "wiring", lambda: market.wiring)
    market.dispute(MONDAY)
    returned = tasks.app.tasks["returnclock.stamp"].apply().get()
    (row,) = market.rows(runs)
    assert returned == row.result
    assert returned["by_kind"]["seller_response"]["changed"] == 1


# Sentry


class Captured(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            self.items.append((item.type, item.payload.json))

    def of(self, wanted: str) -> list[Any]:
        return [payload for kind, payload in self.items if kind == wanted]


@pytest.fixture
def sentry(market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    transport = Captured()
    witnessed_by(market, monkeypatch, SentryWitness.to("https://key@sentry.example/1", transport=transport))
    yield transport
    sentry_sdk.init()


def test_beats_tasks_check_in_at_sentry_once_a_minute(market: Market, sentry: Captured) -> None:
    for _ in range(5):
        market.run("stamp")
    market.run("reconcile")
    market.run("reconcile", trigger="manual", actor="maria")
    found = {(told["monitor_slug"], told["status"]) for told in sentry.of("check_in")}
    assert found == {("returnclock-stamp", "ok"), ("returnclock-reconcile", "ok")}
    assert len(sentry.of("check_in")) == 2
    schedules = {told["monitor_slug"]: told["monitor_config"]["schedule"] for told in sentry.of("check_in")}
    assert schedules["returnclock-reconcile"] == {"type": "interval", "value": 5, "unit": "minute"}
    assert schedules["returnclock-stamp"] == {"type": "interval", "value": 1, "unit": "minute"}


def break_task(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def fails(_job: Any) -> Any:
        name = " ".join(["Ana", "Silva"])  # a source line may travel, its variables must not
        raise RuntimeError(f"{message} {len(name)}")

    def job(wiring: Any, task: str) -> Any:
        return fails if task == "reconcile" else job_for(wiring, task)

    monkeypatch.setattr("returnclock.runs.job_for", job)


def test_a_failure_reaches_sentry_without_anybodys_data(
    market: Market, sentry: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_task(monkeypatch, "bea@home.example at postgresql://u:hunter2@db/market")
    for _ in range(3):
        with pytest.raises(RuntimeError):
            market.run("reconcile")
    (event,) = sentry.of("event")
    assert event["tags"]["task"] == "reconcile"
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert [told["status"] for told in sentry.of("check_in")] == ["error"]
    everything = json.dumps(sentry.items)
    for secret in ("bea@home", "hunter2", "Ana Silva"):
        assert secret not in everything


# OpenTelemetry


def test_a_run_that_does_something_is_a_span_and_idle_ticks_are_none(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    witnessed_by(market, monkeypatch, OtelWitness(tracers, MeterProvider([metrics])))
    market.run("escalate-disputes")
    assert spans.get_finished_spans() == ()
    market.dispute(MONDAY)
    result = market.run("stamp")
    break_task(monkeypatch, "bea@home.example")
    with pytest.raises(RuntimeError):
        market.run("reconcile")

    well, ill = spans.get_finished_spans()
    assert (well.name, well.attributes["returnclock.run"]) == ("returnclock stamp", result["run_id"])
    assert well.attributes["returnclock.changed"] == 1
    assert ill.attributes["error.type"] == "RuntimeError"
    assert "(address)" in (ill.status.description or "")
    told = json.loads(metrics.get_metrics_data().to_json())["resource_metrics"][0]["scope_metrics"][0]["metrics"]
    points = {each["name"]: each["data"]["data_points"] for each in told}
    states = {tuple(sorted(point["attributes"].values())) for point in points["returnclock.run.duration"]}
    assert states == {("escalate-disputes", "succeeded"), ("stamp", "succeeded"), ("failed", "reconcile")}
    (changed,) = points["returnclock.run.changed"]
    assert (changed["value"], changed["attributes"]["returnclock.kind"]) == (1, "seller_response")


def test_spans_and_metrics_go_to_the_collector_of_the_settings(market: Market, board: Switchboard) -> None:
    market.configure(f'otlp_url = "{board.url}"')
    market.dispute(MONDAY)
    market.run("stamp")
    (witness,) = witnesses._witnesses(None, None, board.url)
    assert isinstance(witness, OtelWitness)
    witness.flush()
    for provider in witness._providers:
        provider.shutdown()
    assert set(board.paths()) == {"/v1/traces", "/v1/metrics"}


def test_a_witness_that_breaks_fails_no_run(
    market: Market, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def begins(self, _seen: Any) -> None:
            raise OSError("begins")

        def ended(self, _seen: Any) -> None:
            raise OSError("ended")

    witnessed_by(market, monkeypatch, Broken())
    market.dispute(MONDAY)
    assert market.run("stamp")["changed"] == 1
    assert "Broken could not be told of stamp" in caplog.text


# Logs


@pytest.fixture
def log() -> Iterator[StringIO]:
    written = StringIO()
    handlers = [logging.StreamHandler(written), logging.StreamHandler(written)]
    for handler, formatter in zip(handlers, (JsonFormatter(), ConsoleFormatter()), strict=True):
        handler.setFormatter(formatter)
        logging.getLogger().addHandler(handler)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield written
    logging.getLogger().setLevel(before)
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def test_the_whole_log_of_a_day_holds_no_name_no_address_and_no_password(
    market: Market, log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.configure('heartbeat_url = "http://u:hunter2@127.0.0.1:1/x"\n[mail]\nsmtp_url = "smtp://clock:hunter2@127.0.0.1:1"')
    seller = market.insert("sellers", name="Anabela Quaresma", email="anabela.quaresma@shop.example")
    buyer = market.insert("buyers", name="Beatriz Lobo", email="no address at all: beatriz@")
    market.dispute(MONDAY, order_id=market.order(seller_id=seller, buyer_id=buyer))
    for task in ("stamp", "send-reminders", "escalate-disputes", "deliver-mail", "reconcile", "audit", "purge"):
        market.run(task, at=MONDAY + 5 * DAY)
    break_task(monkeypatch, "550 <anabela.quaresma@shop.example> refused by smtp://clock:hunter2@mail.example")
    with pytest.raises(RuntimeError):
        market.run("reconcile")
    with pytest.raises(Exception, match=r"(?i)constraint"):
        market.insert("disputes", id=1, order_id=1, status="Beatriz")
    logging.getLogger("shop").error("it broke", exc_info=RuntimeError("x@y.example"))

    written = log.getvalue()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    ended = [line for line in lines if line.get("event") == "run:succeeded"]
    assert {line["task"] for line in ended} >= {"stamp", "escalate-disputes"}
    assert all(isinstance(line["run"], int) for line in ended)
    assert any(line["kinds"].get("seller_response", {}).get("changed") == 1 for line in ended)
    assert any(line.get("event") == "run:failed" and line["task"] == "reconcile" for line in lines)
    assert "[reconcile, run " in written
    for secret in ("Anabela", "Quaresma", "Beatriz", "@shop.example", "beatriz@", "y.example", "hunter2", "seller1"):
        assert secret not in written, [line for line in written.splitlines() if secret in line]


def test_every_line_of_the_json_log_is_one_object_even_with_a_traceback() -> None:
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "two\nlines %s", ("x@y.example",), (OSError, OSError("a\nb"), None))
    with in_run(7, "stamp"):
        written = JsonFormatter().format(record)
    assert "\n" not in written
    told = json.loads(written)
    assert (told["run"], told["task"], told["message"]) == (7, "stamp", "two\nlines (address)")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("postgresql://u:p%40w@db/m", "postgresql://u:***@db/m"),
        ("to <bea@home.example>, c@d.e", "to <(address)>, (address)"),
        ("redis://:secret@r:6379/0", "redis://:***@r:6379/0"),
        ("no answer of postgresql://app@10.0.0.7:5432/m?x=1", "no answer of postgresql://app@10.0.0.7:5432/m?x=1"),
        ("amqp://guest@mq, bea@home.example", "amqp://guest@mq, (address)"),
        ("mysql://u:p@ss/w@db/m", "mysql://u:(address)/m"),
        (
            "postgresql://h/m?user=app&password=Hunter2&sslmode=require",
            "postgresql://h/m?user=app&password=***&sslmode=require",
        ),
        ("(mysql://h/m?passwd=Hunter2)", "(mysql://h/m?passwd=***"),
        ("host=h sslpassword='Hunter 2' dbname=m", "host=h sslpassword=*** dbname=m"),
        ("https://h/?auth_token=Hunter2&x=1", "https://h/?auth_token=***&x=1"),
        ("tests passed=3", "tests passed=3"),
        ("DETAIL:  Key (email)=(Bea) exists.\nHINT: no", "DETAIL: (left out)\nHINT: no"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_addresses_passwords_and_quoted_rows_are_masked(written: str, told: str) -> None:
    assert masked(written) == told
