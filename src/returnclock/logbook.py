"""How a log line is written: one event a line, for eyes or as JSON, with its run and task, and without anybody's data.

structlog would bring its own pipeline beside that of Celery, kombu and SQLAlchemy, which speak ``logging``: two formatters of
the standard library treat all of them alike. Imports telemetry.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

from returnclock.telemetry import LOG_FORMAT, masked, run_fields

FIELDS = "returnclock_fields"


def log_event(logger: logging.Logger, level: int, event: str, message: str, **fields: object) -> None:
    """Write one event with its name and fields; the fields stand in the JSON form, the message must say it without them."""
    logger.log(level, "%s", message, extra={FIELDS: {"event": event, **fields}})


class ConsoleFormatter(logging.Formatter):
    """A line for eyes: what was said, and in which run."""

    def __init__(self) -> None:
        super().__init__(LOG_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The record, with its traceback where there is one."""
        told = masked(super().format(record))
        run = run_fields()
        if not run:
            return told
        first, newline, rest = told.partition("\n")
        return f"{first} [{run['task']}, run {run['run']}]{newline}{rest}"


class BriefFormatter(ConsoleFormatter):
    """The first line alone, for a reader at a terminal; the traceback is in the file."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's first line."""
        return super().format(record).partition("\n")[0]


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for those who collect logs (``log_format = "json"``)."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: time (in the host's zone), level, logger, message, run, task, fields, and a traceback."""
        told: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
            **run_fields(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            told["traceback"] = masked(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False, default=str)


def to_stderr(log_format: Literal["console", "json"]) -> None:
    """Write this process's log to standard error, where journals and containers look for it."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    logging.getLogger().addHandler(shown)
    logging.getLogger().setLevel(logging.INFO)
