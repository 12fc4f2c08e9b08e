"""``returnclock demo``: weeks of a marketplace in seconds, played through the real tasks in a database of its own.

A spectator sees sellers answer late, buyers forget, parcels get another date, refunds drag on across public holidays, and
two days without any worker; and then whether anything came early, was lost, or happened twice. Called by the command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from returnclock import schema
from returnclock.demo.chart import show
from returnclock.demo.findings import Findings, find
from returnclock.demo.play import Intruder, Player, Span
from returnclock.errors import BadUsage, Refused
from returnclock.settings import load
from returnclock.wiring import Wiring, wire

__all__ = ["run_demo"]

# A Monday before Christmas: public holidays lie within even a short demo.
START = datetime(2026, 12, 14, tzinfo=UTC)
FEWEST_DAYS, MOST_DAYS = 5, 120

_SETTINGS = """\
# Of returnclock demo. In this folder the other commands look at what it left: returnclock explain disputes 1
data_folder = "."

[calendar]
country = "DE"
time_zone = "Europe/Berlin"

[mail]
market_name = "the demo market"
sender = "The demo market <returns@market.example>"
ops = "ops@market.example"
"""


def run_demo(
    *,
    days: int = 30,
    keep: Path | None = None,
    as_json: bool = False,
    console: Console | None = None,
    intruder: Intruder | None = None,
) -> int:
    """Play, then show what happened.

    keep: an empty or new folder that keeps the database, the letters and a ``returnclock.toml``; without it they are
    deleted at the end.
    as_json: print only the numbers, as one JSON object.
    console: where to print; standard output by default.
    intruder: called before every tick with a connection that may change anything, to see that the verdict notices.

    Returns:
        0 when nothing came early, was lost, happened twice or is unexplained; else 1.

    Raises:
        BadUsage: ``days`` is out of range.
        Refused: the folder to keep has something in it.
    """
    if not FEWEST_DAYS <= days <= MOST_DAYS:
        raise BadUsage(reason=f"--days must be between {FEWEST_DAYS} and {MOST_DAYS}, not {days}.")
    console = console or Console(highlight=False)
    begun, span = perf_counter(), Span(START, days)
    with ExitStack() as stack:
        folder = _empty(keep) if keep else Path(stack.enter_context(TemporaryDirectory(prefix="returnclock-demo-")))
        wiring = _wired(folder)
        stack.callback(wiring.engine.dispose)
        with _stage(console, span, silent=as_json) as (tell, advance):
            player = Player(wiring, span, tell, advance, intruder)
            player.play()
        kinds, mailed = wiring.rulebook.active(), player.mailer.handed_over
        findings = find(wiring.engine, kinds, player.recount, mailed, span.end)
        if as_json:
            console.print_json(json.dumps(_as_json(findings, span, keep, perf_counter() - begun)))
        else:
            show(console, findings, span)
            if keep:
                console.print(
                    Text(f"Kept in {keep}: go there and ask, for example, returnclock explain disputes 1"), soft_wrap=True
                )
    return 0 if findings.promise_kept else 1


def _empty(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(reason=f"{folder} is not an empty folder, and the demo writes over nothing. Name a new one.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def _wired(folder: Path) -> Wiring:
    """A deployment of its own: no setting of the environment reaches it, least of all a real database's address."""
    (folder / "returnclock.toml").write_text(_SETTINGS, encoding="utf-8")
    wiring = wire(load({}, folder))
    schema.upgrade(wiring.engine)
    return wiring


@contextmanager
def _stage(console: Console, span: Span, *, silent: bool) -> Iterator[Any]:
    """Where lines are told and progress is shown: a bar on a terminal, plain lines elsewhere, nothing where silent."""
    if silent:
        yield (lambda _line: None), (lambda: None)
        return
    begins, ends = span.outage
    console.print(
        Text(f"{span.days} days of a marketplace, from {START:%Y-%m-%d}; everything is down {begins:%d %b} to {ends:%d %b}.")
    )
    if not console.is_terminal:
        yield (lambda line: console.print(Text(line), soft_wrap=True)), (lambda: None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("playing", total=span.days * 24 + 1)
        yield (lambda line: console.print(Text(line), soft_wrap=True)), (lambda: progress.advance(bar))


def _as_json(findings: Findings, span: Span, keep: Path | None, took: float) -> dict[str, Any]:
    begins, ends = span.outage
    return {
        "days": span.days,
        "from": span.start.isoformat(),
        "to": span.end.isoformat(),
        "outage": {"from": begins.isoformat(), "to": ends.isoformat()},
        **findings.as_json(),
        "kept": str(keep) if keep else None,
        "seconds": round(took, 3),
    }
