"""Kombu's Redis transports, with channels that know when their connection is lost.

A worker with a tick in hand when Redis goes away acknowledges it, or gives it back, on a channel whose connection is gone
already. Kombu's channel then fails with an AttributeError, which Celery takes for an error of the program: the worker ends.
With a ConnectionError it does what it does for every lost connection, and connects again. Nothing is lost by it: the message
is still in Redis, or went with it, and it was only a tick.
Comes in by the names that ``messaging`` hands to Celery.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError


class _KnowsItsLoss:
    """Refuses to look for Redis on behalf of a connection that is gone."""

    connection: Any

    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the connection of this channel is gone")
        return super()._connparams(asynchronous)  # type: ignore[misc]


class Channel(_KnowsItsLoss, redis.Channel):
    """A channel to one Redis."""


class Transport(redis.Transport):
    """``redis://`` and ``rediss://``."""

    Channel = Channel


class SentinelChannel(_KnowsItsLoss, redis.SentinelChannel):
    """A channel to the Redis that the Sentinels name."""


class SentinelTransport(redis.SentinelTransport):
    """``sentinel://``."""

    Channel = SentinelChannel
