"""Lets a sweep change rows of the market without noting them, where nobody would learn anything from the note.

A thousand rows that a sweep has changed would otherwise be noted, read and found settled, a third of its work again. Imports
nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

_SAID = {
    "postgresql": ("SET LOCAL returnclock.unnoted = 'on'", "SET LOCAL returnclock.unnoted = 'off'"),
    "mysql": ("SET @returnclock_unnoted = 1", "SET @returnclock_unnoted = NULL"),
}
_SAID["mariadb"] = _SAID["mysql"]


@contextmanager
def unnoted(connection: Connection) -> Iterator[None]:
    """The triggers note no update that this transaction makes meanwhile. SQLite's cannot be told, and note it."""
    begin, end = _SAID.get(connection.dialect.name, ("", ""))
    if not begin:
        yield
        return
    connection.execute(text(begin))
    try:
        yield
    except BaseException:
        if connection.dialect.name != "postgresql":  # which forgets it with the transaction
            with suppress(SQLAlchemyError):  # a connection that is lost takes it along
                connection.execute(text(end))
        raise
    connection.execute(text(end))
