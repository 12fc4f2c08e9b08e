"""``returnclock up``: a worker and beat as two processes, looked after, with one calm line for everything that happens.

It decides nothing and enforces nothing: without it the same worker and beat run under systemd, compose or Kubernetes.
Called by the command.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from types import FrameType

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from returnclock import schema
from returnclock.database import asked_time
from returnclock.errors import DatabaseUnreachable, Refused
from returnclock.mail import FolderMailer
from returnclock.settings import Settings
from returnclock.up.children import Child
from returnclock.up.feed import Feed
from returnclock.up.greeting import greeting
from returnclock.up.sentences import Line, lines
from returnclock.wiring import Wiring, make_folder, wire

LOOK_EVERY_S = 0.3
BEAT_ENDS_WITHIN_S = 1.5
ALL_END_WITHIN_S = 5.0
# Exit code of settings that do not hold: starting again would not mend them.
_USAGE = 2


def run_up(settings: Settings, *, sample: bool, concurrency: int = 2) -> int:
    """Run until Ctrl-C, SIGTERM or SIGHUP; the schema is brought up to date first.

    sample: fill the database with a sample market first.
    concurrency: how many tasks the worker runs at once.

    Returns:
        0 when it was asked to stop; 2 when a process refused its settings.

    Raises:
        Refused: another ``up`` runs with the same data folder.
        FolderUnusable: the data folder cannot be made.
        DatabaseUnreachable: at the start; later it waits for the database.
    """
    with ExitStack() as stack:
        stack.enter_context(_alone(settings.data_folder))
        wiring = wire(settings)
        mapped = wiring.rulebook.market.mapped
        if sample and mapped:
            raise Refused(reason="--sample writes into our own tables, and returnclock.toml maps the market onto the shop's.")
        schema.upgrade(wiring.engine, mapped=mapped)
        if sample:
            from returnclock.sample import seed

            click.echo(_of_sample(seed(wiring)))
        stack.callback(wiring.engine.dispose)
        return _Watch(wiring, concurrency).run()


def _of_sample(written: Mapping[str, int]) -> str:
    if "orders_already_there" in written:
        return f"The market has {written['orders_already_there']} orders already, so no sample was added."
    return "A sample market was added: " + ", ".join(f"{count} {table}" for table, count in written.items()) + "."


class _Watch:
    """Two processes, the feed of what they do, and the terminal."""

    def __init__(self, wiring: Wiring, concurrency: int) -> None:
        self._wiring = wiring
        self._concurrency = concurrency
        self._here = Path.cwd()
        self._console = Console(highlight=False, soft_wrap=True)
        # Beat is named first because it is stopped first: no tick then comes for a worker that is leaving.
        self._children = [Child("beat", ["beat"]), Child("worker", ["worker", f"--concurrency={concurrency}"])]
        letter_of = wiring.mailer.path_of if isinstance(wiring.mailer, FolderMailer) else None
        self._feed = Feed(wiring.engine, wiring.kinds, letter_of)
        self._database_is_away = False
        self._asked = Flag()
        self._asked_again = Flag()

    def run(self) -> int:
        """Start, watch, stop."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            for child in reversed(self._children):
                child.start()
            settings, engine = self._wiring.settings, self._wiring.engine
            for line in greeting(settings, engine, self._wiring.mailer.name, self._concurrency, self._here):
                self._console.print(Text(line))
            return self._watch()
        finally:
            self._stop()

    def _watch(self) -> int:
        while not self._asked.wait(LOOK_EVERY_S):
            for child in self._children:
                died = child.look_after()
                if died and died[0] == _USAGE:
                    return _USAGE
                if died:
                    ended = f"the {child.name} ended ({_ending(died[0])})"
                    self._say("restarted", f"{ended} and starts again in {died[1]:.0f} s")
            self._tell_news()
        return 0

    def _tell_news(self) -> None:
        try:
            news = self._feed.news()
        except (DatabaseUnreachable, DBAPIError) as fault:
            if not self._database_is_away:
                self._say("waiting", str(fault).partition("\n")[0])
            self._database_is_away = True
            return
        if self._database_is_away:
            self._say("going on", "the database answers again")
        self._database_is_away = False
        for line in lines(news, self._here):
            self._print(line)

    def _stop(self) -> None:
        end = monotonic() + ALL_END_WITHIN_S
        beat, worker = self._children
        beat.ask_to_stop()
        self._wait(beat, monotonic() + BEAT_ENDS_WITHIN_S)
        worker.ask_to_stop()
        for child in self._children:
            self._wait(child, end)
            child.kill()
        # What the worker ended with happened after the last look, and whoever stops us wants to know of it; but not so much as
        # to wait for a database that is away.
        if not self._database_is_away and not self._asked_again.is_set():
            self._tell_news()
        self._console.print(Text("Stopped. Deadlines are kept, and enforced when returnclock runs again."))

    def _wait(self, child: Child, end: float) -> None:
        while monotonic() < end and not self._asked_again.is_set() and not child.wait(0.1):
            pass

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        (self._asked_again if self._asked.is_set() else self._asked).set()

    def _say(self, word: str, text: str) -> None:
        """A line about the processes themselves; with the database's time, or none when it cannot be asked."""
        self._print(Line(at, word, text) if (at := self._now()) else Text(f"          {word:<12}{text}"))

    def _now(self) -> datetime | None:
        try:
            return asked_time(self._wiring.engine, self._wiring.clock)
        except (DatabaseUnreachable, DBAPIError):
            return None

    def _print(self, line: Line | Text) -> None:
        if isinstance(line, Line):
            at = f"{line.at.astimezone():%H:%M:%S}  "
            line = Text.assemble(at, (f"{line.word:<12}", line.style), line.text)
        self._console.print(line)


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextmanager
def _alone(data_folder: Path) -> Iterator[None]:
    """Hold the data folder's lock, which the system frees when the process ends, however it ends."""
    make_folder(data_folder)
    with (data_folder / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            reason = f"returnclock up runs already with the data folder {data_folder} (process {lock.read().strip()}). "
            raise Refused(reason=f"{reason}Stop it first, or set RETURNCLOCK_DATA to another folder.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
