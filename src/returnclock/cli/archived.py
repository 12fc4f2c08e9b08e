"""Says what the lists of one row leave out, because purge has moved it into the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from returnclock.kinds import DeadlineKind
    from returnclock.wiring import Wiring


def tell_of_archive(wiring: Wiring, kinds: Sequence[DeadlineKind], subject_id: str | None) -> None:
    """Tell beside the list of one row, where JSON stays whole, how many deadlines are archived, and who tells of them."""
    from returnclock.database import reading
    from returnclock.recall import archived

    if not subject_id:
        return
    with reading(wiring.engine) as connection:
        found = archived(connection, kinds, subject_id)
    for table, number in sorted(found.items()):
        row = f"{table} {subject_id}"
        told = f'{number} deadline(s) of {row}, and what happened to them, are archived: "returnclock explain {row}" tells it.'
        click.echo(told, err=True)
