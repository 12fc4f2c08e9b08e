"""One worker and one beat as a host runs them, ``python -m returnclock worker`` and ``beat``, on servers of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select

from returnclock.database import reading
from returnclock.tables.clock import runs
from tests.servers.process import wait_until
from tests.system.crowded_market import broken_laws, fill, open_market

ROOT = Path(__file__).resolve().parents[2]
STARTING_S = 40.0
STOPPING_S = 10.0


class Deployment:
    """A market in a database of its own. ``environ`` are the settings, beside the address of the database."""

    def __init__(self, folder: Path, database_url: str, **environ: str) -> None:
        self.folder = folder
        self.engine = open_market(database_url)
        self.due = 0
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "DATABASE_URL": database_url,
            "RETURNCLOCK_DATA": str(folder),
            **environ,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Worker and beat, from the first tick on."""
        with ExitStack() as stack:
            stack.callback(self.engine.dispose)
            stack.enter_context(self._process("worker", "--concurrency=2"))
            stack.enter_context(self._process("beat"))
            try:
                wait_until(lambda: self.ticks() > 0, STARTING_S)
            except TimeoutError:
                raise AssertionError(f"No tick was run. {self.logs()}") from None
            yield

    @contextmanager
    def _process(self, *command: str) -> Iterator[None]:
        with (self.folder / f"{command[0]}.said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "returnclock", *command],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            yield
            # Nobody has started it again: it went on by itself.
            assert process.poll() is None, f"{command[0]} ended. {self.logs()}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOPPING_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def command(self, *words: str) -> str:
        """What the command prints; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "returnclock", *words],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ticks(self) -> int:
        """How many runs beat has caused."""
        chosen = select(func.count()).select_from(runs).where(runs.c.trigger == "beat")
        with reading(self.engine) as connection:
            return int(connection.execute(chosen).scalar_one())

    def fall_due(self, number: int) -> None:
        """Let so many deadlines of each kind be due, once in the life of the market."""
        fill(self.engine, due=number)
        self.due = number

    def enforces(self, seconds: float, *, runs_may_fail: bool = False) -> None:
        """Wait until all that is due has fired; then ticks go on, and nothing fires again."""

        def broken() -> list[str]:
            laws = broken_laws(self.engine, self.due)
            return [law for law in laws if not (runs_may_fail and law.startswith("a run failed"))]

        try:
            wait_until(lambda: not broken(), seconds)
        except TimeoutError:
            raise AssertionError(f"{broken()} {self.logs()}") from None
        before = self.ticks()
        wait_until(lambda: self.ticks() >= before + 10, seconds)
        assert broken() == []

    def logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.said"))
