"""Worker, beat and ``up`` as real processes, on the embedded default and on Redis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select, text

from returnclock.settings import load
from returnclock.tables.clock import events, outbox, runs
from returnclock.tables.market import disputes
from returnclock.wiring import wire
from tests.servers import RedisServer
from tests.servers.process import wait_until
from tests.servers.scripted_smtp import ScriptedServer
from tests.system.crowded_market import act, fill, wired

PATIENCE_S = 40.0
UP = """
import sys
from returnclock.errors import ReturnclockError
from returnclock.settings import load
from returnclock.up import run_up
try:
    sys.exit(run_up(load(), sample=False, concurrency=1))
except ReturnclockError as fault:
    sys.exit(print(fault) or fault.exit_code)
"""
WORKER = "import sys; from returnclock.tasks import run_worker; sys.exit(run_worker(['--concurrency=2']))"
BEAT = "import sys; from returnclock.tasks import run_beat; sys.exit(run_beat())"


class Market:
    """A data folder of its own and the processes that work on it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.data = folder / "returnclock-data"
        self.environ = {**os.environ, "RETURNCLOCK_DATA": str(self.data), **environ}
        self.engine = create_engine(load(self.environ, folder).database_url)

    @contextmanager
    def running(self, code: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=self.environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self.processes():
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=15)

    def processes(self, program: str = "") -> list[int]:
        """The processes that run on this data folder, told by their environment, but for this one."""
        own = f"RETURNCLOCK_DATA={self.data}".encode()
        found = []
        for each in Path("/proc").iterdir():
            try:
                if own in (each / "environ").read_bytes().split(b"\0") and program in (each / "cmdline").read_text():
                    found.append(int(each.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def ask(self, statement: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(statement).scalar()

    def count_runs(self, task: str = "stamp", trigger: str = "beat") -> int:
        chosen = select(func.count()).select_from(runs).where(runs.c.task == task, runs.c.trigger == trigger)
        return int(self.ask(chosen.where(runs.c.state == "succeeded")))

    def ticks_go_on(self) -> None:
        """Wait until more ticks have run than at the call."""
        before = self.count_runs()
        wait_until(lambda: self.count_runs() >= before + 2, PATIENCE_S)

    def prepare(self) -> None:
        from returnclock import schema

        schema.upgrade(wire(load(self.environ, self.folder)).engine)

    def call(self, code: str) -> str:
        """Run a piece of a front end's Python beside the worker and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", f"from returnclock.tasks import app\n{code}"],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One worker and one beat on the embedded default, for the tests that leave them well."""
    shop = Market(tmp_path_factory.mktemp("market"))
    shop.prepare()
    with shop.running(WORKER), shop.running(BEAT):
        wait_until(lambda: shop.count_runs() > 0, PATIENCE_S)
        yield shop


def test_every_task_of_beat_has_run_soon_after_the_start(market: Market) -> None:
    # The audit waits an interval, so that the sweeps come first.
    tasks = set(wire(load(market.environ, market.folder)).tasks) - {"audit"}
    wait_until(lambda: all(market.count_runs(task) for task in tasks), PATIENCE_S)


def test_the_worker_has_registered_every_task(market: Market) -> None:
    registered = market.call("print([*app.control.inspect(timeout=5).registered().values()][0])")
    for task in wire(load(market.environ, market.folder)).tasks:
        assert f"'returnclock.{task.replace('-', '_')}'" in registered


def test_a_call_by_hand_is_manual_names_its_caller_and_returns_the_result(market: Market) -> None:
    said = market.call(
        "sent = app.send_task('returnclock.stamp', kwargs={'limit': 3}, headers={'returnclock_actor': 'maria'})\n"
        "result = sent.get(timeout=30)\n"
        "print(sent.id, result['task'], result['trigger'], result['run_id'])"
    )
    identity, task, trigger, run_id = said.split()
    assert (task, trigger) == ("stamp", "manual")
    with market.engine.connect() as connection:
        row = connection.execute(select(runs).where(runs.c.id == int(run_id))).one()
    assert (row.actor, row.celery_task_id, row.state) == ("maria", identity, "succeeded")


@pytest.mark.parametrize(
    "kwargs",
    [{"limit": 0}, {"at": "2026-11-23T10:00:00Z"}, {"dry_run": True, "at": "Xmas"}],
    ids=["limit", "at without dry run", "no time"],
)
def test_a_task_that_fails_has_the_state_failure(market: Market, kwargs: dict[str, Any]) -> None:
    said = market.call(
        f"sent = app.send_task('returnclock.stamp', kwargs={kwargs!r})\n"
        "sent.get(timeout=30, propagate=False)\nprint(sent.state)"
    )
    assert said.strip() == "FAILURE"


def test_arguments_of_another_type_are_refused_before_a_run_begins(market: Market) -> None:
    said = market.call(
        "for asked in ({'limit': 'abc'}, {'limit': 1.5}, {'limit': True}, {'dry_run': 'false'}, {'at': 5}):\n"
        "    sent = app.send_task('returnclock.purge', kwargs=asked)\n"
        "    print(sent.get(timeout=30, propagate=False))"
    )
    assert [line.partition(" must ")[0] for line in said.splitlines()] == [*["limit"] * 3, "dry_run", "at"]
    assert market.ask(select(func.count()).select_from(runs).where(runs.c.trigger == "manual", runs.c.task == "purge")) == 0


def test_ticks_go_on_when_the_broker_folder_is_deleted(market: Market) -> None:
    for _ in range(3):
        shutil.rmtree(market.data / "broker", ignore_errors=True)
        market.ticks_go_on()
    assert len(market.processes()) >= 4  # worker, its two, beat: nothing had to be started again


def test_remote_control_hears_again_when_the_broker_folder_was_deleted(market: Market) -> None:
    shutil.rmtree(market.data / "broker", ignore_errors=True)
    wait_until(lambda: "pong" in market.call("print(app.control.inspect(timeout=2).ping())"), PATIENCE_S)


def test_results_go_on_when_their_folder_is_deleted(market: Market) -> None:
    shutil.rmtree(market.data / "results")
    wait_until((market.data / "results").is_dir, PATIENCE_S)
    market.ticks_go_on()


def test_a_worker_stops_in_a_few_seconds_and_says_so_with_exit_code_0(tmp_path: Path) -> None:
    shop = Market(tmp_path)
    shop.prepare()
    with shop.running(WORKER) as worker:
        log = shop.data / "log" / "worker.log"
        wait_until(lambda: log.exists() and "ready" in log.read_text(), PATIENCE_S)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
    assert shop.processes() == []


def test_a_stop_of_the_whole_group_lets_letters_in_hand_be_written_down(tmp_path: Path) -> None:
    with ScriptedServer(message=[ScriptedServer.SLOW] * 6) as server:
        shop = Market(tmp_path, RETURNCLOCK_MAIL_SMTP_URL=server.url)
        shop.prepare()
        wiring = wired(str(shop.engine.url), shop.data)
        fill(wiring.engine, due=6)
        act(wiring, "stamp", "escalate-disputes")
        with shop.running(WORKER) as worker:
            shop.call("app.send_task('returnclock.deliver_mail')")
            wait_until(lambda: len(server.messages) > 0, PATIENCE_S)
            os.killpg(worker.pid, signal.SIGTERM)  # as honcho and pkill do
            assert worker.wait(30) == 0
    chosen = select(func.count()).select_from(outbox)
    assert shop.ask(chosen.where(outbox.c.state == "sending")) == 0
    assert shop.ask(chosen.where(outbox.c.state == "sent")) == len(server.messages)
    assert shop.ask(select(runs.c.state).where(runs.c.task == "deliver-mail")) == "succeeded"


def test_ticks_go_on_after_redis_lost_everything_and_after_it_was_away(tmp_path: Path) -> None:
    with RedisServer() as server:
        shop = Market(tmp_path, RETURNCLOCK_REDIS_URL=server.url)
        shop.prepare()
        with shop.running(WORKER), shop.running(BEAT):
            wait_until(lambda: shop.count_runs() > 0, PATIENCE_S)
            import redis

            redis.Redis.from_url(server.url).flushall()
            shop.ticks_go_on()
            server.restart()
            shop.ticks_go_on()


# -- up


def wait_for_ticks(shop: Market) -> None:
    def ticking() -> bool:
        try:
            return shop.count_runs() > 0
        except Exception:  # the schema is not there yet
            return False

    wait_until(ticking, PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_up_stops_with_exit_code_0_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    shop = Market(tmp_path)
    with shop.running(UP) as up:
        wait_for_ticks(shop)
        up.send_signal(number)
        said, _ = up.communicate(timeout=15)
        assert up.returncode == 0
        assert shop.processes() == []
    assert "is running" in said and said.rstrip().endswith("runs again.")


def test_up_tells_what_happens_and_nothing_while_nothing_does(tmp_path: Path) -> None:
    shop = Market(tmp_path)
    with shop.running(UP) as up:
        wait_for_ticks(shop)
        with shop.engine.begin() as connection:
            connection.execute(text("INSERT INTO sellers (id, email) VALUES (1, 'ana@example.com')"))
            connection.execute(text("INSERT INTO buyers (id, email) VALUES (1, 'bo@example.com')"))
            connection.execute(text("INSERT INTO orders (id, seller_id, buyer_id) VALUES (1, 1, 1)"))
            connection.execute(
                text("INSERT INTO disputes (id, order_id, opened_at) VALUES (81, 1, datetime('now', '-6 days'))")
            )
        wait_until(lambda: shop.ask(select(disputes.c.status)) == "escalated", PATIENCE_S)
        sent = select(func.count()).select_from(events).where(events.c.event == "notice:sent")
        wait_until(lambda: shop.ask(sent) > 0, PATIENCE_S)
        up.send_signal(signal.SIGINT)  # at once: what was done before the stop is told all the same
        said, _ = up.communicate(timeout=15)
    news = [line for line in said.splitlines() if line[2:3] == ":"]
    words = [line[10:].split(" dispute 81")[0].strip() for line in news]
    assert words[:2] == ["stamped", "escalated"]
    assert any(" -> returnclock-data/mail/" in line for line in news)
    assert not [line for line in news if "dispute 81" not in line]


def test_up_starts_a_killed_worker_again(tmp_path: Path) -> None:
    shop = Market(tmp_path)
    with shop.running(UP) as up:
        wait_for_ticks(shop)
        for pid in shop.processes("worker"):
            os.kill(pid, signal.SIGKILL)
        shop.ticks_go_on()
        up.send_signal(signal.SIGINT)
        said, _ = up.communicate(timeout=15)
    assert "the worker ended (killed by SIGKILL) and starts again" in said


def test_up_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    shop = Market(tmp_path)
    with shop.running(UP) as up:
        wait_for_ticks(shop)
        up.kill()
        wait_until(lambda: shop.processes() == [], 15)


def test_a_second_up_on_the_same_data_folder_is_refused(tmp_path: Path) -> None:
    shop = Market(tmp_path)
    with shop.running(UP) as first:
        wait_for_ticks(shop)
        with shop.running(UP) as second:
            said, _ = second.communicate(timeout=30)
            shop.ticks_go_on()
        assert second.returncode == 4
        assert "runs already" in said and str(first.pid) in said
