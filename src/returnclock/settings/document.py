"""Settings from returnclock.toml: the plain ones through the table of keys, the nested policies and peak seasons."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from returnclock.settings.keys import FILE_KEYS, PEAK_KEYS, PLAIN_SECTIONS, POLICY_KEYS, SECTIONS, WHEN_KEYS, hint
from returnclock.settings.market import MarketSettings
from returnclock.settings.market_reader import MarketReader
from returnclock.settings.model import OverrideSettings, PeakSettings, PolicySettings
from returnclock.settings.reading import Found, checked, checked_list, read
from returnclock.settings.values import text, type_name


class Document:
    """One file's tables. ``shown`` is the file's name as the operator gave it; it begins the place of every fault."""

    def __init__(self, tables: dict[str, Any], shown: str, faults: list[str]) -> None:
        self._tables = tables
        self._shown = shown
        self._faults = faults

    def settings(self) -> Found:
        """The plain settings; every key that is none is a fault."""
        found: Found = {}
        for name, raw in self._tables.items():
            if name not in SECTIONS:
                self._setting("", name, raw, found)
        for section in PLAIN_SECTIONS:
            for name, raw in self._table(section).items():
                if (section, name) != ("calendar", "peak"):
                    self._setting(section, name, raw, found)
        return found

    def _setting(self, section: str, name: str, raw: object, found: Found) -> None:
        place = f"[{section}] {name}" if section else name
        key = FILE_KEYS.get((section, name))
        if key is None:
            self._fault(place, f"there is no such setting; {_elsewhere(section, name)}")
        else:
            read(key, raw, f"{self._shown}: {place}", found, self._faults)

    def peaks(self) -> tuple[PeakSettings, ...]:
        """The peak seasons, [[calendar.peak]]; each needs all its keys."""
        peaks = []
        for place, table in self._list_of_tables(self._table("calendar").get("peak", []), "calendar.peak"):
            values = self._values(table, place, PEAK_KEYS)
            for missing in [name for name in PEAK_KEYS if name not in table]:
                self._fault(place, f"{missing} is missing")
            if values.keys() == PEAK_KEYS.keys():
                peaks.append(PeakSettings(**values))
        return tuple(peaks)

    def market(self) -> MarketSettings:
        """The shop's own tables, [market]."""
        return MarketReader(self._fault).read(self._table("market"))

    def policies(self) -> dict[str, PolicySettings]:
        """The policies by the name of their kind. Which kinds there are is known only to those who hold them."""
        policies = {}
        for kind, table in self._table("policy").items():
            place = f"[policy.{kind}]"
            if not isinstance(table, dict):
                self._fault(place, f"this is {type_name(table)}; write the policy's keys under [policy.NAME]")
                continue
            plain = {name: raw for name, raw in table.items() if name != "override"}
            overrides = self._list_of_tables(table.get("override", []), f"policy.{kind}.override")
            policies[kind] = PolicySettings(
                self._values(plain, place, POLICY_KEYS),
                tuple(self._override(each, where) for where, each in overrides),
            )
        return policies

    def _override(self, table: dict[str, Any], place: str) -> OverrideSettings:
        changes = {name: raw for name, raw in table.items() if name != "when"}
        if not changes:
            self._fault(place, f"it changes nothing; write at least one of {', '.join(POLICY_KEYS)}")
        return OverrideSettings(self._when(table.get("when"), place), self._values(changes, place, POLICY_KEYS))

    def _when(self, raw: object, place: str) -> dict[str, str]:
        if not isinstance(raw, dict) or not raw:
            # One that matches everything would silently replace the policy above it.
            self._fault(place, "it does not say which rows it is for; write such as when = { country = 'DE' }")
            return {}
        when = {}
        for name, wanted in raw.items():
            if name not in WHEN_KEYS:
                self._fault(f"{place} when.{name}", f"rows are not told apart by this; {hint(name, WHEN_KEYS)}")
                continue
            # A seller's id is a number in the database, and is matched as text like the rest.
            is_id = name == "seller" and isinstance(wanted, int) and not isinstance(wanted, bool)
            value = str(wanted) if is_id else self._checked(text, wanted, f"{place} when.{name}")
            if isinstance(value, str):
                when[name] = value
        return when

    def _values(self, table: dict[str, Any], place: str, readers: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, raw in table.items():
            if name not in readers:
                self._fault(f"{place} {name}", f"there is no such setting; {hint(name, readers)}")
            elif name == "remind":
                values[name] = checked_list(text, raw, f"{self._shown}: {place} remind", self._faults)
            else:
                value = self._checked(readers[name], raw, f"{place} {name}")
                if value is not None:
                    values[name] = value
        return values

    def _table(self, section: str) -> dict[str, Any]:
        table = self._tables.get(section, {})
        if isinstance(table, dict):
            return table
        self._tables[section] = {}  # noted once, although the plain settings and the peak seasons both look
        self._fault(section, f"this is {type_name(table)}; write its keys under [{section}]")
        return {}

    def _list_of_tables(self, raw: object, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            self._fault(f"[{name}]", f"each one is a table of its own; write [[{name}]] in double brackets")
            return
        for number, table in enumerate(raw, start=1):
            yield f"[[{name}]] number {number}", table

    def _checked(self, reader: Callable[[Any], Any], raw: object, place: str) -> object | None:
        return checked(reader, raw, f"{self._shown}: {place}", self._faults)

    def _fault(self, place: str, reason: str) -> None:
        self._faults.append(f"{self._shown}: {place}: {reason}")


def _elsewhere(section: str, name: str) -> str:
    """Where a misplaced key belongs, or else the nearest right word of this section."""
    homes = [key for key in FILE_KEYS.values() if key.name == name]
    if len(homes) == 1:
        home = homes[0].section
        return f"write it under [{home}]" if home else "write it at the top of the file, before the first [table]"
    known = [key.name for key in FILE_KEYS.values() if key.section == section]
    return hint(name, known if section else [*known, *SECTIONS])


def open_document(path: Path, shown: str, faults: list[str]) -> Document:
    """The file's tables; an empty document, with the fault noted, when it cannot be read."""
    tables: dict[str, Any] = {}
    try:
        # utf-8-sig: editors on Windows put a byte-order mark first, which TOML refuses with a puzzling message.
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        faults.append(f"{shown}: the settings file cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"{shown}: the settings file is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{shown}: not valid TOML: {error}")
    return Document(tables, shown, faults)
