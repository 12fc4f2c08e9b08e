"""Celery's own monitors see our tasks by their names: asked of a real Flower beside a real worker on Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer
from tests.servers.process import free_port, wait_until
from tests.system.deployment import Deployment

PATIENCE_S = 40.0


class Flower:
    """Flower's API."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> Any:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)
        return {}


@pytest.fixture
def flower(redis_server: RedisServer, sqlite_url: str, tmp_path: Path) -> Iterator[Flower]:
    deployment = Deployment(tmp_path, sqlite_url, RETURNCLOCK_REDIS_URL=redis_server.numbered_url(7))
    port = free_port()
    with deployment.running():
        command = [sys.executable, "-m", "celery", "-A", "returnclock.tasks", "flower", f"--port={port}", "--address=127.0.0.1"]
        with (tmp_path / "flower.said").open("wb") as said:
            process = subprocess.Popen(
                command,
                env={**os.environ, **deployment.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            yield Flower(port)
        finally:
            process.terminate()
            process.wait(15)


def test_flower_shows_the_worker_and_our_tasks_by_name_with_their_results(flower: Flower) -> None:
    def succeeded() -> list[dict[str, Any]]:
        tasks = flower.ask("/api/tasks?limit=200&taskname=returnclock.stamp")
        return [task for task in tasks.values() if task["state"] == "SUCCESS"]

    try:
        wait_until(lambda: bool(succeeded()), PATIENCE_S)
    except TimeoutError:
        raise AssertionError(f"Flower shows {flower.ask('/api/tasks?limit=5')}") from None
    assert all(task["name"] == "returnclock.stamp" and task["runtime"] is not None for task in succeeded())
    assert "'task': 'stamp'" in succeeded()[0]["result"], "the result object is what the event carries"
    ours = {f"returnclock.{task}" for task in ("stamp", "escalate_disputes", "deliver_mail")}
    wait_until(lambda: ours <= {task["name"] for task in flower.ask("/api/tasks?limit=500").values()}, PATIENCE_S)
    (worker,) = flower.ask("/api/workers?refresh=1").values()
    registered = {line.split(" ")[0] for line in worker["registered"]}
    assert {f"returnclock.{task}" for task in ("audit", "reconcile", "purge", "send_reminders")} <= registered
