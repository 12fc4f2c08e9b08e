"""What is shipped for deployments says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from returnclock.settings import KNOWN_VARIABLES, load
from returnclock.settings.keys import FILE_KEYS

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE = DEPLOY / "returnclock.toml.example"


def uncommented() -> str:
    """The example with every commented setting switched on."""
    return re.sub(r"^# (?=\[\[|\w+ += )", "", EXAMPLE.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("written", [EXAMPLE.read_text(), uncommented()], ids=["as shipped", "all switched on"])
def test_the_example_of_the_settings_has_no_fault(tmp_path: Path, written: str) -> None:
    # The files of the example are somebody else's; any that is there will do.
    (tmp_path / "returnclock.toml").write_text(re.sub("/etc/ssl/shop/[a-z.]+", str(EXAMPLE), written))
    settings = load({}, tmp_path)
    assert settings.source == tmp_path / "returnclock.toml"


def test_the_example_as_shipped_changes_no_default(tmp_path: Path) -> None:
    defaults = load({}, tmp_path)
    (tmp_path / "returnclock.toml").write_text(EXAMPLE.read_text())
    shipped = load({}, tmp_path)
    for name in ("calendar", "mail", "ticks", "retention", "batch_size", "late_limit", "database_url", "broker_url"):
        assert getattr(shipped, name) == getattr(defaults, name)


def test_the_example_gives_the_true_defaults(tmp_path: Path) -> None:
    defaults = load({}, tmp_path)
    section, compared = "", 0
    for line in EXAMPLE.read_text().splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        if "example" in line or not re.match(r"# \w+ = ", line):
            continue
        ((name, value),) = tomllib.loads(line[2:]).items()
        if (section, name) in FILE_KEYS:  # else it stands in a [[table]] or a policy
            default = getattr(getattr(defaults, section) if section else defaults, name)
            if isinstance(default, Path):
                default = default.name
            assert value == (list(default) if isinstance(default, tuple) else default), line
            compared += 1
    assert compared > 20


def test_the_example_names_every_setting() -> None:
    tables = tomllib.loads(uncommented())
    named = {("", name) for name in tables} | {
        (section, name) for section, table in tables.items() if isinstance(table, dict) for name in table
    }
    assert set(FILE_KEYS) <= named


@pytest.mark.parametrize("file", [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()], ids=lambda file: file.name)
def test_every_variable_that_a_deployment_names_is_known(file: Path) -> None:
    # EXAMPLE explains variables too. RETURNCLOCK_DATABASE_URL_FILE and its like are in KNOWN_VARIABLES.
    named = set(re.findall(r"RETURNCLOCK_[A-Z_]*[A-Z]", file.read_text()))
    assert named <= KNOWN_VARIABLES
