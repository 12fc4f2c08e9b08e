"""Celery's results in Redis, which only mirror ``clock_runs``: no task waits long for them, and none fails by them.

Celery tells a task whose result could not be kept as one that failed, though its work is committed, and tries to keep that.
With a Redis that is silent each task lost twenty seconds so, and nearly no tick was worked off.
Comes in by the names that ``messaging`` hands to Celery.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from celery.backends.redis import RedisBackend, SentinelBackend
from redis.exceptions import RedisError

from returnclock.tasks.wording import reason_of

_log = logging.getLogger(__name__)
AWAY_S = 30.0  # for so long no result is kept after one could not be; whoever waits for one reads it in clock_runs


class _OnlyMirrors:
    """Keeps what it can."""

    _away_until = 0.0
    _told_away = False

    def store_result(self, task_id: str, result: Any, state: str, *others: Any, **more: Any) -> Any:
        """Keep a result, unless the last one could not be kept just now."""
        if monotonic() < self._away_until:
            return result
        try:
            kept = super().store_result(task_id, result, state, *others, **more)  # type: ignore[misc]
        except (RedisError, OSError) as fault:
            self._away_until = monotonic() + AWAY_S
            self._tell(away=True, because=f": {reason_of(fault)}")
            return result
        self._tell(away=False)
        return kept

    def _tell(self, *, away: bool, because: str = "") -> None:
        if away and not self._told_away:
            _log.warning("Results are not kept for now%s. Runs are recorded in clock_runs all the same.", because)
        elif self._told_away and not away:
            _log.warning("Results are kept again.")
        self._told_away = away


class Results(_OnlyMirrors, RedisBackend):  # type: ignore[misc]  # Celery ships no types.
    """``redis://`` and ``rediss://``."""


class SentinelResults(_OnlyMirrors, SentinelBackend):  # type: ignore[misc]
    """``sentinel://``."""
