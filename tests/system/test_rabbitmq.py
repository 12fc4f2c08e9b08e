"""RabbitMQ in the place of Redis, by its address alone."""

from __future__ import annotations

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
