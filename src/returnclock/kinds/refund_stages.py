"""The three stages of a refund, each with its own time; the operators read of those that overran in a digest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_

from returnclock.kinds.base import DeadlineKind, Notice, Party
from returnclock.kinds.wording import Words
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.expressions import utc
from returnclock.tables.market import refunds


def _overrun(title: str) -> Notice:
    """One line of the digest: its body is one sentence."""
    return Notice(
        moment="outcome",
        to=Party.PLATFORM,
        subject=f"Over its time: {{{{ case }}}} for {{{{ order }}}}, {title}",
        body=f"""
        {{{{ case_first }}}} for {{{{ order }}}}{{% if money %}}, {{{{ money }}}}{{% endif %}}: {title} should have been
        done by {{{{ deadline }}}}{{% if seller_name %}} (seller: {{{{ seller_name }}}}){{% endif %}}.
        """,
        digest=True,
    )


def _words(awaited: str) -> Words:
    # Ended, and not done: a front end may also skip a stage, or take a refund back to an earlier one.
    begun = awaited.capitalize()
    return Words(
        runs=f"The end of {awaited} is awaited",
        came=f"{begun} ended",
        missed=f"{begun} had not ended",
        over=f"{begun} is no longer awaited",
    )


def _stage(
    name: str,
    title: str,
    awaited: str,
    status: str,
    begun: ColumnElement[Any],
    ended: ColumnElement[Any],
    period: str,
    party: Party,
) -> DeadlineKind:
    return DeadlineKind(
        name=name,
        title=title,
        awaited=awaited,
        words=_words(awaited),
        subject=refunds,
        order_id=refunds.c.order_id,
        party=party,
        task="flag-late-refunds",
        runs_while=and_(refunds.c.status == status, ended.is_(None), refunds.c.completed_at.is_(None)),
        starts_at=utc(begun),
        anchors=(begun,),
        default=Policy(period=Period.parse(period), ends="end_of_day"),
        event="refund:stage_late",
        effect={"late_stage": status},
        firing_stops=False,
        met_when=refunds.c.status != "cancelled",
        withdrawn_when=refunds.c.status == "cancelled",
        withdrawal=("late_stage",),
        withdrawn_event="refund:stage_late_withdrawn",
        notices=(_overrun(title),),
    )


REFUND_INSPECTION = _stage(
    "refund_inspection",
    "inspecting the returned goods",
    "the inspection of the returned goods",
    "inspecting",
    refunds.c.started_at,
    refunds.c.inspected_at,
    "3 business days",
    Party.SELLER,
)
REFUND_PROCESSING = _stage(
    "refund_processing",
    "processing the refund",
    "the processing of the refund",
    "processing",
    refunds.c.inspected_at,
    refunds.c.processed_at,
    "7 business days",
    Party.SELLER,
)
REFUND_CLEARING = _stage(
    "refund_clearing",
    "clearing the payment",
    "the clearing of the payment",
    "clearing",
    refunds.c.processed_at,
    refunds.c.completed_at,
    "3 business days",
    Party.PLATFORM,
)
