"""What purge has moved away is told as before: by the command, as JSON and on the ops page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from returnclock.cli import cli
from returnclock.errors import NotFound
from returnclock.explain import Explanation
from returnclock.metrics import Exposition
from returnclock.tables.clock import archive, deadlines, outbox
from returnclock.web.app import make_app
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

DUE = MONDAY + 5 * DAY
LONG_AFTER = DUE + 420 * DAY


@pytest.fixture
def escalated(market: Market, operator: Operator) -> int:
    """A dispute with a long story: reminded, extended, held, resumed, escalated, and all of it mailed."""
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    operator.extend("disputes", dispute, at=MONDAY + HOUR, add="1")
    operator.hold("disputes", dispute, at=MONDAY + 2 * HOUR)
    operator.resume("disputes", dispute, at=MONDAY + DAY)
    market.run("send-reminders", at=DUE)
    market.run("deliver-mail")
    market.run("escalate-disputes", at=DUE + 3 * DAY)
    market.run("deliver-mail")
    market.run("stamp")
    return dispute


def told(market: Market, table: str, row_id: int) -> Explanation:
    return market.explain(table, row_id)


def command(market: Market, *words: Any) -> Result:
    file = str(market.folder / "returnclock.toml")
    environ = {"DATABASE_URL": market.url, "RETURNCLOCK_DATA": str(market.folder), "RETURNCLOCK_CONFIG": file}
    return CliRunner().invoke(cli, [str(word) for word in words], env=environ, catch_exceptions=False)


def without_what_comes_next(explanation: dict[str, Any]) -> dict[str, Any]:
    stories = [{name: value for name, value in story.items() if name != "next"} for story in explanation["stories"]]
    return {**explanation, "stories": stories}


def test_a_story_is_the_same_after_its_history_was_moved(market: Market, escalated: int) -> None:
    market.clock.at = LONG_AFTER
    before = told(market, "disputes", escalated)
    market.run("purge")
    assert [market.count(deadlines), market.events("seller_response"), market.count(outbox)] == [0, [], 0]
    after = told(market, "disputes", escalated)

    assert without_what_comes_next(after.as_json()) == without_what_comes_next(before.as_json())
    (story,) = after.stories
    assert (len(story.events), len(story.notices)) == (9, 3)
    assert story.next == "Nothing more comes of this deadline. Purge moved its history to clock_archive on 2027-05-01."


def test_the_command_and_the_ops_page_tell_an_archived_story_in_the_same_words(market: Market, escalated: int) -> None:
    def shown() -> list[str]:
        page = make_app(market.wiring, Exposition(market.wiring), None).test_client().get(f"/case/disputes/{escalated}")
        text, as_json = (
            command(market, "explain", "disputes", escalated),
            command(market, "explain", "disputes", escalated, "--json"),
        )
        assert (page.status_code, text.exit_code, as_json.exit_code) == (200, 0, 0)
        return [text.output, page.text, json.dumps(without_what_comes_next(json.loads(as_json.output)))]

    market.clock.at = LONG_AFTER
    before = shown()
    market.run("purge")
    moved = re.compile(r" Purge moved its history to clock_archive on [0-9-]+\.")
    assert [moved.subn("", said) for said in shown()] == [(before[0], 1), (before[1], 1), (before[2], 0)]


def test_a_row_that_is_gone_is_explained_from_the_archive_alone(market: Market, escalated: int) -> None:
    market.run("purge", at=LONG_AFTER)
    market.delete("disputes", escalated)

    explanation = told(market, "disputes", escalated)
    assert (explanation.exists, [story.deadline["state"] for story in explanation.stories]) == (False, ["fired"])
    with pytest.raises(NotFound):
        told(market, "disputes", escalated + 1)


def test_stories_are_told_in_the_order_of_their_starts_wherever_they_are_kept(market: Market, escalated: int) -> None:
    market.update("disputes", escalated, status="awaiting_seller", awaiting_seller_since=MONDAY + 400 * DAY)
    market.run("stamp", at=MONDAY + 400 * DAY)
    market.update("disputes", escalated, status="awaiting_buyer")
    market.run("stamp", at=MONDAY + 401 * DAY)
    market.update("disputes", escalated, status="awaiting_seller", awaiting_seller_since=MONDAY - DAY)
    market.run("stamp", at=MONDAY + 402 * DAY)
    market.run("purge", at=LONG_AFTER)

    assert market.states("seller_response", escalated) == ["met", "running"]
    explanation = told(market, "disputes", escalated)
    starts = [(story.deadline["starts_at"] - MONDAY, story.deadline["state"]) for story in explanation.stories]
    assert starts == [(-DAY, "running"), (0 * DAY, "fired"), (400 * DAY, "met")]


def test_lists_of_one_row_say_what_is_archived_of_it(market: Market, escalated: int) -> None:
    market.run("purge", at=LONG_AFTER)
    assert market.count(archive) > 0
    for words in (("deadlines", "--subject", escalated), ("events", "--subject", escalated, "--kind", "seller_response")):
        assert f'"returnclock explain disputes {escalated}"' in command(market, *words).stderr
        assert "explain" not in command(market, *words[:2], escalated + 1).stderr
