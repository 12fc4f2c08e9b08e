"""Sends the ticks: at their intervals, from memory, and only while somebody takes them.

Celery's scheduler would fill the broker through a night without workers, since a message that expires stays where it is
until a worker looks at it. Comes in by the name that ``configuration`` hands to Celery.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from celery import signals
from celery.beat import Scheduler

from returnclock.tasks.wording import reason_of

logger = logging.getLogger(__name__)

# About twenty seconds of ticks: enough for each worker to have one at hand, few enough to catch up with in a moment.
MAX_WAITING = 100
# Ticks that come this seldom may join when the quick ones have filled the queue, or a busy minute would cost an hour.
SELDOM_S = 30

_AWAY = "The broker takes no ticks; they go on when it does."
_CROWDED = "Ticks are waiting and no worker takes them; no more are sent until one does."


class TickScheduler(Scheduler):  # type: ignore[misc]  # Celery ships no types.
    """Celery's in-memory scheduler, which keeps back a tick when many wait, and tells once that the broker is away."""

    _channel: Any = None
    _trouble = ""
    _told_to_stop = False

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; the seconds until more is. Ends beat where it was told to stop and something kept it from it."""
        if self._told_to_stop:
            raise SystemExit
        return float(super().tick(*args, **kwargs))

    def stop(self) -> None:
        """Let the next tick be none."""
        self._told_to_stop = True

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one tick. A tick that cannot be sent is not sent later either: the next one does its work."""
        try:
            waiting = self._waiting()
            if waiting < self._room_for(entry):
                self.apply_async(entry, producer=producer, advance=False)
        except Exception as fault:  # whatever a broker raises, beat goes on
            if self._told_to_stop:
                raise SystemExit from fault
            self._tell(_AWAY, f" It says: {reason_of(fault)}.")
            # What was lost with a connection is not all noticed by what is built on it: the next tick begins anew.
            with suppress(Exception):
                self.close()
        else:
            if waiting >= MAX_WAITING:
                self._tell(_CROWDED)
            elif waiting < MAX_WAITING // 2 or self._trouble == _AWAY:
                self._tell("")

    @staticmethod
    def _room_for(entry: Any) -> int:
        return MAX_WAITING * 2 if entry.schedule.seconds >= SELDOM_S else MAX_WAITING

    def _ensure_connected(self) -> Any:
        # Celery would wait here for the broker, up to half a minute too long. `_waiting` connects, and fails at once.
        return self.connection

    def _waiting(self) -> int:
        """How many messages wait in the queue of the ticks, by the broker's own count."""
        queue = self.app.amqp.queues[self.app.conf.task_default_queue]
        if self._channel is None or self._channel.connection is None:  # lost with its connection
            # Its own channel: AMQP closes one on which a question goes wrong.
            self._channel = self.connection.channel()
            queue(self._channel).declare()
        # Declared as it is, which changes nothing and is answered with the count. A passive declaration would ask Redis for
        # the queue's key without the prefix of the settings, and never find it.
        declared = self._channel.queue_declare(
            queue=queue.name,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=queue.queue_arguments,
        )
        return int(declared.message_count)

    def _tell(self, trouble: str, detail: str = "") -> None:
        if trouble != self._trouble:
            logger.warning("%s%s", trouble or "Ticks are sent again.", detail)
            self._trouble = trouble

    def close(self) -> None:
        """Let the connection go, and the channel with it; the next tick makes another."""
        self._channel = None
        super().close()


@signals.beat_init.connect
def _heed_signals(sender: Any, **_: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if callable(before) and isinstance(sender.scheduler, TickScheduler):
            signal.signal(number, partial(_stop, sender.scheduler, before))


def _stop(
    scheduler: TickScheduler, before: Callable[[int, FrameType | None], NoReturn], number: int, frame: FrameType | None
) -> None:
    # Celery's handler raises SystemExit wherever beat is at that moment. In the middle of an answer of Redis the client's own
    # tidying up raises another error in its place, which looks like a broker that is away, and beat would go on.
    scheduler.stop()
    before(number, frame)
