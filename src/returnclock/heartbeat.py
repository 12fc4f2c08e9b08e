"""Tells a dead man's switch that the clock is alive (the protocol of healthchecks.io). Imports telemetry."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request

TIMEOUT_S = 5
_log = logging.getLogger(__name__)


def ping(url: str | None, *, failed: bool = False) -> None:
    """Ask for the URL, or for its ``/fail``. A heartbeat that cannot be reached is logged and changes nothing."""
    if not url:
        return
    try:
        with urllib.request.urlopen(url.rstrip("/") + ("/fail" if failed else ""), timeout=TIMEOUT_S):
            pass
    except (urllib.error.URLError, OSError, ValueError) as fault:
        _log.warning("the heartbeat could not be told: %s", fault)
