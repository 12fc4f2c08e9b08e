"""Names of every ledger event, in one place, with one grammar: ``subject:action``.

A name that is written here is a promise to everybody who follows ``clock_events``: it is added, never renamed.
Imports nothing of ours.
"""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What happened to a deadline, its subject or its notices; the column ``clock_events.event``.

    A kind of a shop's own may name other events; these are the ones that returnclock itself writes.
    """

    STAMPED = "deadline:stamped"
    REOPENED = "deadline:reopened"
    RESTAMPED = "deadline:restamped"
    MET = "deadline:met"
    VOIDED = "deadline:voided"
    HELD = "deadline:held"
    RESUMED = "deadline:resumed"
    EXTENDED = "deadline:extended"
    POSTPONED = "deadline:postponed"
    SPARED = "deadline:spared"
    UNDONE = "deadline:undone"
    REMINDER_QUEUED = "reminder:queued"
    REMINDER_SKIPPED = "reminder:skipped"
    NOTICE_SENT = "notice:sent"
    NOTICE_DEFERRED = "notice:deferred"
    NOTICE_DEAD = "notice:dead"
    NOTICE_SUPPRESSED = "notice:suppressed"
    NOTICE_AMBIGUOUS = "notice:ambiguous"
    NOTICE_REQUEUED = "notice:requeued"
    HOLD_ORDERED = "hold:ordered"
    HOLD_ENDED = "hold:ended"
    PAUSED = "pause:begun"
    UNPAUSED = "pause:ended"
    VACATION_ANNOUNCED = "vacation:announced"
    VACATION_REMOVED = "vacation:removed"


LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
