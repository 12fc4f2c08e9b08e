"""Redis, as the broker and the results of Celery; with TLS; and Sentinel, which watches two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.process import HOST, ServerProcess
from tests.servers.programs import program


class RedisServer(ServerProcess):
    """Keeps nothing over a restart, which is the harder case, unless ``settings`` turn ``appendonly`` on."""

    name = "redis"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """``settings`` are of redis.conf, such as ``{"appendonly": "yes"}``."""
        super().__init__()
        self.settings = {"bind": HOST, "save": "", "appendonly": "no", **(settings or {})}

    def command(self) -> Sequence[str | Path]:
        settings = [word for name, value in (self.place() | self.settings).items() for word in (f"--{name}", value)]
        return [program("redis-server", "redis-server"), *settings]

    def place(self) -> dict[str, str]:
        return {"port": str(self.port), "dir": str(self.folder)}

    def answers(self) -> bool:
        with self.client() as client:
            return client.config_get("dir") == {"dir": str(self.folder)}

    def client(self) -> Any:
        """A client of the first numbered database, with text for answers."""
        import redis

        return redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True)

    @property
    def url(self) -> str:
        return self.numbered_url(0)

    def numbered_url(self, database: int) -> str:
        """The URL of one of Redis's 16 numbered databases: broker and results can be kept apart."""
        return f"redis://{HOST}:{self.port}/{database}"


class TLSRedisServer(RedisServer):
    """Speaks TLS alone, and only with clients that show a certificate of its own authority: ``certificates``."""

    def prepare(self) -> None:
        import trustme

        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.certificates["ca_certs"]))
        issued = authority.issue_cert(HOST)
        issued.private_key_pem.write_to_path(str(self.certificates["keyfile"]))
        issued.cert_chain_pems[0].write_to_path(str(self.certificates["certfile"]))

    @property
    def certificates(self) -> dict[str, Path]:
        """The files of the authority, of a certificate and of its key; the server shows the same one as the clients."""
        return {name: self.folder / f"{name}.pem" for name in ("ca_certs", "certfile", "keyfile")}

    def place(self) -> dict[str, str]:
        files = self.certificates
        return {
            "port": "0",
            "tls-port": str(self.port),
            "dir": str(self.folder),
            "tls-ca-cert-file": str(files["ca_certs"]),
            "tls-cert-file": str(files["certfile"]),
            "tls-key-file": str(files["keyfile"]),
        }

    def client(self) -> Any:
        import redis

        files = {f"ssl_{name}": str(path) for name, path in self.certificates.items()}
        return redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True, **files)

    def numbered_url(self, database: int) -> str:
        return f"rediss://{HOST}:{self.port}/{database}"


class RedisSentinel(ServerProcess):
    """Watches one master under the name ``mymaster``, and makes its replica the master within seconds of its death."""

    name = "sentinel"

    def __init__(self, master: RedisServer) -> None:
        super().__init__()
        self.first_master = master

    def command(self) -> Sequence[str | Path]:
        # It writes into this file what it learns; over a restart that stays.
        if not self.configuration.exists():
            self.configuration.write_text(
                f"bind {HOST}\nport {self.port}\ndir {self.folder}\n"
                f"sentinel monitor mymaster {HOST} {self.first_master.port} 1\n"
                "sentinel down-after-milliseconds mymaster 1000\n"
                "sentinel failover-timeout mymaster 5000\n"
            )
        return [program("redis-server", "redis-server"), self.configuration, "--sentinel"]

    def answers(self) -> bool:
        with self._client() as client:
            return bool(client.info("server")["config_file"] == str(self.configuration))

    def master_port(self) -> int:
        """The port of the server that is the master now."""
        with self._client() as client:
            return int(client.sentinel_get_master_addr_by_name("mymaster")[1])

    def replicas(self) -> int:
        """How many replicas of the master are known and well."""
        with self._client() as client:
            return sum(1 for each in client.sentinel_slaves("mymaster") if not each["is_disconnected"])

    def _client(self) -> Any:
        import redis

        return redis.Redis.from_url(f"redis://{HOST}:{self.port}", socket_timeout=5, decode_responses=True)

    @property
    def configuration(self) -> Path:
        return self.folder / "sentinel.conf"

    @property
    def url(self) -> str:
        return f"sentinel://{HOST}:{self.port}"
