"""Which messages a worker makes a task of, and that no task waits for its result to be kept."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeout

from returnclock.tasks import results
from returnclock.tasks.arrivals import wrong_with

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@pytest.mark.parametrize(
    "payload",
    [[[], {}, EMBED], [[1], {"limit": 5}, None], ([], {}, {}), {"args": [], "kwargs": {}, "task": "returnclock.stamp"}],
)
@pytest.mark.parametrize("limits", [None, [None, None], [300, None], (300.0, 270)])
def test_a_message_of_either_protocol_is_taken(payload: Any, limits: Any) -> None:
    assert wrong_with({"task": "returnclock.stamp", "timelimit": limits}, payload) is None


@pytest.mark.parametrize("payload", [None, {}, 5, "x", [], [[], {}], [1, {}, {}], [[], None, {}], [[], {}, "x"], {"args": 1}])
def test_a_body_that_is_none_is_told(payload: Any) -> None:
    assert wrong_with({"task": "returnclock.stamp"}, payload) == "its body is not [args, kwargs, embed]"


@pytest.mark.parametrize("limits", [["a", "b"], "ab", [1], {}, [True, None]])
def test_limits_that_are_none_are_told(limits: Any) -> None:
    assert wrong_with({"timelimit": limits}, [[], {}, EMBED]) == "its header timelimit is not two numbers"


def test_a_result_that_cannot_be_kept_fails_no_task_and_the_next_are_not_tried_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Silent:
        asked = 0

        def store_result(self, *_: Any, **__: Any) -> Any:
            Silent.asked += 1
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
