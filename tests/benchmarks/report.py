"""What was found, as a table to read, JSON to keep and a chart to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle
from rich.console import Console
from rich.table import Table

PEERS = "peers"


def show(found: dict[str, Any], console: Console) -> None:
    """Print all contenders, how they were set up, and the targets."""
    rates = _table("Median of the turns", "work", "contender", "rows", "rows a second")
    setups = _table("\nSet up as", "work", "contender", "settings")
    for work, contenders in found["works"].items():
        for number, (name, of) in enumerate(contenders.items()):
            said = "" if number else work
            rates.add_row(said, name, f"{of['rows']:,}", f"{of['rows_per_second']:,.0f}")
            setups.add_row(said, name, ", ".join(f"{word}: {value}" for word, value in of["settings"].items()))
    targets = _table("\nTargets", "what", "target", "found", "met")
    for one in found["targets"]:
        targets.add_row(one["what"], one["target"], f"{one['found']:g}", "yes" if one["met"] else "no")
    for table in (setups, rates, targets):
        console.print(table)


def _table(title: str, *headers: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, justify="right" if header.startswith("rows") else "left", overflow="fold")
    return table


def keep(found: dict[str, Any], folder: Path) -> Iterable[Path]:
    """Write ``bench.json`` and ``bench.svg`` into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_svg = folder / "bench.json", folder / "bench.svg"
    as_json.write_text(json.dumps(found, indent=2) + "\n")
    as_svg.write_text(chart(found))
    return as_json, as_svg


def chart(found: dict[str, Any]) -> str:
    """An SVG of the deadlines that each contender enforces in a second; the axis is logarithmic."""
    style = CleanStyle(background="white", plot_background="white", colors=("#2a6f97",), value_font_size=13, label_font_size=13)
    bars = pygal.HorizontalBar(
        style=style, logarithmic=True, js=[], no_prefix=True, show_legend=False, height=70 + 44 * len(found["works"][PEERS]),
        print_values=True, print_values_position="center", value_formatter=lambda rate: f"{rate:,.0f}", margin=20,
        # From 10 on, or the slowest contender would have no bar at all.
        range=(10, 100_000), y_labels=[10, 100, 1_000, 10_000, 100_000], truncate_label=-1, zero=10,
        title="Deadlines enforced in a second, PostgreSQL (logarithmic)",
    )  # fmt: skip
    ranked = sorted(found["works"][PEERS].items(), key=lambda item: float(item[1]["rows_per_second"]))
    bars.x_labels = [name for name, _ in ranked]
    bars.add("deadlines a second", [of["rows_per_second"] for _, of in ranked])
    return "\n".join(line.rstrip() for line in str(bars.render(is_unicode=True)).splitlines()) + "\n"
