"""What worker and beat log when a broker or the results are away."""

from __future__ import annotations

import logging
import sys

import pytest
from amqp.exceptions import AccessRefused
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisAway

from returnclock.tasks.plain_words import AGAIN_S, Seldom, in_plain_words
from returnclock.tasks.wording import reason_of

AWAY = RedisAway("Error 111 connecting to 127.0.0.1:6379. Connection refused.")


def logged(level: int, message: str, *args: object) -> logging.LogRecord:
    """A record as Celery makes it, with the traceback of the last of its arguments that is an error."""
    faults = [each for each in args if isinstance(each, BaseException)]
    traceback = None
    if faults:
        try:
            raise faults[-1]
        except BaseException:
            traceback = sys.exc_info()
    record = logging.LogRecord("celery.worker", level, __file__, 1, message, args, traceback)
    assert in_plain_words(record)
    return record


@pytest.mark.parametrize(
    ("message", "args", "told", "level"),
    [
        (
            "Unrecoverable error: %r",
            (AccessRefused("ACCESS_REFUSED - Login was refused.", (0, 0), ""),),
            "The worker ends, because the broker cannot be used: ACCESS_REFUSED - Login was refused.",
            logging.CRITICAL,
        ),
        (
            "Task handler raised error: %r",
            (OperationalError("100% away"),),
            "What a task returned could not be kept: 100% away. Its run stands in clock_runs.",
            logging.ERROR,
        ),
        (
            "Couldn't ack %r, reason:%r",
            ("tag", BrokenPipeError(32, "Broken pipe")),
            "A message could not be acknowledged: Broken pipe. It is handed on again, which does no harm.",
            logging.WARNING,
        ),
        (
            "%s (%r)",
            ("consumer: Connection to broker lost. Trying to re-establish the connection...", AWAY),
            "consumer: Connection to broker lost. Trying to re-establish the connection... "
            "(Error 111 connecting to 127.0.0.1:6379. Connection refused)",
            logging.ERROR,
        ),
    ],
)
def test_an_outage_is_told_in_one_line(message: str, args: tuple[object, ...], told: str, level: int) -> None:
    record = logged(logging.CRITICAL if level == logging.CRITICAL else logging.ERROR, message, *args)
    assert record.getMessage() == told
    assert (record.levelno, record.levelname, record.exc_info) == (level, logging.getLevelName(level), None)


def test_an_error_of_a_program_keeps_its_words_and_its_traceback() -> None:
    record = logged(logging.CRITICAL, "Unrecoverable error: %r", KeyError("x"))
    assert record.getMessage() == "Unrecoverable error: KeyError('x')"
    assert record.exc_info


@pytest.mark.parametrize(("kind", "scheme"), [("Transport", "redis"), ("SentinelTransport", "sentinel")])
def test_an_address_shows_its_scheme_and_not_our_own_transport(kind: str, scheme: str) -> None:
    shown = f"returnclock.tasks.redis_broker:{kind}://:***@127.0.0.1:6379/0"
    record = logged(logging.ERROR, "consumer: Cannot connect to %s: %s.\n%s", shown, AWAY, "Trying again")
    assert record.getMessage().startswith(f"consumer: Cannot connect to {scheme}://:***@127.0.0.1:6379/0: Error 111")


def test_what_tells_of_no_outage_stays_as_it_is() -> None:
    record = logged(logging.WARNING, "%s and %d", "a%", 3)
    assert record.getMessage() == "a% and 3"


def test_a_trouble_of_a_connection_is_told_once_a_minute() -> None:
    told = Seldom()

    def tells(at: float, reason: str, trying: str = "Trying again in 2.00 seconds... (1/100)") -> bool:
        record = logged(logging.ERROR, "consumer: Cannot connect to %s: %s.\n%s", "redis://a/0", RedisAway(reason), trying)
        record.created = at
        return told(record)

    assert tells(0, "refused")
    assert not tells(1, "refused")
    assert not tells(30, "refused", "Trying again in 4.00 seconds... (2/100)")
    assert tells(31, "not allowed")
    assert tells(AGAIN_S, "refused")
    assert not tells(AGAIN_S + 1, "refused")


def test_what_is_told_of_something_else_is_told_each_time() -> None:
    told = Seldom()
    record = logged(logging.ERROR, "Couldn't ack %r, reason:%r", "tag", AWAY)
    assert told(record) and told(record)


def test_what_was_sent_to_redis_is_no_reason() -> None:
    fault = RedisAway('Command # 1 (SETEX celery-task-meta-a 3600 {"result": ...) of pipeline caused error: OOM (at the limit)')
    assert reason_of(fault) == "OOM (at the limit)"
