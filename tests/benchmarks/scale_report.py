"""What was found in a market of millions, as tables to read, JSON to keep and a chart of the drain to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle
from rich.console import Console
from rich.table import Table


def show(found: dict[str, Any], console: Console) -> None:
    """Print what was measured, and the targets."""
    of = found["found"]
    ticks = _table("A tick with nothing due, median ms", "task", "small market", "large market")
    for task, each in of["idle_ms"].items():
        ticks.add_row(task, f"{each['small']:.2f}", f"{each['large']:.2f}")
    drains = _table("\nAll due at once", "market", "deadlines", "seconds", "a second", "busy", "worker MB", "p99 quiet", "p99")
    for name, each in of["drain"].items():
        quiet, busy = (each["front_end_ms"][when]["p99"] for when in ("quiet", "drain"))
        figures = (f"{each['seconds']:.1f}", f"{each['rows_per_second']:,.0f}", each["processes_busy"], each["worker_mb"])
        drains.add_row(name, f"{each['deadlines']:,}", *map(str, figures), f"{quiet:.2f} ms", f"{busy:.2f} ms")
    churn = of["churn"]
    day = _table(f"\nChurn: {churn['rounds']} times {churn['fired_in_each']:,} fire and are purged", "what", "found")
    day.add_row("fired a second, one process", f"{churn['fired_per_second']:,.0f}")
    day.add_row("purged a second, deadlines", f"{churn['purged_per_second']:,.0f}")
    day.add_row("rows moved into the archive", f"{churn['purged_rows']:,}")
    day.add_row("front end's p99 meanwhile", f"{churn['front_end_ms']['p99']:.2f} ms")
    sizes = _table("\nHot tables, MB", "table", "before", "indexes", "after", "indexes", "dead after")
    for name, before in of["drain"]["large"]["sizes_before"].items():
        after = churn["sizes_after"][name]
        figures = (before["table_mb"], before["indexes_mb"], after["table_mb"], after["indexes_mb"])
        sizes.add_row(name, *(f"{figure:,.0f}" for figure in figures), f"{after['dead']:.1%}")
    others = _table("\nOther tasks in the large market, seconds", "task", "seconds")
    for task, seconds in of["support_s"].items():
        others.add_row(task, f"{seconds:.2f}")
    targets = _table("\nTargets", "what", "target", "found", "met")
    for one in found["targets"]:
        targets.add_row(one["what"], one["target"], f"{one['found']:g}", "yes" if one["met"] else "no")
    for table in (ticks, drains, day, sizes, others, targets):
        console.print(table)


def _table(title: str, *headers: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number and header not in ("target", "met") else "left", overflow="fold")
    return table


def keep(found: dict[str, Any], folder: Path) -> Iterable[Path]:
    """Write ``scale.json`` and ``scale.svg`` into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_svg = folder / "scale.json", folder / "scale.svg"
    as_json.write_text(json.dumps(found, indent=2) + "\n")
    as_svg.write_text(chart(found))
    return as_json, as_svg


def chart(found: dict[str, Any]) -> str:
    """An SVG of the drain: deadlines that fired in each second after all of them had fallen due at once."""
    drain = found["found"]["drain"]["large"]
    by_second = {int(second): number for second, number in drain["fired_by_second"].items()}
    style = CleanStyle(background="white", plot_background="white", colors=("#2a6f97",), label_font_size=12)
    line = pygal.Line(
        style=style, js=[], no_prefix=True, show_legend=False, height=360, fill=True, show_dots=False, margin=20, zero=0,
        title=f"{drain['deadlines']:,} deadlines due at once, fired by two processes", x_title="seconds", include_x_axis=True,
        y_title="fired in that second", value_formatter=lambda rate: f"{rate:,.0f}", show_minor_x_labels=False,
    )  # fmt: skip
    seconds = range(max(by_second) + 1)
    line.x_labels = [str(second) for second in seconds]
    line.x_labels_major = [str(second) for second in seconds if second % max(1, len(seconds) // 10) == 0]
    line.add("fired", [by_second.get(second, 0) for second in seconds])
    return "\n".join(row.rstrip() for row in str(line.render(is_unicode=True)).splitlines()) + "\n"
