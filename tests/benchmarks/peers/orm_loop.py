"""What shops write first: a periodic task that loads what is due with SQLAlchemy's ORM and changes the objects in a loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, cast, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Session

from returnclock.tables import clock, market
from returnclock.tables.types import BigId
from tests.benchmarks.contest import Contender
from tests.benchmarks.sweeping import warmed
from tests.benchmarks.workload import Workload


class Base(DeclarativeBase):
    """The shop's models, on the same tables."""


class Dispute(Base):
    __table__ = market.disputes


class Deadline(Base):
    __table__ = clock.deadlines


class Event(Base):
    __table__ = clock.events


class Notice(Base):
    __table__ = clock.outbox


def commit_each(workload: Workload, rows: int) -> Contender:
    """A commit for each row: one that fails does not take back those before it."""
    return _contender(workload, rows, "ORM loop, a commit a row", _commit_each)


def commit_once(workload: Workload, rows: int) -> Contender:
    """One commit at the end, so that SQLAlchemy writes in bulk; one row that fails takes back all."""
    return _contender(workload, rows, "ORM loop, one commit", _commit_once)


def _contender(workload: Workload, rows: int, name: str, work: Callable[[Engine], None]) -> Contender:
    settings = {"version": sqlalchemy.__version__, "processes": 1, "driver": "psycopg", "engine": "as create_engine makes it"}
    engine = create_engine(workload.url)
    return warmed(workload, name, rows, lambda: work(engine), settings)


def _commit_each(engine: Engine) -> None:
    # Loaded objects keep their values over a commit: reading each again would cost a round trip a row.
    with Session(engine, expire_on_commit=False) as session:
        now = session.scalars(select(func.now())).one()
        for deadline, dispute in session.execute(_due(now)).all():
            _fire(session, deadline, dispute, now)
            session.commit()


def _commit_once(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        now = session.scalars(select(func.now())).one()
        for deadline, dispute in session.execute(_due(now)).all():
            _fire(session, deadline, dispute, now)


def _due(now: datetime) -> Any:
    return (
        select(Deadline, Dispute)
        .join(Dispute, Dispute.id == cast(Deadline.subject_id, BigId))
        .where(
            Deadline.kind == "seller_response",
            Deadline.state == "running",
            Deadline.due_at <= now,
            Dispute.status == "awaiting_seller",
        )
        .with_for_update(skip_locked=True)
    )


def _fire(session: Session, deadline: Any, dispute: Any, now: datetime) -> None:
    dispute.status, dispute.escalated_at, dispute.escalated_by = "escalated", now, "clock"
    deadline.state, deadline.fired_at, deadline.settled_at, deadline.remind_at = "fired", now, now, None
    of = {"deadline_id": deadline.id, "kind": deadline.kind}
    session.add(Event(**of, subject_id=deadline.subject_id, event="dispute:escalated", at=now, actor="clock"))
    for party in ("seller", "buyer"):
        key = f"{deadline.id}.{deadline.round}.outcome.0.{party}"
        session.add(Notice(**of, key=key, notice="outcome", party=party, queued_at=now, next_attempt_at=now))
