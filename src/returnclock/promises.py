"""Promises: which dates people were told, or may have been; no corrected date goes before one of them. Imports facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from returnclock.calendars import zone
from returnclock.facts import Counted
from returnclock.policy import reckon_from_promise
from returnclock.tables.clock import OUTBOX_BY_DEADLINE, events, is_unsent, outbox
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event


def told_of(connection: Connection, deadline_ids: Sequence[int]) -> set[int]:
    """Those of the deadlines of which a notice was sent, is just being sent, or may have been sent by a worker that died."""
    if not deadline_ids:
        return set()
    of_them = among(outbox.c.deadline_id, deadline_ids)
    sent = select(outbox.c.deadline_id).where(of_them, outbox.c.state.in_(("sending", "sent")))
    # From the ledger: in the outbox such a notice is queued again, or suppressed since.
    of_them = among(events.c.deadline_id, deadline_ids)
    unsure = select(events.c.deadline_id).where(of_them, events.c.event == Event.NOTICE_AMBIGUOUS)
    return {*connection.execute(sent).scalars(), *connection.execute(unsure).scalars()}


def told_or_in_hand(connection: Connection, deadline_ids: Sequence[int]) -> set[int]:
    """The same, and those of which a notice is in a worker's hand; what is in no hand stays so until the transaction ends.

    A letter that was found true a moment ago goes out with the date of that moment.
    """
    if not deadline_ids:
        return set()
    waiting = select(outbox.c.deadline_id, outbox.c.leased_by).where(among(outbox.c.deadline_id, deadline_ids), is_unsent)
    locking = by_index(waiting, outbox, OUTBOX_BY_DEADLINE).order_by(outbox.c.id).with_for_update()
    in_hand = {row.deadline_id for row in connection.execute(locking).all() if row.leased_by is not None}
    return in_hand | told_of(connection, deadline_ids)


def told_outcomes(connection: Connection, rounds: Mapping[int, int]) -> dict[int, set[str]]:
    """Who was told of the outcome of each deadline in this round of it, or may have been, or is just being told.

    rounds: of each deadline's id. What is in no hand stays so until the transaction ends.

    Returns:
        the parties, by the deadline's id.
    """
    chosen = select(outbox.c.id, outbox.c.deadline_id, outbox.c.key, outbox.c.party, outbox.c.state, outbox.c.leased_by)
    chosen = by_index(chosen.where(among(outbox.c.deadline_id, sorted(rounds))), outbox, OUTBOX_BY_DEADLINE)
    rows = connection.execute(chosen.order_by(outbox.c.id).with_for_update()).all() if rounds else ()
    unsure = select(events.c.detail).where(
        among(events.c.deadline_id, sorted(rounds)), events.c.event == Event.NOTICE_AMBIGUOUS
    )
    ambiguous = {detail["outbox_id"] for detail in connection.execute(unsure).scalars()} if rows else set()
    told: dict[int, set[str]] = {one: set() for one in rounds}
    for row in rows:
        _, in_round, moment, *_ = row.key.split(".")
        if moment == "outcome" and int(in_round) == rounds[row.deadline_id]:
            in_hand = row.state == "queued" and row.leased_by is not None
            if in_hand or row.state in ("sending", "sent") or row.id in ambiguous:
                told[row.deadline_id].add(row.party)
    return told


def not_before_told(counted: Counted, kept: Sequence[Row[Any]], told: Collection[int]) -> Counted:
    """A corrected date never takes away days that a sent notice (of a deadline among ``told``) has promised.

    Its grace and its reminders are then counted from the date that stays: those of the date that does not hold are no one's.
    """
    later = (one for one in kept if one.id in told and one.promised_at > counted.reckoning.promised_at)
    latest = max(later, key=lambda one: one.promised_at, default=None)
    if latest is None:
        return counted
    step = f"A notice has already promised {latest.promised_at:%Y-%m-%d %H:%M} UTC, so it does not end before that."
    last_day = date.fromisoformat(latest.schedule["last_day"])
    of_it = (counted.policy, counted.days, zone(counted.zone))
    reckoning = reckon_from_promise(counted.counted_from, latest.promised_at, last_day, *of_it)
    steps = (*counted.reckoning.steps, step, *reckoning.steps)
    return replace(counted, reckoning=replace(reckoning, steps=steps))
