"""Which rule holds for which row: the kinds that are on, their policies and overrides, and the calendars.

Built once from the settings, and all faults of policies, calendars and kinds are reported together. Imports kinds and
everything that they import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from returnclock.calendars import CalendarBook, Peak, did_you_mean, zone
from returnclock.errors import ReturnclockError, SettingsError, UnknownKind
from returnclock.kinds import KINDS, DeadlineKind
from returnclock.mapping import Unmapped, market_of, on_market
from returnclock.market import OWN, Market
from returnclock.period import Period
from returnclock.policy import Policy, Reckoning
from returnclock.settings import CalendarSettings, PolicySettings, Settings, seconds
from returnclock.tables.types import Instant

MATCHED_BY = ("country", "subdivision", "category", "seller")


@dataclass(frozen=True)
class Rule:
    """The policies of one kind: the first override whose every condition matches, else the general one.

    Rows whose clock would have started before ``effective_from`` are left alone. ``late_limit``: after how many seconds a
    deadline of this kind that is due and not enforced is an alarm; None takes that of the settings. It is no part of the
    policy: nothing that people are told hangs on it.
    """

    kind: DeadlineKind
    policy: Policy
    overrides: tuple[tuple[Mapping[str, str], Policy], ...] = ()
    effective_from: datetime | None = None
    late_limit: float | None = None

    def policy_for(self, facts: Mapping[str, Any]) -> Policy:
        """Choose by the order's country, subdivision, category and seller."""
        for when, policy in self.overrides:
            if all(str(facts.get(name) or "") == wanted for name, wanted in when.items()):
                return policy
        return self.policy


@dataclass(frozen=True)
class Guards:
    """What protects parties and operators, as lengths of time and counts; see ``OpsSettings``.

    stale_after: how late a reminder may go out and still count.
    """

    warning_lead: timedelta | None = timedelta(hours=24)
    stale_after: timedelta = timedelta(hours=6)
    burst_a_minute: int | None = None
    undo_within: timedelta = timedelta(days=14)
    pause_alarm_after: timedelta = timedelta(hours=1)
    hold_alarm_after: timedelta = timedelta(days=7)
    vacation_days_a_year: int = 30
    start_expected_within: timedelta = timedelta(days=14)

    def warn_by(self, kind: DeadlineKind, reckoning: Reckoning, now: datetime) -> datetime | None:
        """When a warning must be out so that the deadline may take effect at its time; None where none is owed by us.

        That is the warning lead before the effect. Where even the first reminder that is still to come is due later than
        that, it is this reminder's time and what a mail may be late: ``stale_after``, at most a quarter of its own lead.
        Reminders that were past when the row was stamped were never owed.
        """
        first = reckoning.next_reminder(now) if kind.notices_for("reminder") else None
        if first is None or self.warning_lead is None:
            return None
        late = min(self.stale_after, (reckoning.due_at - first) / 4)
        return max(reckoning.due_at - self.warning_lead, first + late)


NO_GUARDS = Guards(warning_lead=None)


@dataclass(frozen=True)
class Rulebook:
    """Every kind that is on, by name, with its rule; the calendars; the market's own zone, and where its tables are.

    guards: what protects parties and operators. without: the kinds that cannot run on the shop's own tables, and for want of
    what. sweeps: their tasks, which stay known.
    """

    rules: Mapping[str, Rule]
    kinds: tuple[DeadlineKind, ...]
    calendars: CalendarBook
    market_zone: str
    guards: Guards = Guards()
    market: Market = OWN
    without: Mapping[str, str] = field(default_factory=dict)
    sweeps: tuple[str, ...] = ()

    def active(self) -> list[DeadlineKind]:
        """The kinds that are on."""
        return [kind for kind in self.kinds if kind.name in self.rules]

    def on_table(self, table_name: str) -> list[DeadlineKind]:
        """The kinds that are on and bind rows of one table."""
        return [kind for kind in self.active() if kind.subject.name == table_name]

    def is_heeded(self, kind: DeadlineKind) -> bool:
        """Whether another kind that is on depends on what this kind's firing changes; of a shop's tables nobody knows."""
        if self.market.mapped:
            return True
        changed = {(kind.subject.name, column) for column in kind.effect}
        return any(changed & other.heeds for other in self.active() if other.name != kind.name)

    def kind(self, name: str) -> DeadlineKind:
        """Find a kind by name, whether it is on or off.

        Raises:
            UnknownKind: there is none; the message names the nearest.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        names = [kind.name for kind in self.kinds]
        raise UnknownKind(kind=name, hint=did_you_mean(name, names), known=", ".join(names))

    def tasks(self) -> dict[str, list[DeadlineKind]]:
        """The sweeps, each with the kinds that it enforces; a sweep whose kinds are all off has an empty list."""
        swept: dict[str, list[DeadlineKind]] = {task: [] for task in self.sweeps}
        for kind in self.kinds:
            swept.setdefault(kind.task, [])
            if kind.name in self.rules:
                swept[kind.task].append(kind)
        return swept


def write_rulebook(settings: Settings) -> Rulebook:
    """Turn the settings into rules.

    Raises:
        SettingsError: with every fault of kinds, policies, periods and calendars together.
    """
    faults: list[str] = []
    installed = (*KINDS, *_plugged_in(settings.kinds, faults))
    names = [kind.name for kind in installed]
    for name in settings.policies:
        if name not in names:
            faults.append(f"[policy.{name}]: there is no such kind of deadline{did_you_mean(name, names)}")
    market = market_of(settings.market)
    installed = tuple(_falling_back(kind, settings.policies.get(kind.name), faults) for kind in installed)
    kinds, without = _on_market(installed, market, settings, faults)
    rules = {}
    for kind in kinds:
        rule = _rule(kind, settings.policies.get(kind.name), faults)
        if rule is not None:
            rules[kind.name] = rule
    calendars = _calendars(settings.calendar, faults)
    if faults or calendars is None:
        raise SettingsError(faults=faults)
    sweeps = tuple(dict.fromkeys(kind.task for kind in installed))
    zone_name, guards = settings.calendar.time_zone, _guards(settings)
    return Rulebook(rules, kinds, calendars, zone_name, guards, market, without, sweeps)


def _guards(settings: Settings) -> Guards:
    ops = settings.ops
    return Guards(
        warning_lead=None if ops.warning_lead == "none" else timedelta(seconds=seconds(ops.warning_lead)),
        stale_after=timedelta(seconds=seconds(settings.reminder_stale_after)),
        burst_a_minute=ops.burst_a_minute,
        undo_within=timedelta(seconds=seconds(ops.undo_within)),
        pause_alarm_after=timedelta(seconds=seconds(ops.pause_alarm_after)),
        hold_alarm_after=timedelta(seconds=seconds(ops.hold_alarm_after)),
        vacation_days_a_year=ops.vacation_days_a_year,
        start_expected_within=timedelta(seconds=seconds(ops.start_expected_within)),
    )


def _on_market(
    installed: Iterable[DeadlineKind], market: Market, settings: Settings, faults: list[str]
) -> tuple[tuple[DeadlineKind, ...], dict[str, str]]:
    """The kinds in the tables that there are, and those for which the shop has none. One that has a policy is missed."""
    kinds: list[DeadlineKind] = []
    without: dict[str, str] = {}
    for kind in installed:
        try:
            kinds.append(on_market(kind, market, settings.market))
        except Unmapped as want:
            without[kind.name] = str(want)
            if kind.name in settings.policies:
                faults.append(f"[policy.{kind.name}]: it has no effect, because {want}")
    return tuple(kinds), without


def _plugged_in(paths: Iterable[str], faults: list[str]) -> list[DeadlineKind]:
    found = []
    taken = {kind.name for kind in KINDS}
    for path in paths:
        module, _, attribute = path.partition(":")
        try:
            kind = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as fault:
            faults.append(f'kinds: "{path}" cannot be loaded ({fault}); write "package.module:NAME"')
            continue
        if not isinstance(kind, DeadlineKind):
            faults.append(f'kinds: "{path}" is no DeadlineKind but {type(kind).__name__}')
        elif kind.name in taken:
            faults.append(f'kinds: "{path}" takes the name "{kind.name}", which another kind has')
        else:
            taken.add(kind.name)
            found.append(kind)
    return found


def _falling_back(kind: DeadlineKind, written: PolicySettings | None, faults: list[str]) -> DeadlineKind:
    fallback = written.values.get("fallback") if written else None
    if not isinstance(fallback, dict):
        return kind
    where, name = f"[policy.{kind.name}] fallback", fallback["from"]
    if kind.awaits is None:
        faults.append(f"{where}: {kind.title} has no date that could be missing")
        return kind
    if name not in kind.subject.c:
        known = [column.name for column in kind.subject.c if isinstance(column.type, Instant)]
        faults.append(f"{where}: {kind.subject.name} has no column {name!r}{did_you_mean(name, known)}")
        return kind
    return kind.falling_back(kind.subject.c[name], round(seconds(fallback["after"])), f"{name} and {fallback['after']}")


def _rule(kind: DeadlineKind, written: PolicySettings | None, faults: list[str]) -> Rule | None:
    where = f"[policy.{kind.name}]"
    values = dict(written.values) if written else {}
    values.pop("fallback", None)
    since = _effective_from(values.pop("effective_from", None), where, faults)
    late_limit = values.pop("late_limit", None)
    policy = _policy(kind.default, values, where, faults)
    if policy is None:
        return None
    overrides = []
    for number, override in enumerate(written.overrides if written else (), 1):
        place = f"[[policy.{kind.name}.override]] number {number}"
        for name in override.when:
            if name not in MATCHED_BY:
                faults.append(f"{place}: when cannot ask for {name!r}{did_you_mean(name, MATCHED_BY)}")
        changed = _policy(policy, dict(override.values), place, faults)
        if changed is not None:
            overrides.append((override.when, changed))
    return Rule(kind, policy, tuple(overrides), since, seconds(str(late_limit)) if late_limit else None)


def _policy(base: Policy | None, values: Mapping[str, Any], where: str, faults: list[str]) -> Policy | None:
    if base is None and "period" not in values:
        if values:
            faults.append(f'{where}: is off until it has a period, such as period = "14 days"')
        return None
    try:
        return Policy.from_definition({**(base.definition() if base else {}), **values})
    except ReturnclockError as fault:
        faults.append(f"{where}: {fault}")
        return None


def _effective_from(value: Any, where: str, faults: list[str]) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        faults.append(f"{where} effective_from: {value!r} is not a date; write YYYY-MM-DD")
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _calendars(written: CalendarSettings, faults: list[str]) -> CalendarBook | None:
    peaks = []
    for peak in written.peaks:
        try:
            peaks.append(Peak(peak.name, peak.rule, peak.days, Period.parse(peak.adds)))
        except ReturnclockError as fault:
            faults.append(f"[[calendar.peak]] {peak.name}: {fault}")
    try:
        zone(written.time_zone)
    except ReturnclockError as fault:
        faults.append(f"[calendar] time_zone: {fault}")
    try:
        return CalendarBook(written.country, written.subdivision, written.closures, peaks)
    except ReturnclockError as fault:
        faults.append(f"[calendar]: {fault}")
        return None
