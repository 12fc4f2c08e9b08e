"""Brings the database to the schema that this version needs, and says which one it has. Imports tables and database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from returnclock.database import reading, writing
from returnclock.engines import shown
from returnclock.errors import FolderUnusable, NoDatabaseFile, Refused, SchemaAhead, SchemaBehind, UpgradeUnderWay
from returnclock.sqlstates import number_of
from returnclock.tables.market import MARKET_TABLES

# A table of our own: the shop may use Alembic too, and its alembic_version is none of our business.
VERSION_TABLE = "clock_schema_version"

_EVENTS = ("insert", "update", "delete")
_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    # The information schema hides them from whoever may only read their table, as our own account may.
    "postgresql": "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
    "WHERE relnamespace = CAST(current_schema() AS regnamespace) AND NOT tgisinternal",
    "mysql": "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
}
_TRIGGERS["mariadb"] = _TRIGGERS["mysql"]
_NOT_FOR_THIS_ACCOUNT = 1227
_ADVISORY_LOCK = 7_265_747_563  # any number; the same one in every process that upgrades
_MARIADB_LOCK = "concat('returnclock ', md5(database()))"  # such a lock is the server's, and a server has many databases
_LOCK_WAIT_S = 120
_NO_LONGER_MAPPED = (
    "this database has no tables of a market ({missing}): it was upgraded for one that returnclock.toml mapped. Put its "
    "[market] back, or use another database."
)
# An index on a large table takes as long as it takes; that a lock is waited for only so long still holds.
NO_STATEMENT_LIMIT = {
    "postgresql": "SET LOCAL statement_timeout = 0",
    "mysql": "SET max_statement_time = 0",
    "mariadb": "SET max_statement_time = 0",
}


def _config(connection: Connection | None = None, *, mapped: bool = False) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["market_is_ours"] = not mapped
    return config


def needed() -> str:
    """The revision that this version of returnclock works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def found(engine: Engine) -> str | None:
    """The revision that the database has; None before the first upgrade."""
    with reading(engine) as connection:
        return _found(connection)


def _found(connection: Connection) -> str | None:
    # Not by Alembic's own context, which tells every log that it was made, at each start of a worker.
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def upgrade(engine: Engine, *, mapped: bool = False) -> tuple[str | None, str]:
    """Bring the schema up to date, in one transaction where the database can; two upgrades at once do no harm.

    mapped: the market's tables are the shop's own, and are neither made nor touched.

    Raises:
        SchemaAhead: a newer version has upgraded it.
        UpgradeUnderWay: another upgrade of the same database does not end.
        Refused: it was made for a mapped market and no longer is.

    Returns:
        the revisions before and after.
    """
    with writing(engine) as connection, _alone(connection):
        if connection.dialect.name in NO_STATEMENT_LIMIT:
            connection.execute(text(NO_STATEMENT_LIMIT[connection.dialect.name]))
        before = _found(connection)
        if before is not None and before not in _known():
            raise SchemaAhead(database=shown(engine.url), found=before, needed=needed())
        missing = [] if mapped or before is None else _missing_tables(connection)
        if missing:
            raise Refused(reason=_NO_LONGER_MAPPED.format(missing=", ".join(missing)))
        command.upgrade(_config(connection, mapped=mapped), "head")
    return before, needed()


def _missing_tables(connection: Connection) -> list[str]:
    there = set(inspect(connection).get_table_names())
    return [name for name in MARKET_TABLES if name not in there]


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield  # SQLite's transaction is alone by itself
        return
    # MariaDB commits at every CREATE TABLE: only a lock of the session holds from the first to the last.
    if not connection.execute(text(f"SELECT GET_LOCK({_MARIADB_LOCK}, {_LOCK_WAIT_S})")).scalar_one():
        raise UpgradeUnderWay(seconds=_LOCK_WAIT_S)
    try:
        yield
        # While the lock is held: who waits for it would otherwise find the last revision missing, and apply it once more.
        connection.exec_driver_sql("COMMIT").close()
    finally:
        connection.execute(text(f"SELECT RELEASE_LOCK({_MARIADB_LOCK})"))


def require_upgraded(engine: Engine) -> None:
    """Refuse to work on a database that lacks what this version needs.

    One that a newer version has upgraded is worked with: every migration leaves the version before it able to run.

    Raises:
        SchemaBehind: the database must be upgraded first.
        FolderUnusable: nobody can see whether there is one.
    """
    if _is_missing_file(engine):
        raise NoDatabaseFile(database=shown(engine.url))
    has, wants = found(engine), needed()
    if has != wants and (has is None or has in _known()):
        raise SchemaBehind(database=shown(engine.url), found=has or "none", needed=wants)


def _is_missing_file(engine: Engine) -> bool:
    """Whether it is a database of SQLite that there is not; whoever connects makes an empty one."""
    path = engine.url.database or ""
    if engine.dialect.name != "sqlite" or path.startswith("file:"):
        return False
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as fault:
        raise FolderUnusable(folder=Path(path).parent, reason=fault.strerror) from fault
    return False


def require_current(engine: Engine) -> None:
    """Insist on exactly the schema of this version.

    Raises:
        SchemaBehind: the database must be upgraded first.
        SchemaAhead: a newer version has upgraded it.
    """
    require_upgraded(engine)
    has, wants = found(engine), needed()
    if has != wants:
        raise SchemaAhead(database=shown(engine.url), found=has, needed=wants)


def missing_triggers(engine: Engine) -> list[str]:
    """The market's tables whose changes no trigger notes."""
    with reading(engine) as connection:
        seen = set(connection.execute(text(_TRIGGERS[connection.dialect.name])).scalars())
        wanted = {f"clock_{table}_{event}" for table in MARKET_TABLES for event in _EVENTS}
        missing = wanted - seen - hidden_triggers(connection, wanted - seen)
    return [table for table in MARKET_TABLES if any(f"clock_{table}_{event}" in missing for event in _EVENTS)]


def hidden_triggers(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of the triggers that are there, although MariaDB lists them to nobody without the right to make such triggers.

    Asked for one by its name, it refuses to show it where it is there, and says that there is none where it is not.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return set()
    found = set()
    for name in names:
        try:
            connection.exec_driver_sql(f"SHOW CREATE TRIGGER `{name}`").close()
        except DBAPIError as fault:
            if number_of(fault) == _NOT_FOR_THIS_ACCOUNT:
                found.add(name)
    return found


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
