"""What a broker, a result backend or a database says of its trouble, in one line that is fit for a log."""

from __future__ import annotations

import re

from returnclock import sqlstates
from returnclock.telemetry import masked

_LONGEST = 500
# Of a Sentinel that knows no master, the client shows itself with all that it was made of.
# Of a command among several the client shows all that was sent: ids and times that differ each time, or a whole result.
_SENT = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_INNER = re.compile(r"\s*:?\s*<redis\..*", re.DOTALL)


def reason_of(fault: BaseException | str) -> str:
    """The words of a fault, in one line without names, addresses and passwords; never empty."""
    told = fault
    # Celery says that it has tried often enough, and keeps to itself what was wrong.
    while isinstance(told, RuntimeError) and told.__cause__ is not None:
        told = told.__cause__
    words = _INNER.sub("", masked(_SENT.sub("", _words(told)))).strip().partition("\n")[0].rstrip(". ")
    return words[:_LONGEST] or type(told).__name__


def _words(told: BaseException | str) -> str:
    if isinstance(told, Exception) and getattr(told, "orig", None) is not None:
        return sqlstates.reason_of(told)
    # RabbitMQ's own words, without the numbers of its protocol; and the system's, without the name of a temporary file.
    for name in ("reply_text", "strerror"):
        if of_its_kind := getattr(told, name, None):
            return str(of_its_kind)
    return str(told)
