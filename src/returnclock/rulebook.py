"""Which rule holds for which row: the kinds that are on, their policies and overrides, and the calendars.

Built once from the settings, and all faults of policies, calendars and kinds are reported together. Imports kinds and
everything that they import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from returnclock.calendars import CalendarBook, Peak, did_you_mean, zone
from returnclock.errors import ReturnclockError, SettingsError, UnknownKind
from returnclock.kinds import KINDS, DeadlineKind
from returnclock.mapping import Unmapped, market_of, on_market
from returnclock.market import OWN, Market
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.settings import CalendarSettings, PolicySettings, Settings

MATCHED_BY = ("country", "subdivision", "category", "seller")


@dataclass(frozen=True)
class Rule:
    """The policies of one kind: the first override whose every condition matches, else the general one.

    Rows whose clock would have started before ``effective_from`` are left alone.
    """

    kind: DeadlineKind
    policy: Policy
    overrides: tuple[tuple[Mapping[str, str], Policy], ...] = ()
    effective_from: datetime | None = None

    def policy_for(self, facts: Mapping[str, Any]) -> Policy:
        """Choose by the order's country, subdivision, category and seller."""
        for when, policy in self.overrides:
            if all(str(facts.get(name) or "") == wanted for name, wanted in when.items()):
                return policy
        return self.policy


@dataclass(frozen=True)
class Rulebook:
    """Every kind that is on, by name, with its rule; the calendars; the market's own zone, and where its tables are.

    without: the kinds that cannot run on the shop's own tables, and for want of what. sweeps: their tasks, which stay known.
    """

    rules: Mapping[str, Rule]
    kinds: tuple[DeadlineKind, ...]
    calendars: CalendarBook
    market_zone: str
    market: Market = OWN
    without: Mapping[str, str] = field(default_factory=dict)
    sweeps: tuple[str, ...] = ()

    def active(self) -> list[DeadlineKind]:
        """The kinds that are on."""
        return [kind for kind in self.kinds if kind.name in self.rules]

    def on_table(self, table_name: str) -> list[DeadlineKind]:
        """The kinds that are on and bind rows of one table."""
        return [kind for kind in self.active() if kind.subject.name == table_name]

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
    return Rulebook(rules, kinds, calendars, settings.calendar.time_zone, market, without, sweeps)


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


def _rule(kind: DeadlineKind, written: PolicySettings | None, faults: list[str]) -> Rule | None:
    where = f"[policy.{kind.name}]"
    values = dict(written.values) if written else {}
    since = _effective_from(values.pop("effective_from", None), where, faults)
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
    return Rule(kind, policy, tuple(overrides), since)


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
