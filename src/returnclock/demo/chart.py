"""Shows the findings: a table by kind, the verdict, and a chart of the days; plain text where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from math import ceil

from rich.console import Console
from rich.table import Table
from rich.text import Text

from returnclock.demo.findings import Findings
from returnclock.demo.play import Span
from returnclock.localtime import say_day_of_year

_NAME_WIDTH, _SUMS_WIDTH = 24, 16
# Header and field; short, because the whole must fit into 80 columns.
_COLUMNS = {
    "stamped": "stamped",
    "open": "running",
    "met": "met",
    "fired": "fired",
    "void": "void",
    "reminded": "reminders_sent",
    "stale": "reminders_skipped",
    "notices": "notices_delivered",
}
_LEGEND = (
    "open: still running. reminded: reminders delivered; stale: reminders that the outage made late, and that were left "
    "out for it. notices: delivered when a deadline fired. latest: how long after its due moment, at most."
)


def show(console: Console, findings: Findings, span: Span) -> None:
    """Print all of it."""
    console.print()
    console.print(_by_kind(findings))
    console.print(Text(_LEGEND, "dim"))
    console.print()
    for line in chart(findings, span, width=console.width, ascii_only=console.options.ascii_only):
        console.print(Text(line, no_wrap=True), soft_wrap=True)
    console.print()
    console.print(_verdict(findings), soft_wrap=True)


def _by_kind(findings: Findings) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("kind", overflow="fold")
    for header in (*_COLUMNS, "latest"):
        table.add_column(header, justify="right", overflow="fold")
    for kind, of in findings.by_kind.items():
        cells = [str(getattr(of, name)) for name in _COLUMNS.values()]
        table.add_row(kind, *cells, _lateness(of.latest_s) if of.fired else "")
    return table


def _lateness(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _verdict(findings: Findings) -> Text:
    counted = f"{findings.early} early, {findings.lost} lost, {findings.twice} twice, {findings.unexplained} unexplained"
    compared = (
        f": {findings.checked} firings and {findings.letters} letters, each compared with a recount that uses none of "
        "returnclock's own counting."
    )
    return Text.assemble((counted, "bold green" if findings.promise_kept else "bold red"), compared)


def chart(findings: Findings, span: Span, *, width: int, ascii_only: bool = False) -> Iterator[str]:
    """Lines of at most ``width`` characters with a column for each day, or for some days together where they are many."""
    room = max(width - _NAME_WIDTH - _SUMS_WIDTH, 10)
    per_column = ceil(span.days / room)
    columns = ceil(span.days / per_column)
    first, wide = span.start.date(), 2 if columns * 2 <= room else 1

    def column_of(day: date) -> int:
        return min((day - first).days // per_column, columns - 1)

    yield f"{'':{_NAME_WIDTH}} {_dates(first, columns, per_column, wide)}"
    for name, per_day in sorted(findings.by_day.items()):
        counts = [0] * columns
        for day, count in per_day.items():
            counts[column_of(day)] += count
        bars = "".join(_bar(count, max(counts), ascii_only) * wide for count in counts)
        yield f"{name:>{_NAME_WIDTH}} {bars} {sum(counts):>5}, max {max(counts)}"
    begins, ends = span.outage
    down = {column_of(begins.date() + timedelta(days=number)) for number in range((ends - begins).days + 1)}
    mark = "x" if ascii_only else "▒"
    yield f"{'outage':>{_NAME_WIDTH}} " + "".join((mark if each in down else " ") * wide for each in range(columns))


def _bar(count: int, most: int, ascii_only: bool) -> str:
    """Blank for none; whatever happened at all is seen."""
    levels = " .:-=+*%#" if ascii_only else " ▁▂▃▄▅▆▇█"
    return levels[ceil(count / most * (len(levels) - 1))] if count else levels[0]


def _dates(first: date, columns: int, per_column: int, width: int) -> str:
    """A date above the column that it names, about once a week."""
    line = ""
    for column in range(columns):
        if len(line) <= column * width and column * width % 14 == 0:
            line = line.ljust(column * width) + say_day_of_year(first + timedelta(days=column * per_column))
    return line
