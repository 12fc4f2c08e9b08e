"""What a worker does with a message before it begins to work on it: one that no task can be made of is put away.

Celery takes a message's insides as they come. One whose body is ``null``, as a program in another language may well write it,
ends the worker, goes back into the queue, and ends the next one, until somebody empties the queue by hand.
Comes in by the names that the app and ``configuration`` hand to Celery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import celery
from celery.utils.time import maybe_iso8601
from celery.worker import consumer as celery_consumer
from celery.worker.strategy import default

from returnclock.tasks.envelopes import OF_ITS_DATA, faults_told

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
        _put_away(message, consumer.connection_errors, f"A message for {task.name}", reason)

    return taken


class Consumer(celery_consumer.Consumer):  # type: ignore[misc]
    """Celery's consumer, which no message ends: what is odd in a way that nobody has thought of is put away as well."""

    def create_task_handler(self, *others: Any, **more: Any) -> Callable[[Any], Any]:
        """Celery's handler of a message that has come in."""
        return unended(super().create_task_handler(*others, **more), self.connection_errors)


def unended(take: Callable[[Any], Any], connection_errors: tuple[type[BaseException], ...]) -> Callable[[Any], Any]:
    """``take``, which takes a message, for any message at all."""

    def taken(message: Any) -> Any:
        with faults_told(partial(_put_away, message, connection_errors, "A message")):
            return take(message)

    return taken


def _put_away(message: Any, connection_errors: tuple[type[BaseException], ...], which: str, reason: str) -> None:
    _log.error("%s was put away, unread: %s. Whoever sends it must mend it.", which, reason)
    if not message.acknowledged:
        message.reject_log_error(_log, connection_errors)


def wrong_with(headers: Any, payload: Any) -> str | None:
    """Why no task can be made of a message, or None.

    The body is Celery's protocol 2, ``[args, kwargs, embed]``, or the object with ``args`` and ``kwargs`` of protocol 1, whose
    other headers are in it too.
    """
    told = dict(headers or {})
    if isinstance(payload, dict):
        args, kwargs, embed = payload.get("args"), payload.get("kwargs"), {}
        told = payload | told
    elif isinstance(payload, list | tuple) and len(payload) == 3:
        args, kwargs, embed = payload
    else:
        args = kwargs = embed = None
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        return "its body is not [args, kwargs, embed]"
    for name, is_right, right in _HEADERS:
        if not is_right(told.get(name)):
            return f"its header {name} is not {right}"
    return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_plain(value)


def is_plain(text: str) -> bool:
    """Whether a text can be kept: PostgreSQL knows no NUL, and half a character of UTF-16 is none in UTF-8."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _is_moment(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and maybe_iso8601(value) is not None
    except OF_ITS_DATA:
        return False


def _are_limits(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_limit, value)))


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_list(value: Any) -> bool:
    return value is None or isinstance(value, list | tuple)


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


# What Celery works with, unlooked at, before a task begins or when it has ended.
_HEADERS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("id", _is_name, "a text"),
    ("eta", _is_moment, "a time"),
    ("expires", _is_moment, "a time"),
    ("retries", _is_count, "a number"),
    ("timelimit", _are_limits, "two numbers"),
    ("stamped_headers", _is_list, "a list"),
    ("stamps", _is_object, "an object"),
)
