"""The processes that ``up`` runs: started, restarted when they die, stopped in order, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A process that lived this long was well; its next death is a new trouble and no continuation of the last.
WELL_AFTER_S = 30.0
_PR_SET_PDEATHSIG = 1


class Child:
    """One process of ours, leader of its own session, so that Ctrl-C in the terminal reaches ``up`` alone."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "returnclock", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._pause = FIRST_PAUSE_S

    def start(self) -> None:
        """Start the process. Its stderr is ours; what Celery prints on its stdout is for nobody."""
        self._restart_at = None
        self._started_at = monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_the_parent(),  # noqa: PLW1509  # ``up`` has no other thread
        )

    def look_after(self) -> tuple[int, float] | None:
        """Restart the process when it died and its pause is over.

        Returns:
            its exit code and the pause in seconds, once for each death; None while all is well.
        """
        if self._restart_at is not None:
            if monotonic() >= self._restart_at:
                self.start()
            return None
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self.kill()  # the processes of a worker's pool outlive it when it was killed
        if monotonic() - self._started_at > WELL_AFTER_S:
            self._pause = FIRST_PAUSE_S
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_S)
        self._restart_at = monotonic() + pause
        return code, pause

    def ask_to_stop(self) -> None:
        """SIGTERM: beat ends at once, a worker after the task in hand."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end. Returns whether it came in time."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(timeout_s, 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the process and all that it started, now."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _end_with_the_parent() -> Callable[[], None] | None:
    """What a child does before it becomes the program: ask Linux for SIGTERM when its parent dies, however it dies.

    Elsewhere a killed ``up`` leaves its worker and beat running, which does no harm to any deadline.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: a forked child should load nothing
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the question
            os._exit(1)

    return ask
