"""Carriers: further connections to the mail server, each with a thread of its own, for a round with many letters.

The first connection alone shows whether the server is down. One that cannot be opened, or that is lost, is done without: a
server may allow fewer than we would like, and says so only when it is asked. Imports mail and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from threading import Event
from types import TracebackType
from typing import Self

from returnclock.errors import MailServerDown
from returnclock.mail import Channel, Mailer

# Opening one takes about as many turns to the server and back as so many letters.
WORTH_A_CONNECTION = 5
# How long a letter that is out is waited for when the round is ended from outside, in seconds.
PATIENCE_S = 5.0

# Does one piece of work; False when there is none.
Work = Callable[[Channel], bool]


class Carriers:
    """Opens connections where there are letters for them, as many as the mailer allows beside the first.

    Its end lets them be closed and waits for none: one may be slow to greet, and nothing of the round depends on it.
    """

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._carriers: list[_Carrier] = []
        self._recalled = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for carrier in self._carriers:
            carrier.dismiss()

    @property
    def ready(self) -> int:
        """How many connections are open."""
        return sum(carrier.is_ready for carrier in self._carriers)

    def call(self, letters: int) -> None:
        """Begin to open as many connections as so many waiting letters are worth; nobody waits for them."""
        wanted = min(self._mailer.connections - 1, letters // WORTH_A_CONNECTION)
        while len(self._carriers) < wanted:
            self._carriers.append(_Carrier(self._mailer))

    @contextmanager
    def helping(self, work: Work, most: int) -> Iterator[None]:
        """At most so many work beside the caller, until there is nothing left to do.

        Where an exception stops the caller or one of them, they begin nothing more. What they are at is waited for: as long as
        the server may take to answer where the caller's connection was lost, and briefly where the round is ended from outside.
        """
        ready = [carrier for carrier in self._carriers if carrier.is_ready]
        helping = [carrier.start(work, self._recalled) for carrier in ready[:most]]
        try:
            yield
            for one in helping:
                one.result()
        except BaseException as fault:
            self._recalled.set()
            # A letter whose answer nobody waits for goes out twice. The connections' own timeouts bound the wait.
            wait(helping, None if isinstance(fault, MailServerDown) else PATIENCE_S)
            raise


class _Carrier:
    """One connection, touched by its own thread alone."""

    def __init__(self, mailer: Mailer) -> None:
        self._thread = ThreadPoolExecutor(1, "carrier")
        self._line = ExitStack()
        self._lost = False
        self._opening: Future[Channel] = self._thread.submit(lambda: self._line.enter_context(mailer.open()))

    @property
    def is_ready(self) -> bool:
        return self._opening.done() and self._opening.exception() is None and not self._lost

    def start(self, work: Work, recalled: Event) -> Future[None]:
        return self._thread.submit(self._work, self._opening.result(), work, recalled)

    def _work(self, channel: Channel, work: Work, recalled: Event) -> None:
        try:
            while not recalled.is_set() and work(channel):
                pass
        except MailServerDown:
            self._lost = True

    def dismiss(self) -> None:
        self._thread.submit(self._line.close)
        self._thread.shutdown(wait=False)
