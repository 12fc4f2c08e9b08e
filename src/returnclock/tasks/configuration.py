"""What Celery is told: how it treats a task and which ticks beat sends; how it reaches the broker stands in ``messaging``.

Everything follows from one rule: a message is only a tick. Losing, doubling or delaying one is harmless, and no
deadline is ever an ETA or a countdown. Reads settings; knows no task's body.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from returnclock.settings import Settings, seconds
from returnclock.tasks.messaging import messaging

HARD_LIMIT_S = 300
SOFT_LIMIT_S = 270
# What a killed worker held is handed on after this long; above the hard limit, or a long task would run twice.
VISIBILITY_S = HARD_LIMIT_S + 30
RESULTS_KEPT_S = 3600
# The clocks of beat's machine and a worker's may disagree. A tick that expired after its own interval would then never
# run, and nobody would see why. That ticks do not pile up is the business of TickScheduler.
TICK_EXPIRES_S = 600
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
# Celery's own default, ``celery``, is what any other program on the same broker uses too. A worker of ours would take that
# program's messages, know none of their tasks, and throw them away.
QUEUE = "returnclock"


def celery_name(task: str) -> str:
    """The name that Celery knows a task by: ``returnclock.deliver_mail`` for ``deliver-mail``."""
    return f"returnclock.{task.replace('-', '_')}"


def celery_settings(settings: Settings, tasks: Iterable[str]) -> dict[str, Any]:
    """Every Celery setting that differs from Celery's own default."""
    ticks = {"beat_schedule": beat_schedule(settings, tasks)}
    return _of_messages() | _of_workers() | _of_beat() | messaging(settings, VISIBILITY_S) | ticks


def beat_schedule(settings: Settings, tasks: Iterable[str]) -> dict[str, dict[str, Any]]:
    """One entry for each task, and one that cleans Celery's own results. Sweeps share the tick ``sweep``."""
    schedule = {}
    for task in tasks:
        schedule[task] = _entry(celery_name(task), seconds(settings.ticks.of(task)))
    # After an outage the sweeps need a moment; an audit before them would cry wolf at every start.
    schedule["audit"].pop("last_run_at", None)
    # Celery's own entry cleans once a night, which is too seldom for result files. Redis expires results by itself.
    schedule["clean-results"] = _entry("celery.backend_cleanup", seconds(settings.ticks.purge))
    return schedule


def _entry(name: str, interval: float) -> dict[str, Any]:
    return {
        "task": name,
        "schedule": interval,
        # Due at once: without it the first reconcile would wait five minutes and the first purge ten.
        "last_run_at": LONG_AGO,
        "options": {"expires": max(interval, TICK_EXPIRES_S)},
    }


def _of_messages() -> dict[str, Any]:
    """How a message travels, when it is done, and how long one may take."""
    return {
        "accept_content": ["json"],
        "task_default_queue": QUEUE,  # exchange and routing key are called after it
        # A neighbour on the same broker neither hears of our tasks nor shuts our workers down with its own.
        "control_exchange": QUEUE,
        "event_exchange": f"{QUEUE}ev",
        "timezone": "UTC",
        # A tick is done when its work is committed. A worker that dies before hands it on.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # Both stay off. Rejecting loops for ever on a task that kills its worker, and a retry is an ETA three minutes
        # ahead, while the next tick does the same work within seconds.
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        # The soft limit rolls a batch back; what was committed before stays, and the next tick goes on from there.
        "task_soft_time_limit": SOFT_LIMIT_S,
        "task_time_limit": HARD_LIMIT_S,
        # Celery would write "started" into the results first, and not do the work while they are away. The run's own row
        # says it too, and so does the event for monitors.
        "task_track_started": False,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        "result_expires": RESULTS_KEPT_S,
        "result_extended": True,
    }


def _of_workers() -> dict[str, Any]:
    """How a worker and its connections live and end."""
    return {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 10,
        "broker_heartbeat": 30,
        # A cold shutdown (SIGQUIT) waits this long, then gives the messages back.
        "worker_soft_shutdown_timeout": 10,
        "worker_proc_alive_timeout": 30,
        # RabbitMQ would give the queue of remote control to one process of a name alone: a second worker of the machine ends, a
        # second beat complains for ever, and so does one that connects again before the server has missed it. Durable, because
        # RabbitMQ does away with what is neither; both go ten seconds after their process.
        "control_queue_exclusive": False,
        "control_queue_durable": True,
        # One that no message ends.
        "worker_consumer": "returnclock.tasks.arrivals:Consumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _of_beat() -> dict[str, Any]:
    return {
        # In memory. The usual shelve remembers when a tick was last sent, which a tick has no use for, and a full disk
        # or a power cut corrupts it, which keeps beat from starting.
        "beat_scheduler": "returnclock.tasks.beat:TickScheduler",
        "beat_max_loop_interval": 1,
        "beat_enable_remote_control": True,
    }
