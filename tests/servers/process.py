"""A server in a process of its own: a free port, a folder that vanishes, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
PORT_ATTEMPTS = 5


class ServerFailed(Exception):
    """A server did not start or did not stop; the message carries the end of its log."""


class ServerProcess:
    """One server. A subclass says how it is prepared, started and asked whether it answers.

    The port and the data stay the same over ``stop``, ``kill``, ``start`` and ``restart``, so that a test can take a
    server away and give it back under the same URL.
    """

    name: ClassVar[str]
    # The signal that stops the server at once, without waiting for its clients.
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # PostgreSQL and MariaDB refuse to run as root: the account that runs them when the tests do.
    accounts: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path()
        self.process: subprocess.Popen[bytes] | None = None
        self.account = self._find_account()

    def prepare(self) -> None:
        """Fill the data folder, once."""

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether *this* server serves a client now; another one may have our port. May raise anything until then."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-")).resolve()
        try:
            if self.account:
                shutil.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
            self.prepare()
            self._start_on_a_free_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start on the port that the server has. Raises ServerFailed if it does not answer."""
        if self.running:
            raise ServerFailed(f"{self.name} is running already.")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.as_account(self.command()),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._answers_or_ended, START_SECONDS)
        except TimeoutError:
            self.kill()
        if not self.running:
            raise ServerFailed(f"{self.name} did not start on port {self.port}. Its log ends:\n{self._end_of_log()}")

    def stop(self) -> None:
        """Stop at once and in order: what was committed is kept, clients are cut off. May be called twice."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"{self.name} had to be killed. Its log ends:\n{self._end_of_log()}") from None
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the server and its children, as a power cut would."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def as_account(self, command: Sequence[str | Path]) -> list[str]:
        """The command, run by the server's account, and ended by the kernel if the tests themselves are killed."""
        words = [str(word) for word in command]
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return words  # not Linux: the account cannot matter, since nobody runs the tests as root there
        prefix = [setpriv, "--pdeathsig", self.stop_signal.name.removeprefix("SIG")]
        if self.account:
            prefix += ["--reuid", str(self.account.pw_uid), "--regid", str(self.account.pw_gid), "--clear-groups"]
        return [*prefix, "--", *words]

    def run(self, command: Sequence[str | Path]) -> None:
        """Run one command of preparation to its end. Raises ServerFailed with its output."""
        done = subprocess.run(
            self.as_account(command),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"{self.name} could not be prepared: {Path(command[0]).name} said:\n{done.stdout}")

    def _find_account(self) -> pwd.struct_passwd | None:
        if os.geteuid() != 0 or not self.accounts:
            return None
        for account in (*self.accounts, "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(account)
        raise ServerFailed(f"{self.name} refuses to run as root, and there is no account {' or '.join(self.accounts)}.")

    def _start_on_a_free_port(self) -> None:
        # A port can be taken between our look and the server's: another one is tried.
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self.port = free_port()
            try:
                return self.start()
            except ServerFailed as failure:
                if not attempts_left or "in use" not in str(failure):
                    raise

    def _answers_or_ended(self) -> bool:
        if not self.running:
            return True
        with contextlib.suppress(Exception):  # every client library has its own way to say "not yet"
            return self.answers()
        return False

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(no log)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Return as soon as the condition holds. Raises TimeoutError when it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Not within {seconds:g} seconds.")
        time.sleep(0.02)
