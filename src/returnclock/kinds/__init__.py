"""The kinds of deadlines, one promise per file; a new kind is a file here and a line in `KINDS`."""

from __future__ import annotations

from returnclock.kinds.base import DeadlineKind, Notice, Party, Value
from returnclock.kinds.refund_completion import REFUND_COMPLETION
from returnclock.kinds.refund_mediation import REFUND_MEDIATION
from returnclock.kinds.refund_stages import REFUND_CLEARING, REFUND_INSPECTION, REFUND_PROCESSING
from returnclock.kinds.return_shipment import RETURN_SHIPMENT
from returnclock.kinds.return_window import RETURN_WINDOW
from returnclock.kinds.seller_response import SELLER_RESPONSE

KINDS: tuple[DeadlineKind, ...] = (
    SELLER_RESPONSE,
    RETURN_WINDOW,
    REFUND_COMPLETION,
    REFUND_INSPECTION,
    REFUND_PROCESSING,
    REFUND_CLEARING,
    REFUND_MEDIATION,
    RETURN_SHIPMENT,
)

__all__ = ["KINDS", "DeadlineKind", "Notice", "Party", "Value"]
