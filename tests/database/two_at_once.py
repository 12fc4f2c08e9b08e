"""Two who act at the same moment, and where they meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from returnclock.errors import ReturnclockError
from tests.database.market import Market


@contextmanager
def at_once(*acts: Callable[[], Any]) -> Iterator[tuple[list[Any], list[str]]]:
    """What each of them answered or was refused with, and what the database said against any."""
    together, said, faults = threading.Barrier(len(acts)), [], []

    def run(act: Callable[[], Any]) -> None:
        together.wait()
        try:
            said.append(act())
        except ReturnclockError as fault:
            said.append(fault)
        except DBAPIError as fault:
            faults.append(str(fault.orig))

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    yield said, faults


@contextmanager
def meeting(market: Market, words: str, *, nth: int, within_s: float = 1.0) -> Iterator[None]:
    """Two transactions wait for one another before the nth statement of each with these words.

    One that cannot come, because it waits for a lock of the other, is waited for no longer than ``within_s``.
    """
    both, local = threading.Barrier(2), threading.local()

    def before(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if words in statement:
            local.seen = getattr(local, "seen", 0) + 1
            if local.seen == nth:
                with suppress(threading.BrokenBarrierError):
                    both.wait(within_s)

    event.listen(market.engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(market.engine, "before_cursor_execute", before)
