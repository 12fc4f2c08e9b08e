"""returnclock's own tables; any front end may read them, only returnclock writes them.

Imports nothing of ours but the tables, the types and the metadata beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Index, Integer, Table, UniqueConstraint, literal_column, text

from returnclock.tables.interventions import bursts, holds, pauses, vacations
from returnclock.tables.market import metadata, one_of
from returnclock.tables.types import BigId, Document, Instant, Key, LongText, present, present_second

LIVE_STATES = ("running", "held")
DEADLINE_STATES = (*LIVE_STATES, "met", "fired", "void")
OUTBOX_STATES = ("queued", "sending", "sent", "dead", "suppressed")
RUN_STATES = ("running", "succeeded", "failed")
TRIGGERS = ("beat", "manual", "cli")

policies = Table(
    "clock_policies",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
    Column("digest", Key, nullable=False, comment="Digest of the definition; set at insert."),
    Column("definition", Document, nullable=False, comment="The policy as it was when first used; never changes."),
    Column("created_at", Instant, nullable=False, server_default=present(), comment="When it was first used."),
    Column("table_name", Key, comment="The table whose rows its kind binds; follows the settings."),
    UniqueConstraint("kind", "digest"),
)

deadlines = Table(
    "clock_deadlines",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
    Column("subject_id", Key, nullable=False, comment="The id of the row that it binds, as text; set at insert."),
    Column("party", Key, nullable=False, comment="Who must act: seller, buyer or platform; set at insert."),
    Column("starts_at", Instant, nullable=False, comment="From when days are counted; a new start is a new row."),
    Column("promised_at", Instant, nullable=False, comment="What people are told; moved only by an intervention."),
    Column("due_at", Instant, nullable=False, comment="When it takes effect (promised_at + grace); moves with promised_at."),
    Column("remind_at", Instant, comment="The next reminder; moved on as each is queued, null after the last."),
    Column("state", Key, nullable=False, server_default="running", comment="running until held, met, fired or void."),
    # No foreign key: policies are never deleted, and looking each up again took a fifth of what writing a deadline takes.
    Column("policy_id", BigId, nullable=False, comment="The policy that it keeps."),
    Column("fired_at", Instant, comment="When it took effect; null unless state is fired."),
    Column("settled_at", Instant, comment="When it stopped running: met, fired or void."),
    Column("round", Integer, nullable=False, server_default=text("0"), comment="How often it was re-opened or moved in place."),
    Column("schedule", Document, nullable=False, comment="Zone, calendar, last day and reminders, as counted."),
    Column(
        "stamped_at", Instant, nullable=False, comment="When promised_at was given; set anew with each date that is warned of."
    ),
    Column("warn_by", Instant, comment="A reminder that we owe must be out by then, or amnesty is due; moves with due_at."),
    Column("spared_at", Instant, comment="When amnesty moved due_at on; null if it did not, and again after a new date."),
    # The subject first: before PostgreSQL has statistics it would otherwise read all rows of a kind for each batch.
    UniqueConstraint("subject_id", "kind", "starts_at"),
    one_of("state", "state", DEADLINE_STATES),
    sqlite_autoincrement=True,  # an id given twice would be a Message-ID given twice
)
# The words are literal, not parameters: a partial index serves only a statement that can be seen to keep within it.
is_running = deadlines.c.state == literal_column("'running'")
# In MariaDB, which has no partial indexes, these two have the state as their second column: a tick would otherwise read all
# that ever fired. PostgreSQL must not have it there: it takes what the index's condition says for known, so that nothing
# stands for that column when it looks for where to begin, and it reads all that runs.
Index(
    "ix_clock_deadlines_due",
    *(deadlines.c.kind, deadlines.c.due_at, deadlines.c.id),
    postgresql_where=is_running,
    sqlite_where=is_running,
)
_reminding = is_running & deadlines.c.remind_at.is_not(None)
Index(
    "ix_clock_deadlines_remind",
    *(deadlines.c.kind, deadlines.c.remind_at, deadlines.c.id),
    postgresql_where=_reminding,
    sqlite_where=_reminding,
)
# For purge, which takes the longest settled first, and for what was settled lately.
is_settled = deadlines.c.settled_at.is_not(None)
Index(
    "ix_clock_deadlines_settled",
    *(deadlines.c.kind, deadlines.c.settled_at, deadlines.c.id),
    postgresql_where=is_settled,
    sqlite_where=is_settled,
)
# Few of all that ever were are live: they are counted by kind, and paged by id, without a look at the settled ones.
is_live = deadlines.c.state.in_([literal_column("'running'"), literal_column("'held'")])
Index(
    "ix_clock_deadlines_live",
    *(deadlines.c.kind, deadlines.c.state, deadlines.c.id),
    postgresql_where=is_live,
    sqlite_where=is_live,
)
# What is held is found by the index of what is live, where a statement says that it keeps within it.
is_held = is_live & (deadlines.c.state == literal_column("'held'"))

events = Table(
    "clock_events",
    metadata,
    Column("id", BigId, primary_key=True, comment="Grows; follow the feed by it. Never changes."),
    Column("deadline_id", BigId, comment="The deadline concerned. Never changes."),
    Column("kind", Key, comment="Its kind. Never changes."),
    Column("subject_id", Key, comment="Its subject's id as text. Never changes."),
    Column("event", Key, nullable=False, comment="What happened, as subject:action. Never changes."),
    Column("at", Instant, nullable=False, comment="When, by the database's clock. Never changes."),
    Column("actor", Key, nullable=False, comment="Who: clock, a login, a party. Never changes."),
    Column("run_id", BigId, comment="The run in clock_runs that did it. Never changes."),
    Column("detail", Document, comment="What else there is to say, such as each step of the counting. Never changes."),
    sqlite_autoincrement=True,  # whoever follows the feed by id would miss an id that is given again
)
# None by subject: what happened to a row is found by way of its deadlines, and every event would pay for the index.
Index("ix_clock_events_deadline", events.c.deadline_id)

outbox = Table(
    "clock_outbox",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("key", Key, nullable=False, unique=True, comment="deadline.round.notice.ordinal.party: one notice, once."),
    Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
    # No foreign key: a notice is written from the deadline's own locked row and archived with it, and to look each up again
    # took PostgreSQL a sixth of the time of a sweep.
    Column("deadline_id", BigId, nullable=False, comment="Set at insert."),
    Column("notice", Key, nullable=False, comment="Which of the kind's notices; set at insert."),
    Column("party", Key, nullable=False, comment="Whom it is for: seller, buyer or platform; set at insert."),
    Column("recipient", LongText, comment="The address that it went to; set at delivery."),
    Column("state", Key, nullable=False, server_default="queued", comment="queued, sending, then sent, dead or suppressed."),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="Counted up at each attempt."),
    Column("queued_at", Instant, nullable=False, comment="When it was queued; set anew by a requeue."),
    Column("next_attempt_at", Instant, comment="Not before this; moved on when the server defers it, null at the end."),
    Column("leased_until", Instant, comment="Until when one worker has it in hand; null otherwise."),
    Column("leased_by", Key, comment="Which worker has it in hand; null otherwise."),
    Column("sent_at", Instant, comment="When the mail server took it."),
    Column("message_id", Key, comment="RFC 5322 Message-ID, derived from the key; the same at every attempt."),
    Column("error", LongText, comment="Why it is late, dead or suppressed; null once it is sent plainly."),
    one_of("state", "state", OUTBOX_STATES),
)
is_unsent = outbox.c.state.in_([literal_column("'queued'"), literal_column("'sending'")])
# The end of a notice empties next_attempt_at. With the state as its condition, PostgreSQL would have to write this index anew
# at every step of a delivery; so it does at the last one.
_attempting = outbox.c.next_attempt_at.is_not(None)
Index(
    "ix_clock_outbox_next",
    *(outbox.c.next_attempt_at, outbox.c.id),
    postgresql_where=_attempting,
    sqlite_where=_attempting,
)
OUTBOX_BY_DEADLINE = "ix_clock_outbox_deadline"
Index(OUTBOX_BY_DEADLINE, outbox.c.deadline_id)
is_dead = outbox.c.state == literal_column("'dead'")
Index("ix_clock_outbox_dead", *(outbox.c.state, outbox.c.queued_at), postgresql_where=is_dead, sqlite_where=is_dead)

runs = Table(
    "clock_runs",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("task", Key, nullable=False, comment="Which task ran; set at insert."),
    Column("trigger", Key, nullable=False, comment="beat, manual (a Celery call) or cli; set at insert."),
    Column("actor", Key, nullable=False, comment="Who asked for it; set at insert."),
    Column("host", Key, comment="Where it ran; set at insert."),
    Column("celery_task_id", Key, comment="Celery's id of the run; null when it ran in the command."),
    Column("started_at", Instant, nullable=False, comment="Set at insert."),
    Column("finished_at", Instant, comment="Set when it ended; null while running or when its worker was killed."),
    Column("state", Key, nullable=False, server_default="running", comment="running, then succeeded or failed."),
    Column("idle", Boolean, comment="Whether it succeeded with nothing to do; set when it ended."),
    Column("result", Document, comment="The result object; set when it ended."),
    Column("error", LongText, comment="What went wrong; set when it failed."),
    one_of("state", "state", RUN_STATES),
    one_of("trigger", "trigger", TRIGGERS),
)
Index("ix_clock_runs_task", runs.c.task, runs.c.started_at)
Index("ix_clock_runs_idle", runs.c.idle, runs.c.started_at)
Index("ix_clock_runs_ended", runs.c.task, runs.c.state, runs.c.id)
has_failed = runs.c.state == literal_column("'failed'")
Index("ix_clock_runs_failed", runs.c.state, runs.c.id, postgresql_where=has_failed, sqlite_where=has_failed)

problems = Table(
    "clock_problems",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("table_name", Key, nullable=False, comment="The table of the row to be mended; set at insert."),
    Column("subject_id", Key, nullable=False, comment="The id of the row to be mended, as text; set at insert."),
    Column(
        "kind", Key, nullable=False, server_default="", comment="The kind of deadline concerned; empty for the row as such."
    ),
    Column("code", Key, nullable=False, comment="Which problem, in one word; set at insert."),
    Column("problem", LongText, nullable=False, comment="What is wrong and what to do; renewed while it lasts."),
    Column("first_seen_at", Instant, nullable=False, comment="Since when; set anew if it comes back."),
    Column("last_seen_at", Instant, nullable=False, comment="When it was last looked at and still there."),
    Column("resolved_at", Instant, comment="When the row was found mended; null while it is not."),
    UniqueConstraint("table_name", "subject_id", "kind", "code"),
)
is_open = problems.c.resolved_at.is_(None)
Index(
    "ix_clock_problems_open",
    *(problems.c.resolved_at, problems.c.first_seen_at),
    postgresql_where=is_open,
    sqlite_where=is_open,
)

# What the sweep finds when it tries, and nobody can see before.
CANNOT_FIRE = "cannot_fire"
# Every batch of a sweep asks whether any deadline was set aside because the database refused its effect.
is_set_aside = is_open & (problems.c.code == literal_column(f"'{CANNOT_FIRE}'"))
Index(
    "ix_clock_problems_set_aside",
    *(problems.c.code, problems.c.resolved_at, problems.c.last_seen_at),
    postgresql_where=is_set_aside,
    sqlite_where=is_set_aside,
)

changes = Table(
    "clock_changes",
    metadata,
    Column("id", BigId, primary_key=True, comment="The order of arrival; never changes."),
    Column("table_name", Key, nullable=False, comment="The table of the changed row; filled by triggers."),
    Column("subject_id", Key, nullable=False, comment="The changed row's id, as text; filled by triggers."),
    Column("noted_at", Instant, server_default=present_second(), comment="When it was noted. The row goes when it is stamped."),
)

archive = Table(
    "clock_archive",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("table_name", Key, nullable=False, comment="The table that the row came from. Never changes."),
    Column("row_id", BigId, nullable=False, comment="Its id there. Never changes."),
    Column("kind", Key, comment="The kind of deadline. Never changes."),
    Column("subject_id", Key, comment="The id of the row that it bound, as text. Never changes."),
    Column("archived_at", Instant, nullable=False, comment="When purge moved it here. Never changes."),
    Column("content", Document, nullable=False, comment="The whole row as it was. Never changes."),
)
Index("ix_clock_archive_subject", archive.c.kind, archive.c.subject_id)

lateness = Table(
    "clock_lateness",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("kind", Key, nullable=False, comment="The kind of deadline that fired. Never changes."),
    Column("le_s", sa.Double, comment="At most so many seconds late, and later than the next lower bound; null: no bound."),
    Column("number", sa.BigInteger, nullable=False, comment="How many did. Never changes; purge adds rows up into one."),
    Column("sum_s", sa.Double, nullable=False, comment="Seconds of lateness added up; a batch keeps them in its first row."),
    Column("noted_at", Instant, nullable=False, comment="When the batch fired, or when purge added its row up."),
)

CLOCK_TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        *(policies, deadlines, events, outbox, runs, problems, changes, archive),
        *(lateness, holds, pauses, bursts, vacations),
    )
}
