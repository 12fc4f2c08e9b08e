"""How the command prints: tables and sentences for people, JSON for machines. Imports localtime."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import click

from returnclock.localtime import instant, span

__all__ = ["coloured", "instant", "json_option", "print_json", "print_table", "span", "style"]


def json_option(command: Any) -> Any:
    """The option that every command has: ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def print_json(value: Any) -> None:
    """Print one JSON document; instants as ISO 8601 in UTC."""
    click.echo(json.dumps(value, default=plain, ensure_ascii=False, indent=2))


def plain(value: Any) -> Any:
    """What JSON has no word for: instants as ISO 8601, sums of money as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print rows under headings (column -> heading); ``empty`` is said when there are none."""
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold" if coloured() else "")
    for heading in columns.values():
        table.add_column(heading, overflow="fold" if terminal else "ignore", no_wrap=not terminal)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    # A pipe has no width: what is cut there is lost to whoever reads it.
    console = Console(no_color=not coloured(), highlight=False, markup=False, width=None if terminal else 2000)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: Any) -> Any:
    from rich.text import Text

    from returnclock.printable import one_line

    if value is None:
        return ""
    if isinstance(value, datetime):
        return Text(instant(value))
    return Text(one_line(str(value)))


def coloured() -> bool:
    """Whether colours are welcome: a terminal, and no NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def style(text: str, **how: Any) -> str:
    """Colour a text where colours are welcome."""
    return click.style(text, **how) if coloured() else text
