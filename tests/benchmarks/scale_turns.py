"""What is measured in a market of millions, and beside it in one of thousands. Each checks that the work was really done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from returnclock.runs import perform
from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.scale_market import Market, let_fall_due
from tests.benchmarks.scale_reader import Reader
from tests.benchmarks.workload import WrongOutcome
from tests.servers.process import wait_until
from tests.system.crowded_market import wired
from tests.system.deployment import Deployment

SWEEPS = ("escalate-disputes", "expire-return-windows", "flag-late-refunds")
FIRED = "SELECT count(*) FROM clock_deadlines WHERE state = 'fired' AND fired_at >= %(since)s"
DUE = "SELECT EXISTS (SELECT FROM clock_deadlines WHERE kind = %(kind)s AND state = 'running' AND due_at <= now())"
# Sweeps alone: whoever measures a drain does not want the mail of its notices in the figure, nor the operator in the mail.
SWEEPS_ONLY = {f"RETURNCLOCK_TICKS_{name}": "30 days" for name in ("STAMP", "DELIVER", "RECONCILE", "PURGE", "REMIND")}
SWEEPS_ONLY["RETURNCLOCK_RETENTION_SETTLED"] = "3000 days"  # a worker purges once when it starts: that is measured by itself
DRAIN_S, START_S = 900.0, 300.0
TICK_S = 2.0  # ticks.sweep, as it comes


def idle_ticks(markets: dict[str, Market], folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a tick with nothing due, recorded as a worker records it: task -> market -> median; turn by turn."""
    wirings = {name: wired(market.url, folder) for name, market in markets.items()}
    took: dict[str, dict[str, list[float]]] = {task: {name: [] for name in markets} for task in SWEEPS}
    for number in range(turns + 10):
        for task in SWEEPS:
            for name, wiring in wirings.items():
                begun = time.perf_counter()
                done = perform(wiring, task, trigger="beat", actor="beat")
                spent = time.perf_counter() - begun
                if done["examined"]:
                    raise WrongOutcome(f"{task} found {done['examined']} deadlines where none is due")
                if number >= 10:
                    took[task][name].append(spent * 1000)
    for wiring in wirings.values():
        wiring.engine.dispose()
    return {task: {name: round(median(of), 3) for name, of in each.items()} for task, each in took.items()}


@contextmanager
def deployed(market: Market, folder: Path, redis_url: str) -> Iterator[Deployment]:
    """A worker of two processes and beat, which have ticked before; the ticks that only the start sends are over."""
    folder.mkdir(parents=True)
    deployment = Deployment(folder, market.url, REDIS_URL=redis_url, **SWEEPS_ONLY)
    before = market.one("SELECT coalesce(max(id), 0) FROM clock_runs")
    with deployment.running():
        quiet = "SELECT count(*) FROM clock_runs WHERE id > %(before)s AND task = 'reconcile' AND state <> 'running'"
        wait_until(lambda: market.one(quiet, before=before) > 0, START_S)
        yield deployment


def drain(market: Market, folder: Path, redis_url: str, due: int, quiet_s: float) -> dict[str, Any]:
    """Let so many fall due at once beside two running processes; a front end reads before and meanwhile."""
    with ExitStack() as stack:
        deployment = stack.enter_context(deployed(market, folder, redis_url))
        highest = max(1, market.running * 3 // 10)
        with Reader(plain_postgres_url(market.url), highest) as before:
            time.sleep(quiet_s)
        sizes = _sizes(market)
        let_fall_due(market, due)
        since = market.one("SELECT clock_timestamp()")
        with Reader(plain_postgres_url(market.url), highest) as during:
            _await_drained(market, deployment)
        peak = max(_peaks_mb(folder), default=0.0)
        time.sleep(min(quiet_s, 5))
        return _told(market, due, since) | {
            "front_end_ms": {
                "quiet": {"p50": before.p50_ms, "p99": before.p99_ms, "queries": before.queries},
                "drain": {"p50": during.p50_ms, "p99": during.p99_ms, "queries": during.queries},
            },
            "worker_mb": round(peak, 1),
            "sizes_before": sizes,
        }


def _await_drained(market: Market, deployment: Deployment) -> None:
    end = time.monotonic() + DRAIN_S
    while any(market.one(DUE, kind=kind) for kind in ("seller_response", "return_window")):
        if time.monotonic() > end:
            raise WrongOutcome(f"not drained in {DRAIN_S:g} s. {deployment.logs()}")
        time.sleep(0.5)  # it reads through what has fired: not often


def _told(market: Market, due: int, since: Any) -> dict[str, Any]:
    found = market.one(FIRED, since=since)
    if found != due:
        raise WrongOutcome(f"{found} of {due} fired")
    notices = market.one("SELECT count(*) FROM clock_outbox WHERE queued_at >= %(since)s", since=since)
    events = market.one("SELECT count(*) FROM clock_events WHERE at >= %(since)s AND event <> 'deadline:stamped'", since=since)
    expected = (due, due - due // 2 + due)  # two notices for a dispute, one for a window
    if (events, notices) != expected:
        raise WrongOutcome(f"{events} events and {notices} notices, not {expected}")
    seconds = float(
        market.one(
            "SELECT extract(epoch FROM max(fired_at) - %(since)s) FROM clock_deadlines WHERE fired_at >= %(since)s", since=since
        )
    )
    worked = "FROM clock_runs WHERE started_at >= %(since)s AND state = 'succeeded' AND NOT idle"
    busy = float(market.one(f"SELECT sum((result->>'seconds')::float) {worked}", since=since))
    with market.connection() as connection:
        by_second = connection.execute(
            b"SELECT floor(extract(epoch FROM fired_at - %(since)s))::int, count(*) FROM clock_deadlines"
            b" WHERE fired_at >= %(since)s GROUP BY 1 ORDER BY 1",
            {"since": since},
        ).fetchall()
    after = "SELECT count(*) FROM clock_runs WHERE started_at > (SELECT max(fired_at) FROM clock_deadlines)"
    return {
        "deadlines": due,
        "seconds": round(seconds, 2),
        "rows_per_second": round(due / max(seconds, 0.001), 1),
        "processes_busy": round(busy / max(seconds, 0.001), 2),
        "runs_that_worked": market.one(f"SELECT count(*) {worked}", since=since),
        "idle_ticks_afterwards": market.one(f"{after} AND idle"),
        "fired_by_second": {str(second): number for second, number in by_second},
    }


def _peaks_mb(folder: Path) -> Iterator[float]:
    """The peak of memory (VmHWM) of the worker's processes: the children of the one whose working directory this is."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            here = (status.parent / "cwd").readlink() == folder and "worker" in (status.parent / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        if here:
            parents[int(said["Pid"])] = (int(said["PPid"]), int(said["VmHWM"].split()[0]) / 1024)
    return (peak for parent, peak in parents.values() if parent in parents)


def churn(market: Market, folder: Path, rounds: int, rows: int) -> dict[str, Any]:
    """What every day does, a few times over with fewer rows: so many fire, and as many of the oldest settled are purged."""
    wiring = wired(market.url, folder)
    archived = "SELECT count(*) FROM clock_archive WHERE table_name = 'clock_deadlines'"
    before = market.one(archived)
    purging: list[tuple[int, float]] = []
    sweeping = 0.0
    with Reader(plain_postgres_url(market.url), max(1, market.running * 3 // 10)) as reader:
        for _ in range(rounds):
            let_fall_due(market, rows)
            begun = time.perf_counter()
            for task in ("escalate-disputes", "expire-return-windows"):
                perform(wiring, task, trigger="cli", actor="clock")
            sweeping += time.perf_counter() - begun
            begun = time.perf_counter()
            done = perform(wiring, "purge", trigger="cli", actor="clock", limit=rows)
            moved = sum(of["changed"] for kind, of in done["by_kind"].items() if kind != "runs")
            purging.append((moved, time.perf_counter() - begun))
    wiring.engine.dispose()
    moved, took = sum(one for one, _ in purging), sum(one for _, one in purging)
    found = market.one(archived) - before
    if not moved or found != moved:
        raise WrongOutcome(f"purge says it moved {moved} deadlines, and {found} are in the archive")
    return {
        "rounds": rounds,
        "fired_in_each": rows,
        "purged": moved,
        "purged_rows": market.one("SELECT count(*) FROM clock_archive"),
        "purged_per_second": round(moved / took, 1),
        "fired_per_second": round(rounds * rows / sweeping, 1),
        "front_end_ms": {"p50": reader.p50_ms, "p99": reader.p99_ms, "queries": reader.queries},
        "sizes_after": _sizes(market),
    }


def _sizes(market: Market) -> dict[str, dict[str, float]]:
    """Megabytes of each hot table and of its indexes, and the share of its rows that are dead; after statistics are in."""
    query = (
        "SELECT relname, pg_table_size(relid) / 1e6, pg_indexes_size(relid) / 1e6, n_dead_tup, n_live_tup"
        " FROM pg_stat_user_tables WHERE relname IN ('clock_deadlines', 'clock_outbox', 'clock_events', 'clock_runs')"
    )
    with market.connection() as connection:
        return {
            name: {
                "table_mb": round(float(table), 1),
                "indexes_mb": round(float(indexes), 1),
                "dead": round(dead / max(dead + live, 1), 4),
            }
            for name, table, indexes, dead, live in connection.execute(query.encode())
        }


def support(market: Market, folder: Path) -> dict[str, float]:
    """Seconds of what is not a sweep and reads widely: audit, reminders and reconcile."""
    wiring = wired(market.url, folder)
    took = {}
    for task in ("audit", "send-reminders", "reconcile"):
        begun = time.perf_counter()
        perform(wiring, task, trigger="cli", actor="clock")
        took[task] = round(time.perf_counter() - begun, 3)
    wiring.engine.dispose()
    return took


def lateness(market: Market, folder: Path, redis_url: str, a_second: int, seconds: int) -> dict[str, Any]:
    """So many deadlines due in each second, beside a running worker and beat: fire minus due, in seconds."""
    with deployed(market, folder, redis_url):
        kept_before = market.one("SELECT coalesce(sum(number), 0) FROM clock_lateness")
        begun = market.one("SELECT clock_timestamp()")
        let_fall_due(market, a_second * seconds, from_s=5, over_s=seconds)
        time.sleep(seconds)
        try:
            total = a_second * seconds
            wait_until(lambda: market.one(FIRED, since=begun) == total, 120)
        except TimeoutError:
            raise WrongOutcome(f"{market.one(FIRED, since=begun)} of {total} fired") from None
        late = "extract(epoch FROM fired_at - due_at)"
        percentiles = f"percentile_cont(ARRAY[0, 0.5, 0.99, 1]) WITHIN GROUP (ORDER BY {late})"
        early, p50, p99, most = market.one(
            f"SELECT {percentiles} FROM clock_deadlines WHERE fired_at >= %(since)s", since=begun
        )
        kept = market.one("SELECT sum(number) FROM clock_lateness") - kept_before
    if early < 0 or kept != total:
        raise WrongOutcome(f"the earliest fired {early} s after it was due, and {kept} of {total} are in the histogram")
    told = {name: round(float(value), 3) for name, value in (("p50", p50), ("p99", p99), ("max", most))}
    return {"a_second": a_second, "seconds": seconds, "tick_s": TICK_S, **told}
