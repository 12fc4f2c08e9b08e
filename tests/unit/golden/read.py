"""Reads the golden tables beside this file: one case a line, columns parted by "|", "#" for remarks.

The expected dates were worked out by hand from the sources that each line names, never copied from a run of the code.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def golden(name: str) -> list[dict[str, str]]:
    """The cases of a table, each by column name."""
    lines = [line for line in (_FOLDER / name).read_text().splitlines() if line.strip() and not line.startswith("#")]
    columns, *cases = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [dict(zip(columns, case, strict=True)) for case in cases]
