"""What a worker does with a message before it begins to work on it: one that no task can be made of is put away.

Celery takes a message's insides as they come. One whose body is ``null``, as a program in another language may well write it,
ends the worker, goes back into the queue, and ends the next one, until somebody empties the queue by hand.
Comes in by the name that the app hands to Celery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import celery
from celery.worker.strategy import default

_log = logging.getLogger(__name__)


class Task(celery.Task):  # type: ignore[misc]  # Celery ships no types.
    """A task whose messages are looked at first."""

    Strategy = "returnclock.tasks.arrivals:strategy"


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Celery's own way to take a message of a task, for those that a task can be made of."""
    take = default(task, app, consumer)

    def taken(message: Any, *others: Any, **more: Any) -> None:
        reason = wrong_with(message.headers, message.payload)
        if reason is None:
            take(message, *others, **more)
            return
        _log.error("A message for %s was put away, unread: %s. Whoever sends it must mend it.", task.name, reason)
        message.reject_log_error(_log, consumer.connection_errors)

    return taken


def wrong_with(headers: Any, payload: Any) -> str | None:
    """Why no task can be made of a message, or None.

    The body is Celery's protocol 2, ``[args, kwargs, embed]``, or the object with ``args`` and ``kwargs`` of protocol 1.
    """
    if isinstance(payload, dict):
        args, kwargs, embed = payload.get("args"), payload.get("kwargs"), {}
    elif isinstance(payload, list | tuple) and len(payload) == 3:
        args, kwargs, embed = payload
    else:
        args = kwargs = embed = None
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        return "its body is not [args, kwargs, embed]"
    limits = (headers or {}).get("timelimit")
    if limits is None or (isinstance(limits, list | tuple) and len(limits) == 2 and all(map(_is_limit, limits))):
        return None
    return "its header timelimit is not two numbers"


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
