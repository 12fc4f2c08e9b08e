"""docs/commands.md cannot lie: it has every command and option that exists, and none that does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from returnclock.cli import cli

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
HEADING = re.compile(r"^#{2,3} `returnclock ([^`]+)`$", re.MULTILINE)


def commands(group: click.Group = cli, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def sections(page: str = PAGE) -> dict[str, str]:
    parts = HEADING.split(page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def undocumented(name: str, command: click.Command, page: str = PAGE) -> list[str]:
    """What the page does not say of a command: itself, or any name of an option or argument."""
    section = sections(page).get(name)
    if section is None:
        return [name]
    listed = [line for line in section.splitlines() if line.startswith(("- ", "`returnclock "))]
    said = "\n".join(listed)
    options = [word for one in command.params if isinstance(one, click.Option) for word in (*one.opts, *one.secondary_opts)]
    arguments = [one.make_metavar(click.Context(command)) for one in command.params if isinstance(one, click.Argument)]
    return [word for word in options if f"`{word}`" not in said] + [word for word in arguments if word not in said]


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_a_command_is_documented_with_its_options(name: str, command: click.Command) -> None:
    assert undocumented(name, command) == []


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_a_command_and_its_options_say_what_they_are_for(name: str, command: click.Command) -> None:
    assert command.help
    unsaid = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert not unsaid, f"{name}: {unsaid}"


@pytest.mark.parametrize(("name", "command"), [(n, c) for n, c in commands() if not isinstance(c, click.Group)])
def test_every_command_that_ends_answers_in_json(name: str, command: click.Command) -> None:
    if name in ("up", "worker", "beat"):  # they run until they are stopped
        return
    assert "--json" in [word for one in command.params for word in one.opts], name


def test_the_page_names_no_command_and_no_option_that_does_not_exist() -> None:
    known = dict(commands())
    assert sorted(set(sections()) - set(known)) == []
    for name, section in sections().items():
        listed = {
            word for line in section.splitlines() if line.startswith("- `-") for word in re.findall(r"`(--?[a-z-]+)`", line)
        }
        options = {word for one in known[name].params for word in (*one.opts, *one.secondary_opts)}
        assert listed <= options, name


def test_the_guard_itself_sees_a_missing_command_and_a_missing_option() -> None:
    (command,) = [command for name, command in commands() if name == "restamp"]
    assert undocumented("restamp", command, PAGE.replace("## `returnclock restamp`", "")) == ["restamp"]
    assert undocumented("restamp", command, PAGE.replace("- `--overdue`", "- ")) == ["--overdue"]
