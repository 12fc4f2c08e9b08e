"""Follows a tutorial to the letter: writes its files and runs its commands.

Of Rails only ActiveRecord is there, as Debian packages it: ``bin/rails runner`` is a stand-in that loads
``config/database.yml`` and ``app/models`` as Rails does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.front_ends.documents import blocks

TUTORIALS = ("django", "node", "rails")
DATABASE = "market"  # the name that they all use

_RAILS = """\
#!/usr/bin/env ruby
require "active_record"
require "yaml"
raise ARGV.inspect unless ARGV.shift == "runner"
ActiveRecord::Base.establish_connection(YAML.load_file("config/database.yml").fetch("development"))
Dir["app/models/*.rb"].sort.each { |model| load model }
load ARGV.first
"""


def environment(database_url: str) -> dict[str, str]:
    """Where the database is, as libpq is told, which all drivers of PostgreSQL understand."""
    parts = urlsplit(database_url)
    place = {"PGHOST": str(parts.hostname), "PGPORT": str(parts.port), "PGUSER": str(parts.username)}
    return {**os.environ, **place, "TZ": "America/New_York", "PIP_NO_COMPILE": "1"}


def follow(name: str, folder: Path, environ: dict[str, str]) -> str:
    """Do what the tutorial says, in a new folder; returns what its last command printed."""
    if name == "rails":
        _write(folder / "bin" / "rails", _RAILS)
        (folder / "bin" / "rails").chmod(0o755)
    said = ""
    for block in blocks(f"tutorials/{name}.md"):
        if block.language == "sh":
            said = _run(block.text, folder, environ)
            continue
        _, file, *how = block.words
        before = (folder / file).read_text() if how == ["append"] else ""
        _write(folder / file, before + block.text)
    return said


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _run(script: str, folder: Path, environ: dict[str, str]) -> str:
    options = {"env": environ, "cwd": folder, "capture_output": True, "text": True, "timeout": 200}
    done = subprocess.run(["sh", "-e"], input=script, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)
