"""Reads what a database says by the code of an error: it passes, or it may be the fault of one row. Imports errors."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from returnclock.errors import DatabaseUnreachable

# Serialization, deadlock, lock not available, cancelled or timed out; too many clients; the server ends, crashed, starts, or
# ended the session; idle in transaction. All of class 08, where PgBouncer's own words are too, is a lost connection.
_PASSING_SQLSTATES = {"40001", "40P01", "55P03", "57014", "53300", "57P01", "57P02", "57P03", "57P05", "25P03"}
# Record changed since it was read, server shuts down, lock wait, deadlock, cancelled, connection killed, statement timed
# out, connection gone, connection lost.
_PASSING_MARIADB = {1020, 1053, 1205, 1213, 1317, 1927, 1969, 2006, 2013}

# Of these, the session has ended.
_ENDED = {"57P01", "57P02", "57P03", "57P05", "25P03"}
_ENDED_MARIADB = {1053, 1927, 2006, 2013}

# The server only reads, in the words of a transaction, of the whole server, and of InnoDB. It may be a replica, or the former
# primary after a failover: another connection may be led to a server that writes.
_READS_ONLY_SQLSTATE = "25006"
_READS_ONLY_MARIADB = {1792, 1836}
_OPTION_MARIADB = 1290  # an option forbids it, which is --read-only or any other

# What is said to whoever asks for a connection. libpq hands on its words alone, without their SQLSTATE, and so do poolers.
_NO_CONNECTION_LEFT = (
    "too many clients",
    "connection slots are reserved",
    "too many connections",
    "no more connections allowed",
)
_NO_CONNECTION_LEFT_MARIADB = {1040, 1203, 1226}
_NOT_LET_IN = (
    *("authentication failed", "no password supplied", '" does not exist', "no pg_hba.conf entry", "not permitted to log in"),
    *("permission denied for database", "no such user", "no such database", "does not support SSL", "certificate"),
)
# Access to a database, password, no such database, host, old or unknown way to sign in, socket, expired, locked.
_NOT_LET_IN_MARIADB = {1044, 1045, 1049, 1130, 1251, 1524, 1698, 1862, 4151, 2059}
_NOT_THE_FILE = ("unable to open database file", "file is not a database", "attempt to write a readonly database")
_OF_THE_DISK = ("disk I/O error", "database or disk is full")
_NOT_AN_OPTION = re.compile(r"invalid connection option|invalid URI query|bad value for|invalid \w+ value")

# Data, integrity, triggered action, view's check, and what a trigger raises. All else (rights, missing tables, a full disk) is
# true of every row.
_OF_A_ROW_SQLSTATES = ("22", "23", "27", "44", "P0")
# A check of a table, a value out of range or too long, and what a trigger signals.
_OF_A_ROW_MARIADB = {4025, 1264, 1366, 1406, 1644}


def is_passing(fault: DBAPIError) -> bool:
    """Whether the same batch may succeed when it is simply tried again: a lost connection, a lock, a serialization failure."""
    if fault.connection_invalidated or only_reads(fault.orig):
        return True
    state = _sqlstate(fault)
    if state in _PASSING_SQLSTATES or state.startswith("08"):
        return True
    if number_of(fault) in _PASSING_MARIADB:
        return True
    return "database is locked" in str(fault.orig) or "database table is locked" in str(fault.orig)


def is_lost(fault: DBAPIError) -> bool:
    """Whether the connection ended, so that nobody was told what became of the statement that was under way."""
    state = _sqlstate(fault)
    return fault.connection_invalidated or state in _ENDED or state.startswith("08") or number_of(fault) in _ENDED_MARIADB


def only_reads(told: BaseException | None) -> bool:
    """Whether the driver's error says that nothing can be written there: a replica, a failover, or a server set so."""
    if getattr(told, "sqlstate", None) == _READS_ONLY_SQLSTATE:
        return True
    number = _first(told)
    return number in _READS_ONLY_MARIADB or (number == _OPTION_MARIADB and "read-only" in str(told))


def is_no_connection_left(fault: DBAPIError) -> bool:
    """Whether the server has given all its connections, or all of the account, to others."""
    return number_of(fault) in _NO_CONNECTION_LEFT_MARIADB or _says(fault, _NO_CONNECTION_LEFT)


def is_not_let_in(fault: DBAPIError) -> bool:
    """Whether the account, the database or the way to it is wrong, so that waiting helps nothing."""
    return number_of(fault) in _NOT_LET_IN_MARIADB or _says(fault, _NOT_LET_IN)


def is_not_the_file(fault: DBAPIError) -> bool:
    """Whether SQLite's file is not one that can be used."""
    return isinstance(fault.orig, sqlite3.Error) and _says(fault, _NOT_THE_FILE)


def is_of_the_disk(fault: DBAPIError) -> bool:
    """Whether SQLite could not write: most often the disk is full, which it calls an error of the disk."""
    return isinstance(fault.orig, sqlite3.Error) and _says(fault, _OF_THE_DISK)


def is_of_the_address(fault: DBAPIError) -> bool:
    """Whether an option that the address names, or its value, is none that the driver knows."""
    return _NOT_AN_OPTION.search(str(fault.orig)) is not None


def _says(fault: DBAPIError, words: Sequence[str]) -> bool:
    said = str(fault.orig)
    return any(word in said for word in words)


def is_of_a_row(fault: DBAPIError) -> bool:
    """Whether one row of a batch may have caused it, so that the others go through without that one."""
    if is_passing(fault):
        return False
    of_its_class = isinstance(fault, IntegrityError | DataError)  # all that SQLite tells, where a trigger raises as well
    return of_its_class or _sqlstate(fault).startswith(_OF_A_ROW_SQLSTATES) or number_of(fault) in _OF_A_ROW_MARIADB


def is_of_no_row(fault: Exception) -> bool:
    """Whether it passes, or is the database's as a whole, so that no row of a batch can have caused it."""
    return isinstance(fault, DatabaseUnreachable) or (isinstance(fault, DBAPIError) and is_passing(fault))


def named_reason(fault: BaseException) -> str:
    """What is kept of a failed run: the error's name and what it says; of the database's, without statement and hints."""
    if isinstance(fault, SQLAlchemyError):
        return f"{type(getattr(fault, 'orig', None) or fault).__name__}: {reason_of(fault)}"
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__


def reason_of(fault: BaseException) -> str:
    """The first line of what the database said, or of the fault where it was not the database's; never empty."""
    told: Any = getattr(fault, "orig", None) or fault
    of_mariadb = len(told.args) == 2 and isinstance(told.args[0], int)  # (number, words), which nobody wants to read as a tuple
    words = str(told.args[1] if of_mariadb else told).partition("(Background on this error")[0]  # SQLAlchemy's own page
    lines = words.strip().splitlines()
    return lines[0] if lines else type(told).__name__


def number_of(fault: DBAPIError) -> Any:
    """MariaDB's number of an error; of another database the first that its driver tells."""
    return _first(fault.orig)


def _sqlstate(fault: DBAPIError) -> str:
    return getattr(fault.orig, "sqlstate", None) or ""


def _first(told: BaseException | None) -> Any:
    return told.args[0] if told is not None and told.args else None
