"""What parties are told when an automatic action was taken back: the same words for every kind."""

from __future__ import annotations

from returnclock.kinds.base import DeadlineKind, Notice, Party


def corrections(kind: DeadlineKind) -> tuple[Notice, ...]:
    """The notices that take back what a kind's outcome has told, one to each party that is told of outcomes."""
    parties = dict.fromkeys(notice.to for notice in kind.notices_for("outcome"))
    return tuple(_correction(kind, party) for party in parties)


_STILL_OPEN = "is_open is defined and is_open"


def _correction(kind: DeadlineKind, party: Party) -> Notice:
    time = f"the time for {kind.awaits_what}"
    return Notice(
        moment="undone",
        to=party,
        subject=f"Correction for {{{{ order }}}}: {time}{{% if {_STILL_OPEN} %}} has not ended{{% endif %}}",
        body=f"""
        This is about {{{{ order }}}}. We have written to you that {time} had ended. That has been
        taken back, and what it did to the case as well; we are sorry about the confusion.

        {{% if {_STILL_OPEN} %}}
        The case stands as it stood before. {{% if time_left is defined %}}There is time until {{{{ deadline }}}}.{{% endif %}}
        {{% endif %}}

        If anything about this seems wrong to you, please answer this message.
        """,
    )
