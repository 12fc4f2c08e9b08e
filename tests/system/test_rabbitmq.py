"""RabbitMQ in the place of Redis, by its address alone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.servers import RabbitMQServer
from tests.system.deployment import Deployment


def test_what_fell_due_while_rabbitmq_was_away_fires_once_and_results_come_back(tmp_path: Path, postgres_url: str) -> None:
    with RabbitMQServer() as server:
        market = Deployment(tmp_path, postgres_url, RETURNCLOCK_BROKER_URL=server.url)
        with market.running():
            server.stop()
            market.fall_due(40)
            time.sleep(2)
            server.start()
            market.enforces(60)
            assert '"trigger": "manual"' in market.command("run", "stamp", "--queue", "--json")


def test_workers_and_beats_of_one_machine_stand_beside_each_other(tmp_path: Path, postgres_url: str) -> None:
    with RabbitMQServer() as server:
        market = Deployment(tmp_path, postgres_url, RETURNCLOCK_BROKER_URL=server.url)
        with market.running():
            for program in ("worker", "beat"):
                (tmp_path / f"{program}.said").rename(tmp_path / f"first-{program}.said")
            with market.running():
                time.sleep(8)  # a beat would have asked for remote control twice
                assert "Traceback" not in market.logs() and "RESOURCE_LOCKED" not in market.logs()


def test_a_worker_that_the_broker_refuses_says_so_in_a_sentence_and_has_failed(tmp_path: Path, postgres_url: str) -> None:
    with RabbitMQServer() as server:
        url = server.url.replace("guest:guest", "guest:Hunter2")
        market = Deployment(tmp_path, postgres_url, RETURNCLOCK_BROKER_URL=url)
        command = [sys.executable, "-m", "returnclock", "worker"]
        done = subprocess.run(
            command, env=market.environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        market.engine.dispose()
    assert done.returncode == 1
    assert "The worker ends, because the broker cannot be used: ACCESS_REFUSED" in done.stderr
    assert "Traceback" not in done.stderr and "Hunter2" not in done.stderr
