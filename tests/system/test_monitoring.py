"""What is shipped for monitoring: alert rules, runbooks and the dashboard say what the program really does and tells."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from returnclock import telemetry
from returnclock.cli import cli
from tests.servers.programs import program

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
RULE_TESTS = (MONITORING / "alerts_test.yml").read_text(encoding="utf-8")
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.MULTILINE)
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in [*RUNBOOKS.glob("*.md"), ROOT / "docs" / "monitoring.md"] if path.exists())
DECLARED = {metric.name: metric for metric in vars(telemetry).values() if isinstance(metric, telemetry.Metric)}
COUNTERS = {telemetry.FIRED}
HISTOGRAMS = {telemetry.FIRE_LAG}
# What Prometheus adds by itself, and what an expression may make.
EVERYWHERE = {"job", "instance"}


def exported() -> dict[str, set[str]]:
    """Every series that is scraped, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in DECLARED.values():
        labels = {*metric.labels, *EVERYWHERE}
        if metric in COUNTERS:
            found[f"{metric.name}_total"] = labels
        elif metric in HISTOGRAMS:
            found |= {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_count": labels, f"{metric.name}_sum": labels}
        else:
            found[metric.name] = labels
    return found


def wrong_in(expression: str) -> list[str]:
    """What an expression asks for that is not exported: a name, a label of a selector, or one that is summed by."""
    known = exported()
    wrong, labels = [], set(EVERYWHERE)
    for name, selector in re.findall(r"\b(returnclock_\w+)(\{[^}]*\})?", expression):
        if name not in known:
            wrong.append(name)
            continue
        labels |= known[name]
        wrong += [f"{name}{{{label}}}" for label in re.findall(r"(\w+) *[=!]~?", selector) if label not in known[name]]
    for listed in re.findall(r"\b(?:by|without|on) *\(([^)]*)\)", expression):
        wrong += [label for label in re.split(r", *", listed.strip()) if label not in labels]
    return wrong


def queries(dashboard: Any) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert asked, variable
            yield f"sum by ({asked[2]}) ({asked[1]})"


def dashboard() -> Any:
    return json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))


def test_promtool_finds_no_fault_in_the_rules_and_their_tests_pass() -> None:
    promtool = program("promtool", "promtool")
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=MONITORING, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_when_it_is_silent_and_when_it_speaks(alert: str) -> None:
    asked = re.findall(rf"alertname: {alert}$(\n +exp_alerts:)?", RULE_TESTS, re.MULTILINE)
    assert any(asked), "it is never seen to speak"
    assert not all(asked), "it is never seen to be silent"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    assert len(ALERTS) == len(set(ALERTS)) > 10
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)
    for alert, rule in zip(ALERTS, re.split(r"- alert: ", RULES)[1:], strict=True):
        assert re.search(rf"runbook_url: https://\S+/{alert}\.md$", rule, re.MULTILINE), alert
        assert re.search(r"severity: (critical|warning|info)$", rule, re.MULTILINE), alert


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_says_what_it_means_how_to_see_stop_mend_and_prove(page: Path) -> None:
    told = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", told, re.MULTILINE)
    assert headings == [page.stem, "What it means", *(f"How to {do} it" for do in ("see", "stop", "mend", "prove"))]
    assert len(told.splitlines()) < 80
    for link in re.findall(r"\]\(([^)#]+)", told):
        assert (page.parent / link).exists(), link


def commands(page: Path) -> list[str]:
    told = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", told, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`(returnclock [^`]+)`", told)
    return [line for line in lines if line.startswith("returnclock ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_the_documents_exists_with_these_options(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        command: click.Command = cli
        path = []
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            path.append(words[0])
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        if "--help" in words or isinstance(command, click.Group) or not words:
            continue
        # Parses the options and runs nothing; the worker's and beat's further options are Celery's.
        command.make_context(" ".join(path), words)


def test_every_query_of_the_rules_asks_for_what_is_exported() -> None:
    expressions = re.findall(r"^ +expr: (?:\|\n((?:^ {10}.*\n)+)|(.*)$)", RULES, re.MULTILINE)
    assert len(expressions) == len(ALERTS)
    for block, line in expressions:
        assert wrong_in(block or line) == [], block or line


def test_every_series_that_the_tests_of_the_rules_make_up_is_exported() -> None:
    for series in re.findall(r"series: '([^']*)'", RULE_TESTS):
        assert wrong_in(series) == []
        name, labels = series.split("{")[0], set(re.findall(r"(\w+)=", series))
        assert labels == exported()[name], series


def test_every_query_of_the_dashboard_asks_for_what_is_exported() -> None:
    asked = list(queries(dashboard()))
    assert len(asked) > 25
    for expression in asked:
        assert "returnclock_" in expression
        assert wrong_in(expression) == [], expression


def test_the_check_of_queries_finds_what_is_wrong() -> None:
    assert wrong_in("sum by (kind) (returnclock_deadlines_due)") == []
    assert wrong_in("returnclock_deadlines_duue") == ["returnclock_deadlines_duue"]
    assert wrong_in('returnclock_outbox_dead{kind="x"}') == ["returnclock_outbox_dead{kind}"]
    assert wrong_in("sum by (task) (returnclock_outbox_dead)") == ["task"]
    assert wrong_in("returnclock_deadlines_fired") == ["returnclock_deadlines_fired"], "a counter is asked for by _total"


def test_prometheus_itself_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query:{number}", "expr": re.sub(r"\$__rate_interval", "5m", query).replace("$", "")}
        for number, query in enumerate(queries(dashboard()))
    ]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [program("promtool", "promtool"), "check", "rules", "queries.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_begins_with_its_row_of_single_numbers_and_no_panels_overlap() -> None:
    shown = dashboard()
    first_row = [panel for panel in shown["panels"] if panel["gridPos"]["y"] == 0]
    assert {panel["type"] for panel in first_row} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in first_row) == 24
    taken: set[tuple[int, int]] = set()
    for panel in shown["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert shown["annotations"]["list"][0]["name"] == "Deploys"
