"""``returnclock metrics``: what Prometheus scrapes, what probes ask, and the ops page."""

from __future__ import annotations

from typing import Any

import click

from returnclock.cli.output import json_option, print_json
from returnclock.errors import BadUsage, Refused


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen; default: that of [metrics] listen, the loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="On which port; default: that of [metrics] listen, 9464.")
@click.option("--once", is_flag=True, help="Print the metrics and end.")
@json_option
def metrics(host: str | None, port: int | None, once: bool, as_json: bool) -> None:
    """Serve Prometheus metrics, health checks and the read-only ops page, all read from the database when asked.

    On another address than the loopback it needs a token ([metrics] token); whoever asks shows it in a header or signs in.
    """
    if as_json and not once:
        raise BadUsage(reason="--json goes with --once: a server has nothing to print.")
    _insist_on_extra()
    from returnclock.schema import require_upgraded
    from returnclock.wiring import wire

    wiring = wire(only_looks=True)
    if once:
        require_upgraded(wiring.engine)
        _print_once(wiring, as_json)
        return
    from returnclock.web import serve

    settings = wiring.settings.metrics
    serve(wiring, host or settings.host, settings.port if port is None else port)


def _insist_on_extra() -> None:
    from importlib.util import find_spec

    missing = [package for package in ("prometheus_client", "flask", "waitress") if find_spec(package) is None]
    if missing:
        raise Refused(reason=f"{', '.join(missing)} is not installed. Install it: pip install 'returnclock[ops]'.")


def _print_once(wiring: Any, as_json: bool) -> None:
    from returnclock.metrics import DatabaseCollector, Exposition

    if not as_json:
        click.echo(Exposition(wiring).text(), nl=False)
        return
    families = DatabaseCollector(wiring).collect()
    print_json(
        [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for family in families
            for sample in family.samples
        ]
    )


COMMANDS = (metrics,)
