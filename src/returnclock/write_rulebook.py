"""Writes the rulebook from the settings: kinds, policies, overrides and calendars; all their faults are reported together.

Imports rulebook and mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from returnclock.calendars import CalendarBook, Peak, did_you_mean, zone
from returnclock.errors import ReturnclockError, SettingsError
from returnclock.kinds import KINDS, DeadlineKind
from returnclock.mapping import Unmapped, market_of, on_market
from returnclock.market import Market
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.rulebook import MATCHED_BY, Guards, Rule, Rulebook
from returnclock.settings import CalendarSettings, PolicySettings, Settings, seconds
from returnclock.tables.types import Instant


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
