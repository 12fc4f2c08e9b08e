"""Connections as a front end opens them, with the bare driver of its database and nothing of returnclock's."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

Connection = Any


def connect(url: str, user: str = "", password: str = "") -> Connection:
    """A connection that commits each statement unless it says BEGIN; as another user where one is named."""
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    who = {"host": parts.hostname, "port": parts.port, "user": user or parts.username, "password": password}
    database = parts.path[1:]
    if parts.scheme.startswith("postgresql"):
        import psycopg

        return psycopg.connect(dbname=database, autocommit=True, **who)  # type: ignore[arg-type]
    import pymysql

    return pymysql.connect(database=database, autocommit=True, charset="utf8mb4", **who)  # type: ignore[arg-type]


def execute(connection: Connection, statement: str) -> tuple[int, Sequence[tuple[Any, ...]]]:
    """Run one statement: how many rows it changed or found, and those that it found."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        return (len(rows) if cursor.description else cursor.rowcount), rows
