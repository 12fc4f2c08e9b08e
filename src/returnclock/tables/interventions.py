"""What operators and sellers order: holds, pauses and vacations; and how many fired in a minute, for the cap on that.

returnclock's own tables, as those in ``clock``, which lists them all. Imports nothing of ours but the types and the metadata
beside it.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table

from returnclock.tables.market import metadata, one_of
from returnclock.tables.types import BigId, Day, Document, Instant, Key, LongText, present

holds = Table(
    "clock_holds",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column(
        "scope", Document, nullable=False, comment="Which deadlines: kind, table, id, where; except grows by single resumes."
    ),
    Column("starts_at", Instant, nullable=False, comment="From when time stands still; set at insert."),
    Column("ends_at", Instant, comment="Until when; null while open-ended, set when it is ended by hand."),
    Column("reason", LongText, nullable=False, comment="Why; set at insert."),
    Column("actor", Key, nullable=False, comment="Who; set at insert."),
    Column("created_at", Instant, nullable=False, comment="When it was ordered; set at insert."),
    Column("ended_by", Key, comment="Who ended it by hand; null where it ended by itself."),
    Column("end_reason", LongText, comment="Why it was ended by hand."),
    Column("caught_at", Instant, comment="When deadlines were last looked through for those that it covers."),
    Column("closed_at", Instant, comment="When it stopped covering: all of its span was applied; null until then."),
    Column("done_at", Instant, comment="When the last deadline under it ran again; null until then."),
)

pauses = Table(
    "clock_pauses",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("what", Key, nullable=False, comment="task or kind; set at insert."),
    Column("name", Key, nullable=False, comment="Which task or kind rests; set at insert."),
    Column("reason", LongText, nullable=False, comment="Why; set at insert."),
    Column("actor", Key, nullable=False, comment="Who; set at insert."),
    Column("paused_at", Instant, nullable=False, comment="Since when; set at insert."),
    Column("until", Instant, comment="It ends by itself then; null if it must be ended by hand."),
    Column("ended_at", Instant, comment="When it was ended by hand; null until then."),
    Column("ended_by", Key, comment="Who ended it by hand."),
    one_of("what", "what", ("task", "kind")),
)

# Beside a row for each kind one named "clock_vacations", whose lock lets one vacation be announced at a time.
bursts = Table(
    "clock_bursts",
    metadata,
    Column("kind", Key, primary_key=True, comment="The kind whose firings are counted, or clock_vacations; set at insert."),
    Column("since", Instant, nullable=False, comment="When the running minute began; set anew with each minute."),
    Column("fired", Integer, nullable=False, comment="How many have fired in that minute; counted up by sweeps under a cap."),
)

vacations = Table(
    "clock_vacations",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("seller_id", BigId, nullable=False, comment="Who is away; set at insert."),
    Column("first_day", Day, nullable=False, comment="The first local day of the vacation; set at insert."),
    Column("last_day", Day, nullable=False, comment="The last local day of it; set at insert."),
    Column("announced_at", Instant, server_default=present(), comment="When it was announced; days up to then never count."),
    Column(
        "removed_at", Instant, comment="When it was taken back; its later days no longer count. Set by front end or command."
    ),
    Column("applied_at", Instant, comment="◆ When running deadlines had been moved for it; null until then."),
    Column("settled_at", Instant, comment="◆ When those were moved too that were just being written then; null until then."),
)
Index("ix_clock_vacations_seller", vacations.c.seller_id)
# Every tick asks for what waits to be applied, or was taken back since.
is_unsettled = vacations.c.settled_at.is_(None)
Index("ix_clock_vacations_waiting", vacations.c.settled_at, postgresql_where=is_unsettled, sqlite_where=is_unsettled)
is_removed = vacations.c.removed_at.is_not(None)
Index(
    "ix_clock_vacations_removed",
    *(vacations.c.removed_at, vacations.c.applied_at),
    postgresql_where=is_removed,
    sqlite_where=is_removed,
)
