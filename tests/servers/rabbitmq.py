"""RabbitMQ, the other broker of Celery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.programs import program

# Erlang's register of nodes would stay as a daemon; started here, it ends with the server.
_START = '$(command -v setpriv >/dev/null && echo setpriv --pdeathsig KILL) epmd & exec "$0"'


class RabbitMQServer(ServerProcess):
    """Keeps its durable queues over a restart."""

    name = "rabbitmq"
    accounts = ("rabbitmq",)

    def command(self) -> Sequence[str | Path]:
        places = {
            "HOME": self.folder,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_LOGS": "-",
            # The data belong to the name of the node, which is ours as long as the port is.
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_DIST_PORT": free_port(),
            "ERL_EPMD_PORT": free_port(),
            "ERL_EPMD_ADDRESS": HOST,
        }
        return ["env", *(f"{name}={value}" for name, value in places.items()), "sh", "-c", _START, _script()]

    def answers(self) -> bool:
        import amqp

        with amqp.Connection(f"{HOST}:{self.port}", connect_timeout=5) as connection:
            # It is named after the node, but with the machine's own name behind the @.
            return str(connection.server_properties["cluster_name"]).partition("@")[0] == self.node.partition("@")[0]

    @property
    def node(self) -> str:
        return f"returnclock-{self.port}@localhost"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"


def _script() -> Path:
    """Debian's program in sbin is a wrapper that insists on folders of its own; the one below it does not."""
    for found in sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")):
        return found
    return program("rabbitmq-server", "rabbitmq-server")
