"""What Celery says when a broker or the results are away, in one line and without names that nobody has given.

Celery logs each loss with a traceback, and calls it critical that a tick could not be acknowledged, which is handed on again
and does no harm. Only an outage is told so; any other error stays as Celery tells it. Comes in by ``logs``.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import ssl

from amqp.exceptions import AMQPError  # type: ignore[import-untyped]  # it ships no types
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from returnclock.tasks.wording import reason_of

_LOGGERS = ("celery.worker", "celery.worker.consumer.consumer", "celery.worker.request", "celery.beat")
# How often the same trouble is told, while it lasts.
AGAIN_S = 60.0
_OF_A_CONNECTION = re.compile("Cannot connect to|Connection to broker lost|remote control has no broker")
_COUNTED = re.compile(r"Trying again in [\d.]+ seconds\S*( \(.*\))?")
_OUTAGES = (AMQPError, OperationalError, RedisError, ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
_OUTAGE_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMFILE}
# The names of our own transports stand where Celery shows the scheme of an address.
_OWN_TRANSPORT = re.compile(r"returnclock\.tasks\.\w+:(?P<kind>Sentinel)?Transport://")
# By how the message begins: what is said instead, and how grave it is.
_SAID = {
    "Unrecoverable error": ("The worker ends, because the broker cannot be used: {reason}.", logging.CRITICAL),
    "Task handler raised error": (
        "What a task returned could not be kept: {reason}. Its run stands in clock_runs.",
        logging.ERROR,
    ),
    "Couldn't ack": (
        "A message could not be acknowledged: {reason}. It is handed on again, which does no harm.",
        logging.WARNING,
    ),
    "Couldn't reject": (
        "A message could not be given back: {reason}. It is handed on again, which does no harm.",
        logging.WARNING,
    ),
    "beat pidbox": ("Beat's remote control has no broker: {reason}. Its ticks are told of apart.", logging.WARNING),
}


def speak_plainly() -> None:
    """Let the loggers of Celery that tell of outages speak so, in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(in_plain_words)
        logging.getLogger(name).addFilter(Seldom())


class Seldom:
    """Lets a trouble through that is told for the first time, and then once in ``AGAIN_S``; a filter of ``logging``.

    A Redis that refuses is connected to again each second, and each time Celery says so.
    """

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        """Whether to tell it; only of a connection, and whatever the count of attempts is."""
        if not _OF_A_CONNECTION.search(words := record.getMessage()):
            return True
        self._told = {each: at for each, at in self._told.items() if record.created - at < AGAIN_S}
        return self._told.setdefault(_COUNTED.sub("", words), record.created) == record.created


def in_plain_words(record: logging.LogRecord) -> bool:
    """Reword one record where it tells of an outage; a filter of ``logging``, which lets all records through."""
    told = record.args if isinstance(record.args, tuple) else ()
    faults = [each for each in told if isinstance(each, BaseException)]
    if faults and is_outage(faults[-1]):
        reason = reason_of(faults[-1])
        record.exc_info = record.exc_text = None
        for begins, (said, level) in _SAID.items():
            if str(record.msg).startswith(begins):
                record.msg, record.args = said.format(reason=reason), ()
                record.levelno, record.levelname = level, logging.getLevelName(level)
                return True
        told = tuple(_Words(reason) if isinstance(each, BaseException) else each for each in told)
    if told:
        record.args = tuple(_scheme(each) if type(each) is str else each for each in told)
    return True


def is_outage(fault: BaseException) -> bool:
    """Whether a fault says that a server or its disk is away, and nothing of a mistake in a program."""
    if isinstance(fault, RuntimeError) and fault.__cause__ is not None:
        return is_outage(fault.__cause__)
    return isinstance(fault, _OUTAGES) or (isinstance(fault, OSError) and fault.errno in _OUTAGE_NUMBERS)


def _scheme(text: str) -> str:
    return _OWN_TRANSPORT.sub(lambda found: "sentinel://" if found["kind"] else "redis://", text)


class _Words(str):
    """A reason that ``%r`` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
