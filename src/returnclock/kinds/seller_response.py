"""A dispute in which the seller stays silent is escalated to the platform."""

from __future__ import annotations

from sqlalchemy import func, or_

from returnclock.kinds.base import DeadlineKind, Notice, Party, Value
from returnclock.kinds.wording import Words
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.clock import deadlines
from returnclock.tables.expressions import latest, utc
from returnclock.tables.market import disputes

_REMINDER = Notice(
    moment="reminder",
    to=Party.SELLER,
    subject="Your answer about {{ order }} is due in {{ time_left }}",
    body="""
    This is about {{ order }}: your buyer{% if buyer_name %}, {{ buyer_name }},{% endif %} {{ wish }}. Your answer
    is still missing.

    {% if reason %}
    The reason given: "{{ reason }}"
    {% endif %}

    Please answer by {{ deadline }}. That is in {{ time_left }}.

    Any message from you to the buyer counts as an answer. If there is none by then, the dispute goes to our team, and
    we look for a solution together with both of you.
    """,
)

_ESCALATED_TO_SELLER = Notice(
    moment="outcome",
    to=Party.SELLER,
    subject="The dispute about {{ order }} is now with our team",
    body="""
    This is about {{ order }}: your buyer{% if buyer_name %}, {{ buyer_name }},{% endif %} {{ wish }}.

    Your answer was due by {{ deadline }}. We have not seen one, so the dispute has been escalated: our team takes
    care of it now.

    You can still tell us how you see the case. Please add it to the dispute, with anything that helps us to decide
    fairly.
    """,
)

_ESCALATED_TO_BUYER = Notice(
    moment="outcome",
    to=Party.BUYER,
    subject="Your dispute about {{ order }} is now with our team",
    body="""
    The seller{% if seller_name %}, {{ seller_name }},{% endif %} was asked to answer you about {{ order }} by
    {{ deadline }}. There was no answer in that time, so your dispute has been escalated: our team takes care of it now.

    {% if dispute_kind == "return_goods" %}
    You asked to return the goods and get your money back. Please keep them as they are, and do not send them back
    before you hear from us.
    {% elif dispute_kind == "refund_only" %}
    You asked for a refund without sending anything back. You do not have to send anything while we look into it.
    {% elif dispute_kind == "exchange_goods" %}
    You asked to exchange the goods. Please keep them as they are, and do not send them back before you hear from us.
    {% endif %}

    There is nothing else you have to do. We will write to you when there is news.
    """,
)

SELLER_RESPONSE = DeadlineKind(
    name="seller_response",
    title="the seller's answer",
    words=Words(
        runs="The seller's answer is awaited",
        came="The seller answered",
        missed="The seller had not answered",
        over="The seller's answer is no longer awaited",
    ),
    subject=disputes,
    order_id=disputes.c.order_id,
    party=Party.SELLER,
    task="escalate-disputes",
    runs_while=disputes.c.status == "awaiting_seller",
    # A message breaks the silence, so the later of the turn's beginning and the seller's latest message counts.
    starts_at=latest(
        func.coalesce(utc(disputes.c.awaiting_seller_since), utc(disputes.c.opened_at)),
        utc(disputes.c.seller_replied_at),
    ),
    anchors=(disputes.c.awaiting_seller_since, disputes.c.opened_at, disputes.c.seller_replied_at),
    default=Policy(
        period=Period.parse("5 days"),
        ends="same_time",
        remind=(Period.parse("2 days"), Period.parse("1 day")),
    ),
    event="dispute:escalated",
    effect={"status": "escalated", "escalated_at": Value.NOW, "escalated_by": "clock"},
    met_when=or_(
        disputes.c.status.in_(("awaiting_buyer", "accepted", "refused")),
        utc(disputes.c.seller_replied_at) > deadlines.c.starts_at,
    ),
    reopening="restarts",
    notices=(_REMINDER, _ESCALATED_TO_SELLER, _ESCALATED_TO_BUYER),
)
