"""Redis away, emptied, silent, handed over, encrypted or shared: worker and beat go on unaided, and nothing is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import text

from returnclock.database import writing
from returnclock.tasks.messaging import SILENCE_S
from tests.servers import RedisSentinel, RedisServer, TCPProxy, TLSRedisServer
from tests.servers.process import HOST, free_port, wait_until
from tests.system.deployment import Deployment

DUE = 40
RECOVERY_S = 60.0


def test_what_fell_due_while_redis_was_away_fires_once_though_it_came_back_empty(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server:
        market = Deployment(tmp_path, postgres_url, REDIS_URL=server.url)
        with market.running():
            server.kill()
            market.fall_due(DUE)
            time.sleep(3)
            server.start()
            market.enforces(RECOVERY_S)


def test_worker_with_a_tick_in_hand_outlives_a_restart_of_redis(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server:
        market = Deployment(tmp_path, postgres_url, REDIS_URL=server.url, RETURNCLOCK_TICKS_DELIVER="1 hour")
        with ExitStack() as stack:
            with writing(market.engine) as connection:
                # The one tick of deliver-mail waits for this, so its message is not acknowledged when Redis goes; the
                # worker's other process is free, so the worker asks for more at that moment.
                connection.execute(text("LOCK TABLE clock_outbox IN ACCESS EXCLUSIVE MODE"))
                stack.enter_context(market.running())
                wait_until(lambda: "returnclock.unacked" in _keys(server), 10)
                time.sleep(1)
                server.kill()
                time.sleep(2)
            server.start()
            market.fall_due(DUE)
            market.enforces(RECOVERY_S)


def _keys(server: RedisServer) -> set[str]:
    with server.client() as client:
        return set(client.keys())


def test_what_fell_due_while_redis_was_silent_fires_once(tmp_path: Path, postgres_url: str) -> None:
    with RedisServer() as server, TCPProxy(server.port) as proxy:
        market = Deployment(tmp_path, postgres_url, REDIS_URL=f"redis://{HOST}:{proxy.port}/0")
        with market.running():
            proxy.blackhole()
            market.fall_due(DUE)
            time.sleep(SILENCE_S + 2)
            proxy.forward()
            market.enforces(RECOVERY_S)


def test_what_fell_due_while_a_replica_took_over_fires_once(tmp_path: Path, postgres_url: str) -> None:
    at_once = {"repl-diskless-sync-delay": "0"}
    with RedisServer(at_once) as master, RedisServer(at_once) as replica, RedisSentinel(master) as sentinel:
        with replica.client() as client:
            client.replicaof(HOST, master.port)
        wait_until(lambda: sentinel.replicas() == 1, 30)
        # Of several Sentinels one is down, as they may be.
        market = Deployment(tmp_path, postgres_url, REDIS_URL=f"sentinel://{HOST}:{free_port()};{sentinel.url}")
        with market.running():
            master.kill()
            market.fall_due(DUE)
            market.enforces(RECOVERY_S)
            assert sentinel.master_port() == replica.port


def test_redis_is_shared_under_a_prefix_through_tls_by_an_account_that_may_touch_nothing_else(
    tmp_path: Path, postgres_url: str
) -> None:
    with TLSRedisServer() as server:
        files = server.certificates
        with server.client() as client:
            client.acl_setuser(
                "returnclock",
                enabled=True,
                passwords=["+secret"],
                keys=["shop:*"],
                channels=["*"],
                categories=["+@all", "-@dangerous"],
            )
            client.set("another", "1")
        market = Deployment(
            tmp_path,
            postgres_url,
            REDIS_URL=server.url.replace("://", "://returnclock:secret@"),
            RETURNCLOCK_BROKER_KEY_PREFIX="shop:",
            RETURNCLOCK_BROKER_TLS_CA=str(files["ca_certs"]),
            RETURNCLOCK_BROKER_TLS_CERTIFICATE=str(files["certfile"]),
            RETURNCLOCK_BROKER_TLS_KEY=str(files["keyfile"]),
        )
        with market.running():
            market.fall_due(DUE)
            market.enforces(RECOVERY_S)
            assert '"trigger": "manual"' in market.command("run", "stamp", "--queue", "--json")
            with server.client() as client:
                keys = set(client.keys()) - {"another"}
            assert keys and all(key.startswith("shop:") for key in keys), keys
            assert any("celery-task-meta" in key for key in keys)
