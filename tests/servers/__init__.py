"""Real servers for the tests: each a context manager on a free port of the loopback, gone without a trace at the end.

``python -m tests.servers`` says which server programs are missing, ``--install`` installs them where it can.
"""

from tests.servers.chromium import Chromium, Look
from tests.servers.mariadb import MariaDBServer
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailed
from tests.servers.programs import MissingProgram
from tests.servers.proxy import TCPProxy
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisSentinel, RedisServer, TLSRedisServer
from tests.servers.smtp import ReceivedMessage, SMTPSink

__all__ = [
    "Chromium",
    "Look",
    "MariaDBServer",
    "MissingProgram",
    "PgBouncer",
    "PostgresServer",
    "RabbitMQServer",
    "ReceivedMessage",
    "RedisSentinel",
    "RedisServer",
    "SMTPSink",
    "ServerFailed",
    "TCPProxy",
    "TLSRedisServer",
]
