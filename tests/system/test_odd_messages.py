"""What somebody else writes into the queue, and what Redis refuses: the worker says it and goes on."""

from __future__ import annotations

import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any

from kombu import Connection

from tests.servers import RabbitMQServer, RedisServer, TCPProxy
from tests.servers.process import HOST, free_port, wait_until
from tests.system.deployment import Deployment

QUEUE = "returnclock"
BODIES = ("null", "{}", "5", "[]", '"x"', "[1, 2, 3]", '[[], {}, "x"]', "{{{{")
LIMITS: tuple[Any, ...] = (["a", "b"], "ab", [1], {})
HEADERS: tuple[dict[str, Any], ...] = (
    {"task": ["x"]},
    {"id": {"a": 1}},
    {"eta": 5},
    {"stamped_headers": 5},
    {"expires": "junk"},
)
NO_MESSAGES = (b"garbage", b"5", b"[]", b"null", b"\xff\xfe\x00", b'{"body": "x"}', b'{"properties": {}}', b"[" * 100_000)


def headers(**more: Any) -> dict[str, Any]:
    identity = str(uuid.uuid4())
    told = {"lang": "py", "task": "returnclock.stamp", "id": identity, "root_id": identity, "retries": 0}
    return {**told, "eta": None, "expires": None, "timelimit": [None, None], "origin": "a shop's own program", **more}


def envelope(body: str, **more: Any) -> str:
    """A message as kombu keeps it in Redis."""
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers(**more),
            "properties": {
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def test_no_message_ends_a_worker_and_none_comes_back(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server:
        market = Deployment(tmp_path, postgres_url, REDIS_URL=server.url)
        with market.running(), server.client() as client:
            odd = [envelope(body) for body in BODIES] + [envelope("[[], {}, {}]", timelimit=one) for one in LIMITS]
            odd += [envelope("[[], {}, {}]", **one) for one in HEADERS]
            for message in (*odd, *NO_MESSAGES):
                client.rpush(QUEUE, message)
            market.fall_due(5)
            market.enforces(60)
            assert client.hlen("returnclock.unacked") <= 3  # ticks alone
        said = (tmp_path / "worker.said").read_text()
        assert "A message for returnclock.stamp was put away, unread" in said
        assert "is no message of Celery's and was dropped" in said
        assert "Unrecoverable error" not in said


def test_no_message_ends_a_worker_at_rabbitmq(tmp_path: Path, postgres_url: str) -> None:
    with RabbitMQServer() as server:
        market = Deployment(tmp_path, postgres_url, RETURNCLOCK_BROKER_URL=server.url)
        with market.running():
            with Connection(server.url) as connection:
                producer = connection.Producer()
                odd: list[tuple[str, dict[str, Any]]] = [(body, {}) for body in BODIES] + [
                    ("[[], {}, {}]", {"timelimit": one}) for one in LIMITS
                ]
                for body, more in [*odd, *(("[[], {}, {}]", one) for one in HEADERS)]:
                    producer.publish(
                        body,
                        routing_key=QUEUE,
                        headers=headers(**more),
                        content_type="application/json",
                        content_encoding="utf-8",
                    )
            market.fall_due(5)
            market.enforces(60)
        assert "Unrecoverable error" not in market.logs()


def test_a_worker_outlives_what_redis_refuses_it(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server:
        market = Deployment(tmp_path, postgres_url, REDIS_URL=server.url)
        with market.running(), server.client() as client:
            for trouble in ("a replica", "a full memory", "a right taken away", "no listening", "no list"):
                refuse(client, trouble)
                time.sleep(4)
                allow(client, trouble)
                before = market.ticks()
                wait_until(lambda before=before: market.ticks() > before + 5, 40)
            market.fall_due(5)
            market.enforces(60, runs_may_fail=True)
        said = (tmp_path / "worker.said").read_text()
        assert "Traceback" not in said and "Frequent restarts" not in said
        assert said.count("Connection to broker lost") + said.count("Cannot connect") <= 15  # not one each second


def test_results_that_are_silent_hold_no_task_up_and_fail_none(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server, RedisServer() as kept, TCPProxy(kept.port) as between:
        results = f"redis://{HOST}:{between.port}/0"
        market = Deployment(tmp_path, postgres_url, REDIS_URL=server.url, RETURNCLOCK_RESULT_BACKEND=results)
        with market.running():
            between.blackhole()
            market.fall_due(5)
            market.enforces(30)
        said = (tmp_path / "worker.said").read_text()
        assert said.count("Results are not kept for now") == 2  # once for each process of the worker
        assert "unexpected" not in said and "Traceback" not in said


def refuse(client: Any, trouble: str) -> None:
    if trouble == "a replica":  # of a master that is not there
        client.replicaof(HOST, free_port())
    elif trouble == "a full memory":
        client.config_set("maxmemory", 1)
    elif trouble == "a right taken away":
        client.execute_command("ACL", "SETUSER", "default", "-brpop", "-lpush")
    elif trouble == "no listening":  # asked for on a new connection alone
        client.execute_command("ACL", "SETUSER", "default", "-subscribe", "-psubscribe")
        client.client_kill_filter(skipme=True)
    else:
        client.delete(QUEUE)
        client.set(QUEUE, "somebody's value")


def allow(client: Any, trouble: str) -> None:
    if trouble == "a replica":
        client.replicaof("NO", "ONE")
    elif trouble == "a full memory":
        client.config_set("maxmemory", 0)
    elif trouble == "a right taken away":
        client.execute_command("ACL", "SETUSER", "default", "+brpop", "+lpush")
    elif trouble == "no listening":
        client.execute_command("ACL", "SETUSER", "default", "+subscribe", "+psubscribe")
    else:
        client.delete(QUEUE)
