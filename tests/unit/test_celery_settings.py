"""What Celery is told, the scheduler of the ticks, and the folders of the embedded broker and results."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, signals
from celery.app.defaults import DEFAULTS
from celery.apps import beat
from celery.beat import Service
from kombu import Connection

from returnclock.errors import BadUsage
from returnclock.settings import Settings, load
from returnclock.tasks import app as own_app
from returnclock.tasks import caller, logs, require_arguments
from returnclock.tasks.beat import MAX_WAITING, SELDOM_S, TickScheduler
from returnclock.tasks.configuration import (
    HARD_LIMIT_S,
    QUEUE,
    SOFT_LIMIT_S,
    beat_schedule,
    celery_name,
    celery_settings,
)
from returnclock.tasks.redis_broker import Channel as RedisChannel
from returnclock.wiring import wire

REDIS = {"RETURNCLOCK_REDIS_URL": "redis://127.0.0.1:1/0"}


def settings_of(folder: Path, **environ: str) -> Settings:
    return load({"RETURNCLOCK_DATA": str(folder), **environ}, folder)


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


def test_every_task_has_one_tick_under_its_celery_name(embedded: Settings) -> None:
    tasks = wire(embedded).tasks
    schedule = beat_schedule(embedded, tasks)
    ticks = sorted(entry["task"] for entry in schedule.values())
    assert ticks == sorted([*(celery_name(task) for task in tasks), "celery.backend_cleanup"])
    assert "returnclock.escalate_disputes" in ticks


def test_each_tick_comes_at_the_interval_of_its_setting(tmp_path: Path) -> None:
    intervals = {"STAMP": 1.5, "SWEEP": 3, "REMIND": 7, "DELIVER": 4, "RECONCILE": 60, "AUDIT": 20, "PURGE": 90}
    settings = settings_of(tmp_path, **{f"RETURNCLOCK_TICKS_{name}": f"{s} seconds" for name, s in intervals.items()})
    schedule = beat_schedule(settings, wire(settings).tasks)
    told = {
        "stamp": 1.5,
        "escalate-disputes": 3,
        "close-stale-returns": 3,
        "send-reminders": 7,
        "deliver-mail": 4,
        "reconcile": 60,
        "audit": 20,
        "purge": 90,
    }
    assert {task: schedule[task]["schedule"] for task in told} == told


def test_no_tick_is_an_eta_or_a_countdown(embedded: Settings) -> None:
    for entry in beat_schedule(embedded, wire(embedded).tasks).values():
        assert set(entry["options"]) == {"expires"}


def test_a_tick_outlives_its_interval_and_a_clock_that_is_minutes_wrong(embedded: Settings) -> None:
    for entry in beat_schedule(embedded, wire(embedded).tasks).values():
        assert entry["options"]["expires"] >= max(entry["schedule"], 600)


@pytest.mark.parametrize("environ", [{}, REDIS], ids=["embedded", "redis"])
def test_celery_knows_every_setting_that_it_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    told = celery_settings(settings_of(tmp_path, **environ), ["audit"])
    # Celery reads this one without listing it.
    assert set(told) - {"redis_backend_health_check_interval"} <= set(DEFAULTS)


@pytest.mark.parametrize(
    "environ", [{}, REDIS, {"RETURNCLOCK_BROKER_URL": "amqp://mq//"}], ids=["embedded", "redis", "rabbitmq"]
)
def test_a_worker_takes_no_messages_of_another_celery_program_on_the_same_broker(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with Celery("neighbour-test", set_as_current=False) as app:
        app.conf.update(celery_settings(settings_of(tmp_path, **environ), ["audit"]))
        queue = app.amqp.default_queue
        assert list(app.amqp.queues.consume_from) == [queue.name]
        assert (queue.name, queue.exchange.name, queue.routing_key) == ("returnclock",) * 3


def test_no_neighbour_s_remote_control_reaches_a_worker_and_no_monitor_of_its_hears_of_ours(embedded: Settings) -> None:
    with Celery("ours", set_as_current=False) as ours, Celery("neighbour", set_as_current=False) as neighbour:
        ours.conf.update(celery_settings(embedded, ["audit"]))
        for name in ("exchange", "reply_exchange"):
            mine, theirs = (getattr(app.control.mailbox, name).name for app in (ours, neighbour))
            assert mine != theirs
        assert ours.conf.event_exchange != neighbour.conf.event_exchange


def test_what_a_worker_has_in_hand_lies_in_redis_apart_from_that_of_another_program(tmp_path: Path) -> None:
    told = celery_settings(settings_of(tmp_path, **REDIS), ["audit"])
    kept = [name for name in RedisChannel.from_transport_options if name.startswith("unacked") and name.endswith("_key")]
    options = told["broker_transport_options"]
    assert {options[name] for name in kept}.isdisjoint(getattr(RedisChannel, name) for name in kept)
    assert len(kept) == len({options[name] for name in kept}) == 3


def test_a_message_is_not_handed_on_while_its_task_may_still_run(tmp_path: Path) -> None:
    told = celery_settings(settings_of(tmp_path, **REDIS), ["audit"])
    assert told["broker_transport_options"]["visibility_timeout"] > HARD_LIMIT_S > SOFT_LIMIT_S
    assert told["task_acks_late"] is True


def test_redis_is_never_waited_for_without_end(tmp_path: Path) -> None:
    told = celery_settings(settings_of(tmp_path, **REDIS), ["audit"])
    for prefix, options in (("", told["broker_transport_options"]), ("redis_", told)):
        assert 0 < options[f"{prefix}socket_timeout"] <= 30 and 0 < options[f"{prefix}socket_connect_timeout"] <= 30
        assert options[f"{prefix}socket_keepalive"] is True
    assert told["broker_transport_options"]["health_check_interval"] and told["redis_backend_health_check_interval"]


def test_broker_and_results_share_prefix_and_sentinels(tmp_path: Path) -> None:
    told = celery_settings(
        settings_of(
            tmp_path,
            RETURNCLOCK_REDIS_URL="sentinel://:p@a:26379;sentinel://:p@b:26379",
            RETURNCLOCK_BROKER_KEY_PREFIX="shop:",
            RETURNCLOCK_BROKER_SENTINEL_MASTER="main",
            RETURNCLOCK_BROKER_SENTINEL_PASSWORD="s",
            RETURNCLOCK_BROKER_SENTINEL_TLS="true",
            RETURNCLOCK_BROKER_TLS_CA=__file__,
        ),
        ["audit"],
    )
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": __file__}
    assert told["broker_use_ssl"] == told["redis_backend_use_ssl"] == tls
    for name in ("broker_transport_options", "result_backend_transport_options"):
        options = told[name]
        assert (options["global_keyprefix"], options["master_name"]) == ("shop:", "main")
        assert options["sentinel_kwargs"].items() >= {"password": "s", "ssl": True, **tls}.items()


def test_rabbitmq_is_told_nothing_of_redis_and_must_show_a_certificate_of_its_own_name(tmp_path: Path) -> None:
    told = celery_settings(
        settings_of(tmp_path, RETURNCLOCK_BROKER_URL="amqps://mq//", RETURNCLOCK_BROKER_TLS_CA=__file__), ["audit"]
    )
    assert "broker_transport_options" not in told and told["result_backend"] == "rpc://"
    assert told["broker_use_ssl"] == {"server_hostname": None, "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": __file__}
    plain = celery_settings(settings_of(tmp_path, RETURNCLOCK_BROKER_URL="amqp://mq//"), ["audit"])
    assert "broker_use_ssl" not in plain


@pytest.mark.parametrize("query", ["", "?ssl_cert_reqs=CERT_NONE"])
def test_the_files_of_tls_join_what_a_rediss_address_says(tmp_path: Path, query: str) -> None:
    authority = tmp_path / "the shop's & ours.pem"
    authority.touch()
    url = f"rediss://a/0{query}"
    environ = {"RETURNCLOCK_REDIS_URL": url, "RETURNCLOCK_BROKER_TLS_CA": str(authority)}
    told = celery_settings(settings_of(tmp_path, **environ), ["audit"])
    assert told["result_backend"] == f"returnclock.tasks.results:Results+{told['broker_url']}"
    reqs = ssl.CERT_NONE if query else ssl.CERT_REQUIRED
    assert Connection(told["broker_url"]).ssl == {"ssl_cert_reqs": reqs, "ssl_ca_certs": str(authority)}


def test_the_embedded_broker_lives_in_the_data_folder(embedded: Settings, tmp_path: Path) -> None:
    options = celery_settings(embedded, ["audit"])["broker_transport_options"]
    assert options["data_folder_in"] == options["data_folder_out"] == str(tmp_path / "broker" / "queue")


def run_python(code: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_the_app_reads_no_settings_and_writes_nothing(tmp_path: Path) -> None:
    done = run_python("import returnclock.tasks", tmp_path, RETURNCLOCK_BATCHSIZE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["app.conf.broker_url", "app.tasks"])
def test_settings_that_do_not_hold_end_the_process_with_their_own_words(tmp_path: Path, asked: str) -> None:
    done = run_python(f"from returnclock.tasks import app; {asked}", tmp_path, RETURNCLOCK_BATCHSIZE="1")
    assert done.returncode == 2
    assert "RETURNCLOCK_BATCH_SIZE" in done.stderr
    assert "Traceback" not in done.stderr


def request(**headers: object) -> SimpleNamespace:
    return SimpleNamespace(headers=headers or None, origin="gen1@shop")


def test_what_beat_sends_is_triggered_by_beat() -> None:
    assert caller(request(celery_beat_task=True)) == ("beat", "beat")


def test_what_anybody_else_sends_is_manual_and_names_who_called() -> None:
    assert caller(request()) == ("manual", "gen1@shop")
    assert caller(request(returnclock_actor="maria")) == ("manual", "maria")
    assert caller(request(returnclock_actor="ma\ud800ria")) == ("manual", "ma\ufffdria")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": "abc"}, "limit must be a whole number or null, not 'abc'"),
        ({"limit": [1]}, "limit must be"),
        ({"limit": 1.5}, "limit must be"),
        ({"limit": float("nan")}, "limit must be"),
        ({"limit": True}, "limit must be"),
        ({"dry_run": "false"}, "dry_run must be true or false, not 'false'"),
        ({"dry_run": None}, "dry_run must be"),
        ({"at": 5}, "at must be a text"),
    ],
)
def test_what_a_message_asks_for_must_be_of_its_type(arguments: dict[str, object], said: str) -> None:
    usual: dict[str, object] = {"limit": 5, "dry_run": False, "at": None}
    require_arguments(**usual)
    with pytest.raises(BadUsage, match=said):
        require_arguments(**usual | arguments)


def test_the_app_is_celerys_own() -> None:
    assert isinstance(own_app, Celery) and own_app.main == "returnclock"


# -- the scheduler of the ticks


@pytest.fixture
def beat_app() -> Iterator[Celery]:
    with Celery("beat-test", broker="memory://", set_as_current=False) as app:
        app.conf.task_default_queue = QUEUE
        app.conf.beat_schedule = {
            "quick": {"task": "quick", "schedule": 1.0},
            "seldom": {"task": "seldom", "schedule": float(SELDOM_S)},
        }
        with app.connection_for_write() as connection:
            app.amqp.queues[QUEUE](connection.default_channel).declare()
            connection.default_channel.queue_purge(QUEUE)
        yield app


def waiting(app: Celery) -> int:
    with app.connection_for_write() as connection:
        return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)


def send(scheduler: TickScheduler, name: str, times: int) -> None:
    for _ in range(times):
        scheduler.apply_entry(scheduler.schedule[name], producer=scheduler.producer)


def test_the_first_ticks_are_due_at_once(embedded: Settings, beat_app: Celery) -> None:
    beat_app.conf.beat_schedule = beat_schedule(embedded, ["audit", "purge"])
    entries = TickScheduler(beat_app).schedule
    assert [entries[name].is_due().is_due for name in ("purge", "clean-results")] == [True] * 2
    # After an outage the sweeps come first; an audit before them would raise an alarm at every start.
    assert not entries["audit"].is_due().is_due


def test_quick_ticks_do_not_pile_up_beyond_their_bound(beat_app: Celery) -> None:
    scheduler = TickScheduler(beat_app)
    send(scheduler, "quick", MAX_WAITING - 1)
    assert waiting(beat_app) == MAX_WAITING - 1
    send(scheduler, "quick", 3)
    assert waiting(beat_app) == MAX_WAITING


def test_a_seldom_tick_still_finds_room_when_the_quick_ones_fill_the_queue(beat_app: Celery) -> None:
    scheduler = TickScheduler(beat_app)
    send(scheduler, "quick", MAX_WAITING + 3)
    send(scheduler, "seldom", MAX_WAITING + 3)
    assert waiting(beat_app) == 2 * MAX_WAITING


def test_waiting_ticks_are_told_once(beat_app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    send(TickScheduler(beat_app), "quick", MAX_WAITING + 5)
    assert [record.message for record in caplog.records if record.name == "returnclock.tasks.beat"] == [
        "Ticks are waiting and no worker takes them; no more are sent until one does."
    ]


def test_beat_goes_on_when_the_broker_is_away_and_tells_it_once(
    beat_app: Celery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = TickScheduler(beat_app)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    with monkeypatch.context() as away:
        away.setattr(scheduler, "apply_async", refuse)
        send(scheduler, "quick", 3)
    send(scheduler, "quick", 2)
    told = [record.message for record in caplog.records if record.name == "returnclock.tasks.beat"]
    assert len(told) == 2 and "nobody listens" in told[0] and told[1] == "Ticks are sent again."
    assert waiting(beat_app) == 2


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("swallowed", [True, False], ids=["before the tick", "in the tick"])
def test_beat_ends_though_the_signal_was_lost_in_the_client_of_the_broker(
    beat_app: Celery, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, swallowed: bool
) -> None:
    service = Service(beat_app, scheduler_cls=TickScheduler)
    beat.Beat(app=beat_app).install_sync_handler(service)
    signals.beat_init.send(sender=service)

    def interrupted(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:  # as the Redis client puts its buffer in order
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(service.scheduler, "apply_async", interrupted)
    with pytest.raises(SystemExit):
        if swallowed:
            with suppress(ValueError):
                interrupted()
            service.scheduler.tick()
        else:
            send(service.scheduler, "quick", 1)


# -- the folders


@pytest.fixture
def channel(embedded: Settings) -> Iterator[Any]:
    told = celery_settings(embedded, ["audit"])
    with Connection(
        told["broker_url"], transport=told["broker_transport"], transport_options=told["broker_transport_options"]
    ) as connection:
        yield connection.default_channel


def queue_folder(folder: Path) -> Path:
    return folder / "broker" / "queue"


def test_messages_come_in_the_order_in_which_they_were_put(channel: Any) -> None:
    for number in range(12):
        channel._put(QUEUE, {"number": number})
    assert [channel._get(QUEUE)["number"] for _ in range(12)] == list(range(12))
    assert channel._size(QUEUE) == 0


def test_a_file_that_is_no_message_is_dropped_and_the_next_one_read(channel: Any, tmp_path: Path) -> None:
    channel._put(QUEUE, {"number": 0})  # which makes the folder
    channel._purge(QUEUE)
    for number, content in enumerate((b"garbage", b"\xff\xfe\x00", b"", b"[" * 100_000)):
        (queue_folder(tmp_path) / f"{number:020}_a.{QUEUE}.msg").write_bytes(content)
    channel._put(QUEUE, {"number": 1})
    assert channel._get(QUEUE) == {"number": 1}
    with pytest.raises(Empty):
        channel._get(QUEUE)


def test_a_queue_gives_only_its_own_messages(channel: Any) -> None:
    channel._put(f"{QUEUE}@host.celery.pidbox", {"to": "host"})
    assert (channel._size(QUEUE), channel._size(f"{QUEUE}@host.celery.pidbox")) == (0, 1)


def test_the_broker_folder_may_vanish_at_any_time(channel: Any, tmp_path: Path) -> None:
    channel._put(QUEUE, {"number": 1})
    shutil.rmtree(tmp_path / "broker")
    assert channel._size(QUEUE) == 0
    assert channel._purge(QUEUE) == 0
    channel._put(QUEUE, {"number": 2})
    assert channel._get(QUEUE) == {"number": 2}


def test_a_message_that_is_not_written_whole_is_not_seen(channel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channel._put(QUEUE, {"number": 1})
    channel._get(QUEUE)

    def no_space_left(self: Path, content: bytes) -> int:
        self.open("wb").close()
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space_left)
    with pytest.raises(OSError, match="no space"):
        channel._put(QUEUE, {"number": 2})
    assert any(queue_folder(tmp_path).iterdir())
    assert channel._size(QUEUE) == 0


def test_bindings_are_written_again_when_their_folder_was_deleted(
    channel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.exchange_declare("celery.pidbox", type="fanout")
    channel.queue_bind("host.celery.pidbox", exchange="celery.pidbox")
    shutil.rmtree(tmp_path / "broker")
    assert channel.get_table("celery.pidbox") == []
    monkeypatch.setattr("returnclock.tasks.local_broker.BIND_AGAIN_S", -1)
    with pytest.raises(Empty):
        channel._get("host.celery.pidbox")
    assert [binding.queue for binding in channel.get_table("celery.pidbox")] == ["host.celery.pidbox"]


@pytest.fixture
def results(embedded: Settings) -> Any:
    with Celery("results-test", set_as_current=False) as app:
        app.conf.update(celery_settings(embedded, ["audit"]))
        return app.backend


def test_old_results_are_cleaned_and_young_ones_kept(results: Any, tmp_path: Path) -> None:
    for name in ("old", "young"):
        results.store_result(name, {"task": "audit"}, "SUCCESS")
    old = tmp_path / "results" / "celery-task-meta-old"
    written = old.stat().st_mtime
    os.utime(old, (written, written - results.expires - 1))
    results.cleanup()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["celery-task-meta-young"]
    os.utime(tmp_path / "results" / "celery-task-meta-young", (written, written - results.expires + 60))
    results.cleanup()
    assert results.get_result("young") == {"task": "audit"}


def test_the_results_folder_may_vanish_at_any_time(results: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "results", ignore_errors=True)
    results.cleanup()
    results.forget("nobody")
    results.store_result("one", {"task": "audit"}, "SUCCESS")
    assert results.get_result("one") == {"task": "audit"}


def test_a_full_disk_keeps_nobody_from_beginning(embedded: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with Celery("full-test", set_as_current=False) as app:
        app.conf.update(celery_settings(embedded, ["audit"]))
        with pytest.raises(OSError, match="No space"):
            app.backend.set(b"key", "value")


@pytest.mark.parametrize(("fault", "told"), [(OSError(28, "No space left on device"), False), (KeyError("x"), True)])
def test_a_line_that_finds_no_room_in_the_file_of_the_log_is_no_traceback_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Exception, told: bool
) -> None:
    handler = logs._file(tmp_path / "log" / "worker.log")
    assert handler is not None
    try:
        raise fault
    except Exception:
        handler.handleError(logging.makeLogRecord({"msg": "something"}))
    handler.close()
    assert ("Traceback" in capsys.readouterr().err) is told


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
