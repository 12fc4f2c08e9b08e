"""The benchmark does what it says it measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bench import measure


@pytest.mark.parametrize("in_own_tables", [False, True], ids=["default tables", "mapped tables"])
def test_each_verb_works_off_every_row_that_is_measured(database_url: str, tmp_path: Path, in_own_tables: bool) -> None:
    rows, letters = 1_000, 100
    measured = measure(database_url, tmp_path, rows=rows, letters=letters, in_own_tables=in_own_tables)
    done = {one.verb.split(" ")[0]: one.rows for one in measured}
    assert done.pop("stamp") >= rows  # orders and parties are looked at too
    assert done == {"send-reminders": rows, "deliver-mail": letters, "escalate-disputes": rows}
    assert len(list((tmp_path / "mail").glob("*.eml"))) == letters
