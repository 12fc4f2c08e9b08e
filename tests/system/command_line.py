"""The command in a process of its own, as a stranger's shell starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def typed(folder: Path, *words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "returnclock", *words],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
