"""The ops page, the metrics and the answers for health checks, from one process that only reads. Imports metrics and wiring.

Flask and waitress: everything here is a blocking question to a database, which threads serve well; both are small, kept
well, and need no build step, and Jinja and click, which Flask is made of, are here already. An asynchronous server would
need a thread for each question too.
"""

from __future__ import annotations

import logging
import socket
from ipaddress import ip_address

import click
from waitress.server import create_server

from returnclock.errors import BadUsage, Refused
from returnclock.logbook import to_stderr
from returnclock.metrics import Exposition
from returnclock.web.app import make_app
from returnclock.wiring import Wiring

THREADS = 6
# More than an operator's browser and two Prometheus servers need; the next ones wait in the system's own queue.
CONNECTIONS = 50


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on the host."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def serve(wiring: Wiring, host: str, port: int) -> None:
    """Listen until the process is told to stop.

    Raises:
        Refused: the host can be reached from elsewhere, and no token is set; or the address cannot be had.
    """
    token = wiring.settings.metrics.token
    if token is None and not is_loopback(host):
        raise Refused(
            reason=f"{host} can be reached from other machines, and no token is set. Set [metrics] token "
            "(RETURNCLOCK_METRICS_TOKEN or RETURNCLOCK_METRICS_TOKEN_FILE), or listen on 127.0.0.1."
        )
    to_stderr(wiring.settings.log_format)
    app = make_app(wiring, Exposition(wiring), token)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        # The name of the server would only help those who look for holes in it.
        server = create_server(app, host=host, port=port, threads=THREADS, connection_limit=CONNECTIONS, ident=None)
    except (OSError, socket.gaierror) as fault:
        raise Refused(reason=f"cannot listen on {host}:{port}: {fault.strerror or fault}.") from fault
    except ValueError as fault:
        raise BadUsage(reason=f"cannot listen on {host}:{port}: {fault}.") from fault
    asks = "asks for the token" if token else "open to this machine alone"
    click.echo(f"http://{host}:{port}/ ({asks}); metrics at /metrics, health at /healthz and /readyz. Ctrl-C stops it.")
    server.run()
