"""What is shipped for deployments says what the code does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from returnclock.cli import cli
from returnclock.settings import KNOWN_VARIABLES, load
from returnclock.settings.keys import FILE_KEYS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
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


def instructions(word: str) -> list[list[str]]:
    """The words of each instruction of the Dockerfile that begins with that one."""
    written = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in written.splitlines() if line.startswith(f"{word} ")]


def test_the_image_is_built_from_what_it_copies(tmp_path: Path) -> None:
    # As in the image, there is nothing but what COPY names.
    for *sources, into in instructions("COPY"):
        there = tmp_path / into.lstrip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                assert into.endswith("/")
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, there)
    ((said, *command),) = instructions("RUN")[1:]
    assert (said, command[0]) == ("pip", "install")
    (built,) = [word for word in command if word.startswith("/src[")]
    place, extras = built.rstrip("]").split("[")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    constraints = tmp_path / command[command.index("-c") + 1].lstrip("/")

    wheel = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-deps", "-c", str(constraints)]
    wheel += ["--wheel-dir", str(tmp_path / "wheels"), str(tmp_path / place.lstrip("/"))]
    ended = subprocess.run(wheel, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    (file,) = (tmp_path / "wheels").glob("returnclock-*.whl")
    names = zipfile.ZipFile(file).namelist()
    in_source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert in_source <= set(names)
    assert "returnclock/py.typed" in names


def commands_of_deployments() -> list[tuple[str, list[str]]]:
    """Each place in a deployment that starts us, and the words behind "returnclock"."""
    compose = (DEPLOY / "compose.yaml").read_text()
    words = [
        ("compose.yaml", re.findall(r"[\w-]+", one))
        for one in re.findall(r'^    command: \[("[^r].*)\]$', compose, re.MULTILINE)
    ]
    words += [("Dockerfile", [word.strip("[],") for word in one]) for one in instructions("CMD")]
    for file in (DEPLOY / "compose.yaml", ROOT / "Procfile", *sorted((DEPLOY / "systemd").iterdir())):
        started = re.findall(r'^(?:ExecStart=\S*/|\w+: |\s+test: .*")returnclock ([a-z ]+)', file.read_text(), re.MULTILINE)
        words += [(file.name, one.split()) for one in started]
    return words


def test_every_command_that_a_deployment_starts_exists() -> None:
    started = commands_of_deployments()
    assert len(started) == 11  # 3 and a check of compose, the image's own, 2 of the Procfile, 4 units
    for file, words in started:
        command = cli
        for word in words:
            assert word in getattr(command, "commands", {}), f"{file}: {' '.join(words)}"
            command = command.commands[word]


def test_compose_builds_from_files_that_there_are() -> None:
    compose = (DEPLOY / "compose.yaml").read_text()
    (context,), (dockerfile,) = (
        re.findall(rf"^    {name}: (\S+)$", compose, re.MULTILINE) for name in ("context", "dockerfile")
    )
    assert (DEPLOY / context / dockerfile).is_file()
    mounted = set(re.findall(r"^ {4,6}- ([\w.]+):/", compose, re.MULTILINE))
    assert mounted == set(re.findall(r"^  (\w+):$", compose.split("\nvolumes:\n")[1], re.MULTILINE))
