"""What ``returnclock up`` says first: what is running, where everything is, and how to see it work."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from returnclock import __version__
from returnclock.database import reading
from returnclock.settings import Settings, redacted
from returnclock.tables.market import disputes, orders
from returnclock.up.sentences import seen_from

_LONG_AGO = {
    "sqlite": "datetime('now', '-6 days')",
    "postgresql": "now() - interval '6 days'",
    "mysql": "utc_timestamp() - interval 6 day",
    "mariadb": "utc_timestamp() - interval 6 day",
}


def greeting(settings: Settings, engine: Engine, mailer_name: str, concurrency: int, here: Path) -> list[str]:
    """The lines of the header; passwords are left out."""
    address = redacted(settings.database_url)
    path = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    kept = settings.mail.smtp_url is None
    broker = f"a folder, {_folder(settings, here)}" if settings.broker_is_local else redacted(settings.broker_url)
    mail = f"kept in {seen_from(here, Path(mailer_name))}" if kept else f"sent through {mailer_name}"
    return [
        f"returnclock {__version__} is running: a worker with {concurrency} processes, and beat. Ctrl-C stops both.",
        f"  database  {seen_from(here, path) if path else address}",
        f"  broker    {broker}",
        f"  mail      {mail}",
        f"  log       {seen_from(here, settings.data_folder / 'log')}",
        "",
        *([] if settings.market.tables else _to_try(engine, here, path)),
    ]


def _to_try(engine: Engine, here: Path, path: Path | None) -> list[str]:
    """How to see it work, in our own tables; what a shop's own want is for the shop to say."""
    with reading(engine) as connection:
        try_it, dispute = _example(connection)
    command = f'sqlite3 {seen_from(here, path)} "{try_it}"' if path else try_it
    return [
        "A dispute that nobody answered for six days, to see it escalated:",
        f"  {command}",
        f"and then, for its whole story: {_this_command(here)} explain disputes {dispute}",
        "",
    ]


def _this_command(here: Path) -> Path | str:
    """How to call returnclock from here: by its name where the shell finds it, else by the path that was used."""
    used = Path(sys.argv[0])
    return "returnclock" if shutil.which("returnclock") or not used.is_file() else seen_from(here, used.absolute())


def _folder(settings: Settings, here: Path) -> Path:
    return seen_from(here, settings.data_folder / "broker")


def _example(connection: Connection) -> tuple[str, int]:
    """SQL that opens a dispute which is due already, and the dispute's id; with an order where there is none yet."""
    order = connection.execute(select(func.min(orders.c.id))).scalar()
    dispute = int(connection.execute(select(func.coalesce(func.max(disputes.c.id), 80))).scalar_one()) + 1
    first = "" if order else _FIRST_ORDER
    opened_at = _LONG_AGO[connection.dialect.name]
    values = f"{dispute}, {order or 1}, {opened_at}"
    return f"{first}INSERT INTO disputes (id, order_id, opened_at) VALUES ({values});", dispute


_FIRST_ORDER = (
    "INSERT INTO sellers (id, name, email) VALUES (1, 'Ana', 'ana@example.com'); "
    "INSERT INTO buyers (id, name, email) VALUES (1, 'Bo', 'bo@example.com'); "
    "INSERT INTO orders (id, buyer_id, seller_id) VALUES (1, 1, 1); "
)
