"""Kombu's Redis transports, as a worker needs them that goes on whatever Redis does, or somebody puts into its queue.

*A lost connection.* A worker with a tick in hand when Redis goes away acknowledges it, or gives it back, on a channel whose
connection is gone already. Kombu's channel then fails with an AttributeError, which Celery takes for an error of the program.
*A refusal.* Redis answers what it cannot do now (it has become a replica, its memory is full, a right was taken away, the queue
is no list) with an error that Celery takes for one of the program as well. Both end the worker. With an error of the connection
it does what it does for every lost one, and connects again. Nothing is lost by it: the message is still in Redis, or went with
it, and it was only a tick.
*No message.* What was put into the queue and is no message of Celery's is dropped.
Comes in by the names that ``messaging`` hands to Celery.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from time import sleep
from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from returnclock.tasks.envelopes import TakesMessages, faults_told, tell_dropped
from returnclock.tasks.wording import reason_of

_log = logging.getLogger(__name__)
_PAUSE_S = 1.0
# What comes of reading what is no JSON, or kombu's own types in it with something else inside.
_UNREADABLE = (TypeError, ValueError, ArithmeticError, RecursionError)


@contextmanager
def _unhurried() -> Iterator[None]:
    """Take a moment over a refusal of what comes first on a new connection, or a worker connects a hundred times a second."""
    try:
        yield
    except ResponseError as refusal:
        sleep(_PAUSE_S)
        raise RedisConnectionError(str(refusal)) from refusal


class _QoS(redis.QoS):
    """What a worker has in hand; a tick that Redis would not take off its list is not in hand any more, and comes again."""

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except ResponseError as refusal:
            # Kept in hand, it would take the room of another one for as long as the worker lives.
            _log.warning("Redis does not take a tick off its list, and hands it out again later: %s.", reason_of(refusal))
            self._quick_ack(delivery_tag)

    def restore_visible(self, *how: Any, **more: Any) -> Any:
        with _unhurried():
            return super().restore_visible(*how, **more)  # type: ignore[no-untyped-call]


class _GoesOn:
    """Tells a refusal and a loss as one of the connection, and drops what is no message."""

    connection: Any

    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the connection of this channel is gone")
        return super()._connparams(asynchronous)  # type: ignore[misc]

    def _brpop_read(self, **options: Any) -> Any:
        with faults_told(tell_dropped, _UNREADABLE), _unhurried():
            return super()._brpop_read(**options)  # type: ignore[misc]
        raise Empty

    def _receive_one(self, *listening: Any) -> Any:
        with faults_told(tell_dropped, _UNREADABLE), _unhurried():
            return super()._receive_one(*listening)  # type: ignore[misc]
        raise Empty

    def _size(self, queue: Any) -> Any:
        with _unhurried():
            return super()._size(queue)  # type: ignore[misc]

    def _queue_bind(self, *binding: Any) -> None:
        with _unhurried():
            super()._queue_bind(*binding)  # type: ignore[misc]


class _Reconnects(TakesMessages):
    """A transport whose refusals are errors of the connection."""

    connection_errors = (*redis.Transport.connection_errors, ResponseError)
    channel_errors = tuple(error for error in redis.Transport.channel_errors if error is not ResponseError)


class Channel(_GoesOn, redis.Channel):
    """A channel to one Redis."""

    QoS = _QoS


class Transport(_Reconnects, redis.Transport):
    """``redis://`` and ``rediss://``."""

    Channel = Channel


class SentinelChannel(_GoesOn, redis.SentinelChannel):
    """A channel to the Redis that the Sentinels name."""

    QoS = _QoS


class SentinelTransport(_Reconnects, redis.SentinelTransport):
    """``sentinel://``."""

    Channel = SentinelChannel
