"""Settings from variables, from the files that ``*_FILE`` variables name, and from systemd's credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from returnclock.settings.keys import CONFIG_VARIABLE, DEBUG_VARIABLE, KEYS, PREFIX, Key, hint
from returnclock.settings.reading import Found, read

_VARIABLES = {name: key for key in KEYS for name in key.variables}
_FILE_VARIABLES = {f"{name}_FILE" for name, key in _VARIABLES.items() if key.secret}
KNOWN_VARIABLES = {CONFIG_VARIABLE, DEBUG_VARIABLE, *_VARIABLES, *_FILE_VARIABLES}

# Kubernetes sets these for a Service named "returnclock" or "returnclock-…" in every pod beside it; they are not ours.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")


def from_environment(environ: Mapping[str, str], faults: list[str]) -> Found:
    """The settings that the environment gives. An empty variable counts as unset, as compose files leave them."""
    faults.extend(_unknown(environ))
    credentials = _credentials(environ, faults)
    found: Found = {}
    for key in KEYS:
        for name in key.variables:
            given = _given(name, key, environ, credentials, faults)
            if given is not None:
                place, written = given
                read(key, _as_in_file(key, written), place, found, faults)
                break
    return found


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """A misspelt variable would silently leave the default in force, so every unknown one of ours is a fault."""
    ours = sorted(name for name in KNOWN_VARIABLES if name.startswith(PREFIX))
    faults = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in KNOWN_VARIABLES or _is_service_link(name, environ[name]):
            continue
        if name.startswith(PREFIX + "POLICY_"):
            faults.append(f"{name}: policies have no variables; write them in returnclock.toml under [policy.NAME]")
        elif name.endswith("_FILE") and name.removesuffix("_FILE") in _VARIABLES:
            faults.append(f"{name}: only secrets are read from files; set {name.removesuffix('_FILE')} itself")
        else:
            faults.append(f"{name} is not a setting; {_near_variable(name, ours)}")
    return faults


def _near_variable(name: str, ours: list[str]) -> str:
    # Compared without the prefix that all share, or everything would seem near.
    near = hint(name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in ours])
    if near.startswith("did you mean "):
        return near.replace("did you mean ", f"did you mean {PREFIX}", 1)
    return "every variable is listed in docs/settings.md"


def _is_service_link(name: str, value: str) -> bool:
    linked = name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", value)
    return bool(linked or _SERVICE_LINK.search(name))


def _credentials(environ: Mapping[str, str], faults: list[str]) -> dict[str, Path]:
    """The credentials that systemd lays out, by the upper-case name of the variable that each stands for."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        return {}
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        faults.append(f"CREDENTIALS_DIRECTORY: {folder} cannot be read: {error.strerror}")
        return {}
    secrets = {name for name, key in _VARIABLES.items() if key.secret}
    for file in files:
        if file.name.startswith(PREFIX.lower()) and file.name.upper() not in secrets:
            near = hint(file.name, sorted(name.lower() for name in secrets))
            faults.append(f"the credential {file.name} is not a secret setting; {near}")
    return {file.name.upper(): file for file in files if file.name.upper() in secrets}


def _given(
    name: str, key: Key, environ: Mapping[str, str], credentials: Mapping[str, Path], faults: list[str]
) -> tuple[str, str] | None:
    """Where a variable's value was found, and its text: the variable itself, else its file, else its credential."""
    direct = environ.get(name, "").strip()
    named = environ.get(f"{name}_FILE", "") if key.secret else ""
    if direct and named:
        faults.append(f"{name} and {name}_FILE are both set; keep one")
    if direct:
        return name, direct
    if named:
        return _from_file(f"{name}_FILE", Path(named), faults)
    if key.secret and name in credentials:
        return _from_file(f"the credential {name.lower()}", credentials[name], faults)
    return None


def _from_file(place: str, file: Path, faults: list[str]) -> tuple[str, str] | None:
    try:
        written = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        faults.append(f"{place}: {file} cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError:
        faults.append(f"{place}: {file} is not UTF-8 text")
        return None
    if not written:
        faults.append(f"{place}: {file} is empty")
        return None
    return place, written


def _as_in_file(key: Key, written: str) -> object:
    """A variable's text in the type that the file would give it."""
    if key.many:
        return [part.strip() for part in written.split(",") if part.strip()]
    if key.is_number and re.fullmatch(r"-?\d{1,18}", written):
        return int(written)
    return written
