"""A front end that looks rows up by their key, again and again, and keeps how long each answer took.

``Reader`` is the bench's side; ``python -m tests.benchmarks.scale_reader URL HIGHEST_ID`` is the process. It is one of its
own, so that it waits for the database and for nothing of ours. It says ``ready``, reads until its input ends, and says the
percentiles in milliseconds as JSON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from statistics import quantiles
from typing import Self

import psycopg

from tests.system.processes import ROOT

PAUSE_S = 0.005


class Reader:
    """Reads within its ``with``; afterwards ``p50_ms``, ``p99_ms`` and ``queries`` say how that went."""

    def __init__(self, url: str, highest_id: int) -> None:
        self.command = [sys.executable, "-m", "tests.benchmarks.scale_reader", url, str(highest_id)]
        self.p50_ms = self.p99_ms = 0.0
        self.queries = 0

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready", "the reader did not start"
        return self

    def __exit__(self, *_: object) -> None:
        said, _ = self.process.communicate(timeout=60)
        found = json.loads(said)
        self.p50_ms, self.p99_ms, self.queries = found["p50_ms"], found["p99_ms"], found["queries"]


def main(url: str, highest_id: int) -> None:
    ended = threading.Event()
    took: list[float] = []
    drawn = random.Random(7)
    with psycopg.connect(url, autocommit=True) as connection:
        statement = "SELECT status, awaiting_seller_since, escalated_at FROM disputes WHERE id = %s"
        print("ready", flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        while not ended.is_set() or len(took) < 20:
            asked = drawn.randint(1, highest_id)
            begun = time.perf_counter()
            connection.execute(statement, (asked,)).fetchone()
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(PAUSE_S)
    cut = quantiles(took, n=100)
    print(json.dumps({"p50_ms": round(cut[49], 3), "p99_ms": round(cut[98], 3), "queries": len(took)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
