"""Reads ``[market]`` from the file. Only the structure is checked here; what the database has is for ``db check``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from returnclock.settings.keys import hint
from returnclock.settings.market import (
    CHANGES,
    COLUMN_KEYS,
    CONTRACT,
    FORMS,
    KEY_TYPES,
    NEEDED,
    OURS,
    TABLE_KEYS,
    TAKES,
    WORDS,
    ColumnMapping,
    MarketSettings,
    Scalar,
    TableMapping,
)
from returnclock.settings.values import text, type_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]*(\.[A-Za-z_][A-Za-z0-9_$-]*)?")


class MarketReader:
    """Reads ``[market]``; ``fault(place, reason)`` notes what is wrong."""

    def __init__(self, fault: Callable[[str, str], None]) -> None:
        self._fault = fault

    def read(self, raw: Mapping[str, Any]) -> MarketSettings:
        """The whole section."""
        tables = {}
        plain: dict[str, Any] = {}
        for name, value in raw.items():
            if name in CONTRACT and isinstance(value, dict):
                tables[name] = self._table(name, value)
            elif name in CONTRACT:
                self._fault(f"[market] {name}", f"this is {type_name(value)}; write its keys under [market.{name}]")
            elif name == "time_zone":
                plain[name] = self._zone(value, "[market] time_zone")
            elif name == "changes":
                plain[name] = self._one_of(CHANGES, value, "[market] changes") or "triggers"
            else:
                known = (*CONTRACT, "time_zone", "changes")
                self._fault(f"[market] {name}", f"there is no such setting; {hint(name, known)}")
        if tables and "orders" not in tables:
            self._fault("[market]", "the other tables hang on the orders; write [market.orders]")
        if raw and not tables:
            self._fault("[market]", "it maps no table; write [market.orders] and its columns")
        return MarketSettings(tables, **plain)

    def _table(self, name: str, raw: Mapping[str, Any]) -> TableMapping:
        place = f"[market.{name}]"
        for key in raw:
            if key not in TABLE_KEYS:
                self._fault(f"{place} {key}", f"there is no such setting; {hint(key, TABLE_KEYS)}")
        found: dict[str, Any] = {}
        for key in ("table", "key"):
            if key in raw:
                found[key] = self._name(raw[key], f"{place} {key}")
        if "key_type" in raw:
            found["key_type"] = self._one_of(KEY_TYPES, raw["key_type"], f"{place} key_type") or "integer"
        if "key_collation" in raw:
            found["key_collation"] = self._name(raw["key_collation"], f"{place} key_collation")
        if "where" in raw:
            is_text = isinstance(raw["where"], str)
            found["where"] = raw["where"] if is_text else self._where(raw["where"], f"{place} where")
        if "touches" in raw:
            found["touches"] = tuple(self._names(raw["touches"], f"{place} touches"))
        columns = self._columns(name, raw.get("columns", {}), f"[market.{name}.columns]")
        self._check_table(name, raw, columns)
        writes = self._writes(name, raw.get("writes", []), columns, f"{place} writes")
        return TableMapping(**found, columns=columns, writes=writes)

    def _check_table(self, name: str, raw: Mapping[str, Any], columns: Mapping[str, ColumnMapping]) -> None:
        place = f"[market.{name}]"
        if "table" not in raw:
            if name not in ("sellers", "buyers"):
                self._fault(place, "table is missing; name the shop's table")
            for column, mapping in columns.items():
                if mapping.value is None:
                    self._fault(f"[market.{name}.columns] {column}", "without a table every column is { value = … }")
        for needed in NEEDED[name]:
            if needed not in columns and needed not in raw.get("columns", {}):
                self._fault(f"[market.{name}.columns]", f"{needed} is missing; no deadline can be counted without it")

    def _columns(self, table: str, raw: object, place: str) -> dict[str, ColumnMapping]:
        if not isinstance(raw, dict):
            self._fault(place, f"this is {type_name(raw)}; write its keys under {place}")
            return {}
        found = {}
        for name, value in raw.items():
            where = f"{place} {name}"
            if name not in CONTRACT[table]:
                self._fault(where, f"{table} has no such column; {hint(name, CONTRACT[table])}")
            elif name == "id":
                self._fault(where, f"write the key's column as key under [market.{table}]")
            else:
                mapping = self._column(value, where)
                if mapping is not None:
                    self._check_words(f"{table}.{name}", mapping, where)
                    found[name] = mapping
        return found

    def _column(self, raw: object, place: str) -> ColumnMapping | None:
        if isinstance(raw, str):
            name = self._name(raw, place)
            return ColumnMapping(column=name) if name else None
        if not isinstance(raw, dict):
            self._fault(place, f"this is {type_name(raw)}; write a column's name, or a table such as {{ column = 'state' }}")
            return None
        for key in raw:
            if key not in COLUMN_KEYS:
                self._fault(f"{place} {key}", f"there is no such setting; {hint(key, COLUMN_KEYS)}")
        if sum(key in raw for key in ("column", "value", "sql")) != 1:
            self._fault(place, "write just one of column, value and sql")
            return None
        if ("table" in raw) != ("on" in raw):
            self._fault(place, "table and on belong together: the other table, and how its rows belong to this one's")
        return ColumnMapping(**self._of_column(raw, place))

    def _of_column(self, raw: Mapping[str, Any], place: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in ("column", "table"):
            if key in raw:
                found[key] = self._name(raw[key], f"{place} {key}")
        if "value" in raw:
            found["value"] = self._scalar(raw["value"], f"{place} value")
        for key in ("sql", "otherwise"):
            if key in raw:
                found[key] = self._text(raw[key], f"{place} {key}")
        if "values" in raw:
            found["values"] = self._values(raw["values"], f"{place} values")
        if "on" in raw:
            found["on"] = self._on(raw["on"], f"{place} on")
        if "where" in raw:
            found["where"] = self._where(raw["where"], f"{place} where")
        for key, known in (("take", TAKES), ("form", FORMS)):
            if key in raw:
                found[key] = self._one_of(known, raw[key], f"{place} {key}") or known[0]
        if "locks" in raw:
            if not isinstance(raw["locks"], bool):
                self._fault(f"{place} locks", f"this is {type_name(raw['locks'])}; write true or false")
            found["locks"] = bool(raw["locks"])
        if "time_zone" in raw:
            found["time_zone"] = self._zone(raw["time_zone"], f"{place} time_zone")
        return found

    def _on(self, raw: object, place: str) -> dict[str, str | ColumnMapping]:
        if not isinstance(raw, dict) or not raw:
            self._fault(place, "write which column of the other table equals which of this one, such as { order_id = 'id' }")
            return {}
        found: dict[str, str | ColumnMapping] = {}
        for other, mine in raw.items():
            self._name(other, place)
            read = self._column(mine, f"{place}.{other}")
            if read is not None:
                found[other] = read.column if read.table is None and read.column is not None else read
        return found

    def _where(self, raw: object, place: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            self._fault(place, f"this is {type_name(raw)}; write columns and values, such as {{ state = 'shipped' }}")
            return {}
        found: dict[str, Any] = {}
        for name, wanted in raw.items():
            self._name(name, place)
            inside = wanted["not"] if isinstance(wanted, dict) and set(wanted) == {"not"} else wanted
            values = tuple(self._scalar(one, f"{place}.{name}") for one in (inside if isinstance(inside, list) else [inside]))
            found[name] = {"not": values} if inside is not wanted else values
        return found

    def _values(self, raw: object, place: str) -> dict[str, tuple[Scalar, ...]]:
        if not isinstance(raw, dict):
            self._fault(place, f"this is {type_name(raw)}; write words of the contract and the shop's values for them")
            return {}
        found: dict[str, tuple[Scalar, ...]] = {}
        taken: dict[Any, str] = {}
        for word, mine in raw.items():
            values = mine if isinstance(mine, list) else [mine]
            found[word] = tuple(v for v in (self._scalar(one, f"{place}.{word}") for one in values) if v is not None)
            for value in found[word]:
                key = (type(value), value)
                if key in taken:
                    self._fault(f"{place}.{word}", f"{value!r} stands for {taken[key]} already")
                taken[key] = word
        return found

    def _check_words(self, column: str, mapping: ColumnMapping, place: str) -> None:
        words = [*mapping.values, *([mapping.otherwise] if mapping.otherwise else [])]
        if words and column not in WORDS:
            return
        for word in words:
            if word not in WORDS[column]:
                self._fault(f"{place} values", f"{word!r} is no word of {column}; {hint(word, WORDS[column])}")

    def _writes(self, table: str, raw: object, columns: Mapping[str, ColumnMapping], place: str) -> tuple[str, ...]:
        found = []
        for name in self._names(raw, place):
            mapping = columns.get(name)
            if name not in OURS.get(table, ()):
                known = OURS.get(table, ())
                reason = hint(name, known) if known else "nothing of this table is ever written"
                self._fault(place, f"{name!r} is no column that returnclock writes; {reason}")
            elif mapping is None or mapping.column is None or mapping.table is not None:
                self._fault(place, f"{name} is no column of the table itself, so it cannot be written; leave it out")
            else:
                found.append(name)
        return tuple(found)

    def _names(self, raw: object, place: str) -> list[str]:
        if not isinstance(raw, list):
            self._fault(place, f"this is {type_name(raw)}; write a list in square brackets")
            return []
        return [name for name in (self._name(one, place) for one in raw) if name]

    def _name(self, raw: object, place: str) -> str | None:
        written = self._text(raw, place)
        if written is not None and not _NAME.fullmatch(written):
            self._fault(place, f"{written[:60]!r} is no name of a table or column")
            return None
        return written

    def _text(self, raw: object, place: str) -> str | None:
        try:
            return text(" ".join(raw.split()) if isinstance(raw, str) else raw)
        except ValueError as wrong:
            self._fault(place, str(wrong))
            return None

    def _scalar(self, raw: object, place: str) -> Scalar | None:
        if isinstance(raw, bool | int):
            return raw
        if isinstance(raw, str) and "\\" not in raw and len(raw) <= 200:
            return raw
        self._fault(place, "write a text without a backslash, a whole number, or true or false")
        return None

    def _zone(self, raw: object, place: str) -> str | None:
        written = self._text(raw, place)
        try:
            if written is not None:
                ZoneInfo(written)
        except (ValueError, OSError, LookupError):
            self._fault(place, f"there is no time zone {written!r}; use an IANA name such as 'Europe/Lisbon'")
            return None
        return written

    def _one_of(self, known: tuple[str, ...], raw: object, place: str) -> str | None:
        if raw in known:
            return str(raw)
        shown = repr(raw) if isinstance(raw, str) else f"this is {type_name(raw)}"
        self._fault(place, f"{shown}; {hint(str(raw), known)}")
        return None
