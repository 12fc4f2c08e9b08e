"""How one setting is read, wherever it comes from: its value is found, or a sentence joins the faults."""

from __future__ import annotations

from returnclock.settings.keys import Key
from returnclock.settings.values import Reader, type_name

# By section and name. A setting that is absent was not set, or was at fault.
Found = dict[tuple[str, str], object]


def checked(reader: Reader, raw: object, place: str, faults: list[str]) -> object | None:
    """The value that a reader makes of ``raw``, or None after noting what is wrong at ``place``."""
    try:
        value: object = reader(raw)
    except ValueError as wrong:
        faults.append(f"{place}: {wrong}")
        return None
    return value


def checked_list(reader: Reader, raw: object, place: str, faults: list[str]) -> list[object]:
    """A list, each item checked by itself. Items are counted from 1, as an operator counts them."""
    if not isinstance(raw, list):
        faults.append(f"{place}: this is {type_name(raw)}; write a list in square brackets")
        return []
    values = [checked(reader, item, f"{place}[{number}]", faults) for number, item in enumerate(raw, start=1)]
    return [value for value in values if value is not None]


def read(key: Key, raw: object, place: str, found: Found, faults: list[str]) -> None:
    """Reads one setting into ``found``."""
    if key.many:
        found[key.section, key.name] = tuple(checked_list(key.read, raw, place, faults))
        return
    value = checked(key.read, raw, place, faults)
    if value is not None:
        found[key.section, key.name] = value
