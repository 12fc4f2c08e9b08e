"""Which messages a worker makes a task of, and that no task waits for its result to be kept."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeout

from returnclock.tasks import results
from returnclock.tasks.arrivals import unended, wrong_with
from returnclock.tasks.envelopes import TakesMessages, wrong_with_entry

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@pytest.mark.parametrize(
    "payload",
    [[[], {}, EMBED], [[1], {"limit": 5}, None], ([], {}, {}), {"args": [], "kwargs": {}, "task": "returnclock.stamp"}],
)
@pytest.mark.parametrize("limits", [None, [None, None], [300, None], (300.0, 270)])
def test_a_message_of_either_protocol_is_taken(payload: Any, limits: Any) -> None:
    assert wrong_with({"id": "a", "timelimit": limits}, payload) is None


@pytest.mark.parametrize("payload", [None, {}, 5, "x", [], [[], {}], [1, {}, {}], [[], None, {}], [[], {}, "x"], {"args": 1}])
def test_a_body_that_is_none_is_told(payload: Any) -> None:
    assert wrong_with({"task": "returnclock.stamp"}, payload) == "its body is not [args, kwargs, embed]"


@pytest.mark.parametrize("limits", [["a", "b"], "ab", [1], {}, [True, None]])
def test_limits_that_are_none_are_told(limits: Any) -> None:
    assert wrong_with({"id": "a", "timelimit": limits}, [[], {}, EMBED]) == "its header timelimit is not two numbers"


@pytest.mark.parametrize(
    ("header", "values", "right"),
    [
        ("id", [None, "", 5, [1], {"a": 1}, "a\0", "\ud800"], "a text"),
        ("eta", ["junk", 5, {"a": 1}, True, ""], "a time"),
        ("expires", ["2026-13-01", 5, [1]], "a time"),
        ("retries", ["x", 1.5, True], "a number"),
        ("stamped_headers", [5, "x", {"a": 1}], "a list"),
        ("stamps", [5, "x", [1]], "an object"),
    ],
)
def test_headers_that_celery_trusts_are_looked_at(header: str, values: list[Any], right: str) -> None:
    for value in values:
        assert wrong_with({"id": "a", header: value}, [[], {}, EMBED]) == f"its header {header} is not {right}"
    known = {"id": "a", "eta": "2026-12-01T00:00:00+00:00", "expires": "2026-12-01T00:00:00", "retries": 2}
    assert wrong_with(known | {"stamped_headers": ["x"], "stamps": {"x": 1}}, [[], {}, EMBED]) is None


def test_the_headers_of_the_old_protocol_stand_in_its_body() -> None:
    body = {"args": [], "kwargs": {}, "task": "returnclock.stamp"}
    assert wrong_with({}, body | {"id": "a"}) is None
    assert wrong_with({}, body | {"id": [1]}) == "its header id is not a text"


ENTRY: dict[str, Any] = {
    "body": "W10=",
    "headers": {},
    "properties": {"delivery_tag": "a", "delivery_info": {"exchange": "", "routing_key": "returnclock"}},
}


def test_an_entry_that_kombu_can_take_apart_is_a_message() -> None:
    assert wrong_with_entry(ENTRY) is None
    assert wrong_with_entry(ENTRY | {"headers": None}) is None


@pytest.mark.parametrize(
    "entry",
    [
        *(5, [], "x", None),
        *(ENTRY | {"body": body} for body in (5, None, {"a": 1})),
        *(ENTRY | {"headers": headers} for headers in (5, "x", [1])),
        *(ENTRY | {"properties": properties} for properties in (5, [], {}, {"delivery_tag": "a"})),
        *(ENTRY | {"properties": ENTRY["properties"] | {"delivery_tag": tag}} for tag in (5, [1], {"a": 1}, None)),
        *(ENTRY | {"properties": ENTRY["properties"] | {"delivery_info": info}} for info in (5, [1], "x", {"exchange": ""})),
    ],
)
def test_an_entry_that_it_cannot_is_none(entry: Any) -> None:
    assert wrong_with_entry(entry) is not None


class Message(dict[str, Any]):
    """A message that is as odd as its ``fault`` says."""

    acknowledged = False
    rejected = 0

    def reject_log_error(self, *_: Any) -> None:
        self.rejected += 1


def take(message: Any, _: Any = None) -> None:
    raise message["fault"]


class Transport(TakesMessages, type("Kombus", (), {"_deliver": staticmethod(take)})):  # type: ignore[misc]
    pass


@pytest.mark.parametrize("fault", [KeyError("id"), TypeError("unhashable type"), RecursionError(), OverflowError()])
def test_what_nobody_has_thought_of_ends_neither_consumer_nor_transport(fault: Exception) -> None:
    message, done = Message(fault=fault), Message(fault=fault)
    done.acknowledged = True
    for each in (message, done):
        unended(take, (KeyError,))(each)
    assert (message.rejected, done.rejected) == (1, 0)
    Transport()._deliver(ENTRY | {"fault": fault}, "returnclock")


@pytest.mark.parametrize("fault", [OSError(), ssl.SSLCertVerificationError(), RedisTimeout()])
def test_a_lost_connection_goes_through_both(fault: Exception) -> None:
    message = Message(fault=fault)
    with pytest.raises(type(fault)):
        unended(take, (OSError,))(message)
    with pytest.raises(type(fault)):
        Transport()._deliver(ENTRY | {"fault": fault}, "returnclock")
    assert message.rejected == 0


def test_a_result_that_cannot_be_kept_fails_no_task_and_the_next_are_not_tried_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Silent:
        asked = 0
        silent = True

        def store_result(self, *_: Any, **__: Any) -> Any:
            Silent.asked += 1
            if Silent.silent:
                raise RedisTimeout("Timeout reading from socket")

    class Mirror(results._OnlyMirrors, Silent):
        pass

    now = 1000.0
    monkeypatch.setattr(results, "monotonic", lambda: now)
    mirror = Mirror()
    assert [mirror.store_result("id", {"changed": 1}, "SUCCESS") for _ in range(5)] == [{"changed": 1}] * 5
    assert Silent.asked == 1
    now += results.AWAY_S
    mirror.store_result("id", {}, "SUCCESS")
    assert Silent.asked == 2
    assert [record.getMessage() for record in caplog.records] == [  # once, however long it lasts
        "Results are not kept for now: Timeout reading from socket. Runs are recorded in clock_runs all the same."
    ]
    now += results.AWAY_S
    Silent.silent = False
    mirror.store_result("id", {}, "SUCCESS")
    mirror.store_result("id", {}, "SUCCESS")
    assert [record.getMessage() for record in caplog.records][1:] == ["Results are kept again."]
