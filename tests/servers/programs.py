"""Where the server programs are, and how a missing one is installed. Standard library only: it runs first."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")

# Debian keeps daemons in sbin, which is not in everybody's PATH, and PostgreSQL's programs outside of any PATH.
SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")

# A program that shows its packages are there -> (Debian's packages, Homebrew's).
PACKAGES = {
    "chromium": ("chromium", "chromium"),
    # Front ends in other languages.
    "node": ("nodejs", "node"),
    "npm": ("npm", "node"),
    "php": ("php-cli php-mysql php-sqlite3", "php"),
    "ruby": ("ruby ruby-activerecord ruby-pg", "ruby"),
    "postgres": ("postgresql", "postgresql@16"),
    "mariadbd": ("mariadb-server", "mariadb"),
    "pgbouncer": ("pgbouncer", "pgbouncer"),
    "rabbitmq-server": ("rabbitmq-server", "rabbitmq"),
    "redis-server": ("redis-server", "redis"),
    "sqlite3": ("sqlite3", "sqlite"),
    "promtool": ("prometheus", "prometheus"),
}

# Packages of which one program is taken and no more: Prometheus would bring a daemon and a dozen libraries of JavaScript.
ONE_PROGRAM = {"promtool": Path("usr/bin/promtool")}
TAKEN_TO = Path("/usr/local/bin")


class MissingProgram(Exception):
    """A server program that a test needs is not on this machine; the message says how to install it."""


def find_program(name: str) -> Path | None:
    """The newest program of that name on this machine, or None."""
    for folder in postgres_folders():
        if (folder / name).exists():
            return folder / name
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    return Path(found) if found else None


def postgres_folders() -> list[Path]:
    """The program folders of Debian's PostgreSQL versions, newest first."""
    folders = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    return sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)


def program(name: str, part_of: str) -> Path:
    """The path of a program; ``part_of`` is the key of ``PACKAGES`` that brings it. Raises MissingProgram."""
    found = find_program(name)
    if found is None:
        raise MissingProgram(f'"{name}" is not installed. ' + missing_text([part_of]))
    return found


def missing_packages() -> list[str]:
    return [name for name in PACKAGES if find_program(name) is None]


def missing_text(names: list[str]) -> str:
    debian = " ".join(PACKAGES[name][0] for name in names)
    homebrew = " ".join(PACKAGES[name][1] for name in names)
    return (
        f"The tests run against real servers, and these programs are missing: {', '.join(names)}.\n"
        f"  Debian, Ubuntu:  sudo apt-get install --no-install-recommends {debian}\n"
        f"  macOS:           brew install {homebrew}\n"
        "  Without them:    .venv/bin/pytest -k sqlite"
    )


def install() -> None:
    """Install what is missing, if we are root and there is apt-get; no service is started, and none is stopped."""
    names = missing_packages()
    if not names or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    packages = [package for name in names if name not in ONE_PROGRAM for package in PACKAGES[name][0].split()]
    print(f"Installing for the tests: {', '.join(PACKAGES[name][0] for name in names)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Another installation may be under way on this machine.
    patient = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    with services_not_started():
        run_quietly([*patient, "update"], environment)
        if packages:
            run_quietly([*patient, "install", "-y", "--no-install-recommends", *packages], environment)
    for name in names:
        if name in ONE_PROGRAM:
            take_one_program(name, environment)


def take_one_program(name: str, environment: dict[str, str]) -> None:
    """Unpack a package and keep one program of it; nothing is configured, so nothing can start."""
    with tempfile.TemporaryDirectory() as folder:
        # apt's own user downloads, and may not write into a folder of root's.
        os.chmod(folder, 0o777)
        run_quietly(["apt-get", "-q", "download", PACKAGES[name][0]], environment, folder)
        (package,) = Path(folder).glob("*.deb")
        run_quietly(["dpkg-deb", "-x", str(package), f"{folder}/unpacked"], environment)
        shutil.copy2(Path(folder) / "unpacked" / ONE_PROGRAM[name], TAKEN_TO / name)


@contextlib.contextmanager
def services_not_started() -> Iterator[None]:
    """Debian starts the services of a new package, unless this file forbids it. A file of the host stays."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def run_quietly(command: list[str], environment: dict[str, str], folder: str | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
