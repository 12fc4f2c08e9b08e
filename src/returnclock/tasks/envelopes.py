"""What a queue holds that kombu can take apart; whatever else somebody has put there is dropped, with a line in the log.

Kombu trusts what it finds: an entry without a tag, or with a number where a text should be, ends the worker.
Mixed into the transports of ``redis_broker`` and ``local_broker``; RabbitMQ itself sees to it that a message is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_log = logging.getLogger(__name__)

# What Python says of a value that is not what it was taken for. Kombu counts KeyError among the losses of a connection, and a
# worker would connect again for as long as such a message comes back.
OF_ITS_DATA = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class TakesMessages:
    """A transport that hands on nothing but messages."""

    def _deliver(self, message: Any, queue: Any) -> None:
        if why := wrong_with_entry(message):
            tell_dropped(why)
            return
        with faults_told(tell_dropped):
            super()._deliver(message, queue)  # type: ignore[misc]


def wrong_with_entry(message: Any) -> str | None:
    """Why an entry of a queue is no message, or None."""
    if not isinstance(message, dict):
        return "it is no object"
    properties, headers = message.get("properties"), message.get("headers")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return "it has no properties with a delivery_tag"
    where = properties.get("delivery_info")
    if not isinstance(where, dict) or not {"exchange", "routing_key"} <= where.keys():
        return "its delivery_info does not name an exchange and a routing_key"
    if not isinstance(headers, dict | None):
        return "its headers are no object"
    return None if isinstance(message.get("body"), str) else "its body is no text"


def tell_dropped(why: str) -> None:
    """Say that an entry was dropped; it is gone already."""
    _log.error("Something in the queue is no message of Celery's and was dropped: %s. Another program may write there.", why)


@contextmanager
def faults_told(tell: Callable[[str], None], of: tuple[type[Exception], ...] = OF_ITS_DATA) -> Iterator[None]:
    """Tell what goes wrong inside because of a value, and go on; with the kind, for a KeyError's words are only a name."""
    try:
        yield
    except of as fault:
        if isinstance(fault, OSError):  # a certificate that does not hold is both
            raise
        tell(ascii(f"{type(fault).__name__}: {fault}")[1:-1][:200])
