"""The interventions as an operator types them, on the embedded default with no broker anywhere.

In this process, unlike `test_command`: a process for each of a hundred commands would take minutes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from returnclock.cli import cli
from returnclock.database import writing
from returnclock.engines import open_engine

WHY = ("--reason", "the shop was down")


def typed(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NO_COLOR", "1")
        return CliRunner().invoke(cli, list(words))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded database with three stamped disputes; 81 and 82 are of Germany."""
    folder = tmp_path_factory.mktemp("market")
    assert typed(folder, "db", "upgrade").exit_code == 0
    engine = open_engine(f"sqlite:///{folder}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO sellers (id, email) VALUES (1, 'ana@shop.example')"))
        for number, country in ((81, "DE"), (82, "DE"), (83, "FR")):
            values = {"id": number, "country": country}
            connection.execute(text("INSERT INTO orders (id, seller_id, country) VALUES (:id, 1, :country)"), values)
            connection.execute(text("INSERT INTO disputes (id, order_id) VALUES (:id, :id)"), {"id": number})
    engine.dispose()
    assert typed(folder, "run", "stamp").exit_code == 0
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


def answered(folder: Path, *words: str, code: int = 0) -> dict[str, object]:
    answer = typed(folder, *words, *WHY, "--json")
    assert (answer.exit_code, answer.stderr) == (code, "")
    found = json.loads(answer.stdout)
    assert (found["reason"], bool(found["by"])) == ("the shop was down", True)
    return dict(found)


def states(folder: Path) -> dict[str, str]:
    return {row["subject_id"]: row["state"] for row in json.loads(typed(folder, "deadlines", "--json").stdout)}


def test_every_intervention_wants_a_reason() -> None:
    wanted = {"hold", "resume", "extend", "fire-now", "undo", "pause", "unpause"}
    commands = {name: cli.commands[name] for name in wanted}
    commands |= {name: cli.commands["vacation"].commands[name] for name in ("add", "remove")}  # type: ignore[attr-defined]
    commands["requeue"] = cli.commands["outbox"].commands["requeue"]  # type: ignore[attr-defined]
    for name, command in commands.items():
        options = {parameter.name: parameter for parameter in command.params}
        assert options["reason"].required, name
        assert {"by", "dry_run", "yes", "as_json"} <= options.keys(), name


def test_one_row_s_day_of_interventions(folder: Path) -> None:
    assert answered(folder, "hold", "disputes", "81", "--by", "maria")["by"] == "maria"
    assert states(folder) == {"81": "held", "82": "running", "83": "running"}
    assert answered(folder, "resume", "disputes", "81")["resumed"] == 1
    assert answered(folder, "extend", "disputes", "81", "--add", "2")["extended"] == 1
    assert answered(folder, "fire-now", "disputes", "81")["fired"] == 1
    assert answered(folder, "undo", "disputes", "81", "--dry-run")["would"] == 1
    assert answered(folder, "undo", "disputes", "81")["undone"] == 1
    story = typed(folder, "explain", "disputes", "81").stdout
    for event in ("deadline:held", "deadline:resumed", "deadline:extended", "dispute:escalated", "deadline:undone"):
        assert f"({event}, " in story
    assert "by order of maria" in story
    assert story.count("the shop was down") >= 5


def test_many_are_asked_about_and_nothing_happens_without_an_answer(folder: Path) -> None:
    refused = typed(folder, "hold", "--country", "DE", *WHY)
    assert (refused.exit_code, "hold 2 deadlines (country = DE)" in refused.stderr) == (4, True)
    assert "--yes" in refused.stderr
    assert set(states(folder).values()) == {"running"}
    assert answered(folder, "hold", "--country", "DE", "--yes")["held"] == 2
    assert answered(folder, "hold", "--country", "FR")["held"] == 1  # one needs no answer
    status = typed(folder, "status").stdout
    assert "HELD  country = DE (hold 1)" in status
    assert [row["id"] for row in json.loads(typed(folder, "holds", "--json").stdout)] == [2, 1]
    assert answered(folder, "resume", "--country", "DE", "--yes")["resumed"] == 2


def test_a_pause_is_seen_everywhere_and_ended(folder: Path) -> None:
    assert answered(folder, "pause", "escalate-disputes")["what"] == "task"
    assert answered(folder, "pause", "seller_response", "--until", "2199-01-01")["what"] == "kind"
    run = typed(folder, "run", "escalate-disputes")
    assert (run.exit_code, "returnclock unpause escalate-disputes" in run.stderr) == (4, True)
    assert "PAUSED escalate-disputes" in typed(folder, "status").stdout
    assert answered(folder, "unpause", "escalate-disputes")["ended"] == 1
    assert typed(folder, "run", "escalate-disputes").exit_code == 0


def test_a_vacation_is_added_listed_and_taken_back(folder: Path) -> None:
    added = answered(folder, "vacation", "add", "1", "2199-03-04", "2199-03-05")
    assert (added["granted"], added["moved"]) == (2, 0)
    assert [row["seller_id"] for row in json.loads(typed(folder, "vacation", "list", "--json").stdout)] == [1]
    assert answered(folder, "vacation", "remove", "1")["seller"] == 1


def test_dead_notices_are_requeued_by_the_group_of_their_error(folder: Path) -> None:
    answered(folder, "fire-now", "--all", "--yes")
    engine = open_engine(f"sqlite:///{folder}/returnclock-data/returnclock.db")
    with writing(engine) as connection:
        said = "'550 5.1.1 <x' || id || '@shop.example> refused'"
        connection.execute(text(f"UPDATE clock_outbox SET state = 'dead', error = {said} WHERE party = 'seller'"))
    engine.dispose()
    (group,) = json.loads(typed(folder, "outbox", "errors", "--json").stdout)
    assert (group["count"], "shop.example" in group["error"]) == (3, False)
    assert len(answered(folder, "outbox", "requeue", "--group", str(group["group"]), "--yes")["requeued"]) == 3  # type: ignore[arg-type]
    assert json.loads(typed(folder, "outbox", "errors", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hold", *WHY), 2, "Say which"),
        (("hold", "disputes", "9", *WHY), 3, "no row in disputes with the id '9'"),
        (("hold", "99", *WHY), 3, "no deadline '99'"),
        (("hold", "disputes", "81"), 2, "Missing option '--reason'"),
        (("hold", "disputes", "81", "--reason", " "), 2, "--reason is empty"),
        (("hold", "disputes", "81", "--until", "2020-01-01", *WHY), 2, "not after its beginning"),
        (("hold", "--where", "colour=red", *WHY), 2, "No row has a column 'colour'"),
        (("hold", "--where", "country", *WHY), 2, "is not COLUMN=VALUE"),
        (("resume", "disputes", "81", *WHY), 4, "is not held"),
        (("resume", "--hold", "7", *WHY), 3, "no hold 7"),
        (("extend", "disputes", "81", *WHY), 2, "--add PERIOD or --until TIME"),
        (("extend", "disputes", "81", "--add", "2 dayz", *WHY), 2, "is not a period"),
        (("undo", "disputes", "81", *WHY), 4, "nothing to undo"),
        (("pause", "seller_respons", *WHY), 2, 'did you mean "seller_response"?'),
        (("unpause", "seller_response", *WHY), 4, "is not paused"),
        (("vacation", "add", "7", "2199-01-01", "2199-01-02", *WHY), 3, "no seller 7"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    answer = typed(folder, *words)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
