"""A kind of a shop's own, in one file and with nothing else: a refused dispute that the buyer leaves alone is closed."""

from __future__ import annotations

from returnclock.kinds import DeadlineKind, Notice, Party
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.expressions import utc
from returnclock.tables.market import disputes

REFUSED_DISPUTE = DeadlineKind(
    name="refused_dispute",
    title="the buyer's choice after a refusal",
    subject=disputes,
    order_id=disputes.c.order_id,
    party=Party.BUYER,
    task="close-refused-disputes",
    runs_while=disputes.c.status == "refused",
    starts_at=utc(disputes.c.seller_replied_at),
    anchors=(disputes.c.seller_replied_at,),
    default=Policy(period=Period.parse("7 days"), remind=(Period.parse("2 days"),)),
    event="dispute:closed_after_refusal",
    effect={"status": "closed"},
    met_when=disputes.c.status == "escalated",
    notices=(
        Notice(
            moment="reminder",
            to=Party.BUYER,
            subject="{{ time_left }} left to escalate {{ order }}",
            body="You can bring {{ order }} to our team until {{ deadline }}.",
        ),
        Notice(
            moment="outcome",
            to=Party.BUYER,
            subject="Your dispute about {{ order }} is closed",
            body="You did not bring {{ order }} to our team by {{ deadline }}.",
        ),
    ),
)
