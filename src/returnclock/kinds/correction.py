"""What parties are told when an automatic action was taken back: the same words for every kind."""

from __future__ import annotations

from returnclock.kinds.base import DeadlineKind, Notice, Party


def corrections(kind: DeadlineKind) -> tuple[Notice, ...]:
    """The notices that take back what a kind's outcome has told, one to each party that is told of outcomes."""
    parties = dict.fromkeys(notice.to for notice in kind.notices_for("outcome") if notice.to is not Party.PLATFORM)
    return tuple(_correction(kind, party) for party in parties)


def _correction(kind: DeadlineKind, party: Party) -> Notice:
    return Notice(
        moment="undone",
        to=party,
        subject=f"Correction for {{{{ order }}}}: {kind.title} is still open",
        body=f"""
        We have written to you that the time for {kind.title} about {{{{ order }}}} had ended. That has been taken back, and we
        are sorry about the confusion.

        The case stands as it stood before. {{% if time_left is defined %}}There is time until {{{{ deadline }}}}.{{% endif %}}

        If anything about this seems wrong to you, please answer this message.
        """,
    )
