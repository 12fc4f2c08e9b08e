"""Where worker and beat write what they have to say: all of it to a file, warnings and errors to stderr as well.

Idle ticks are not told: at four a second they would hide everything else, and each leaves its row in ``clock_runs``.
Comes in by ``run_worker`` and ``run_beat``; ``celery -A returnclock.tasks worker`` keeps Celery's own logging.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler, WatchedFileHandler
from pathlib import Path

from celery import signals

from returnclock.logbook import BriefFormatter, ConsoleFormatter, JsonFormatter
from returnclock.settings import Settings
from returnclock.tasks.plain_words import speak_plainly

FILE_BYTES = 5_000_000
OLD_FILES = 3
_QUIETED = {
    # Every message that is received and every task that succeeds. Failures come as errors from the same two.
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    # At each stop: a message that was at hand goes back to its queue.
    "kombu.transport.virtual.base": logging.ERROR,
}


class _MayBeFull(logging.Handler):
    """A handler that is silent when the disk is full: what matters is on stderr too, without a traceback for each line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell of any other error, as ``logging`` does."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Rotated(_MayBeFull, RotatingFileHandler):
    pass


class _Followed(_MayBeFull, WatchedFileHandler):
    pass


def to_file_and_stderr(settings: Settings, program: str) -> None:
    """Take over the logging of this process, which is the worker or beat, from Celery."""
    as_json = settings.log_format == "json"
    formatter = JsonFormatter() if as_json else ConsoleFormatter()
    path = settings.data_folder / "log" / f"{program}.log"
    kept = _file(path)
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(BriefFormatter() if kept and not as_json else formatter)
    if kept:
        kept.setFormatter(formatter)
        shown.setLevel(logging.WARNING)
        # What libraries think of the account or of old settings is for the file.
        shown.addFilter(lambda record: record.name != "py.warnings")
        logging.getLogger().addHandler(kept)
    logging.getLogger().addHandler(shown)
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)
    for name, level in _QUIETED.items():
        logging.getLogger(name).setLevel(level)
    speak_plainly()

    def leave_as_it_is(**_: object) -> None:
        """Celery sets up no logging of its own where somebody listens to this signal."""

    def leave_rotation_to_the_parent(**_: object) -> None:
        # Two processes that rotate one file lose lines; a child follows the file to its new name instead.
        if kept:
            own = _Followed(path, encoding="utf-8")
            own.setFormatter(formatter)
            logging.getLogger().removeHandler(kept)
            logging.getLogger().addHandler(own)

    signals.setup_logging.connect(leave_as_it_is, weak=False)
    signals.worker_process_init.connect(leave_rotation_to_the_parent, weak=False)


def _file(path: Path) -> logging.Handler | None:
    """The log file, or None where nothing can be written, as in a container with a read-only file system."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Rotated(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
    except OSError:
        return None
