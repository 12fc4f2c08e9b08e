"""Lets a sweep change rows of the market without noting them, where nobody would learn anything from the note.

A thousand rows that a sweep has changed would otherwise be noted, read and found settled, a third of its work again. Imports
nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

_SAID = {
    "postgresql": ("SET LOCAL returnclock.unnoted = 'on'", None),
    "mysql": ("SET @returnclock_unnoted = 1", "SET @returnclock_unnoted = NULL"),
    "sqlite": (None, None),
}
_SAID["mariadb"] = _SAID["mysql"]


@contextmanager
def unnoted(connection: Connection) -> Iterator[None]:
    """The triggers note no update that this transaction makes meanwhile, and in PostgreSQL none that it makes afterwards.

    There it ends with the transaction. SQLite's triggers cannot be told, and note all.
    """
    begin, end = _SAID[connection.dialect.name]
    if begin:
        connection.exec_driver_sql(begin).close()
    try:
        yield
    except BaseException:
        if end:
            with suppress(SQLAlchemyError):  # a connection that is lost takes it along
                connection.exec_driver_sql(end).close()
        raise
    if end:
        connection.exec_driver_sql(end).close()
