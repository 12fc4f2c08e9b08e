"""Alembic's entry: runs the migrations on the connection that `returnclock.schema` hands over."""

from __future__ import annotations

from alembic import context

from returnclock.schema import VERSION_TABLE
from returnclock.tables import clock as _clock  # noqa: F401  (registers our tables)
from returnclock.tables.market import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
