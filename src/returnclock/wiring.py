"""The only place that composes: settings become an engine, a clock, a rulebook and a mailer. Imports all rooms below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from returnclock.clock import Clock, DatabaseClock
from returnclock.engines import open_engine
from returnclock.errors import FolderUnusable
from returnclock.kinds import DeadlineKind
from returnclock.mail import Mailer, mailer_for
from returnclock.rulebook import Rulebook
from returnclock.settings import Settings, load, seconds
from returnclock.write_rulebook import write_rulebook

SUPPORT_TASKS = ("stamp", "send-reminders", "deliver-mail", "reconcile", "audit", "purge")


@dataclass(frozen=True)
class Wiring:
    """One process's parts. The engine connects when it is first used and is never shared across a fork."""

    settings: Settings
    engine: Engine
    clock: Clock
    rulebook: Rulebook
    mailer: Mailer

    @property
    def kinds(self) -> tuple[DeadlineKind, ...]:
        """Every kind of deadline that is installed, whether it is on or off."""
        return self.rulebook.kinds

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of all tasks, as the command writes them: stamp first, then the sweeps, then what serves them."""
        return (SUPPORT_TASKS[0], *self.rulebook.tasks(), *SUPPORT_TASKS[1:])

    def late_limit(self, kind: str) -> float:
        """After how many seconds a due deadline of the kind that is not enforced is an alarm."""
        rule = self.rulebook.rules.get(kind)
        own = rule.late_limit if rule else None
        return own if own is not None else seconds(self.settings.late_limit)

    def at(self, clock: Clock) -> Wiring:
        """The same parts under another clock, for a simulation or a dry run."""
        return replace(self, clock=clock)


def wire(settings: Settings | None = None, *, only_looks: bool = False) -> Wiring:
    """Compose from the settings (default: those of the environment). Touches neither network nor database.

    only_looks: make no data folder, for whoever has nothing to put into it.

    Raises:
        SettingsError: with all faults together.
        FolderUnusable: the data folder cannot be made.
    """
    settings = settings or load()
    rulebook = write_rulebook(settings)
    if not only_looks:
        make_folder(settings.data_folder)
    engine = open_engine(settings.database_url, pool_size=settings.database.pool_size)
    return Wiring(settings, engine, DatabaseClock(), rulebook, mailer_for(settings.mail, settings.data_folder))


def make_folder(folder: Path) -> None:
    """Make the data folder where it is missing. Raises FolderUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise FolderUnusable(folder=folder, reason=fault.strerror) from fault
