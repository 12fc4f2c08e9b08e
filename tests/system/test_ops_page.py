"""The process of ``returnclock metrics``: who may look, what the ops page shows, and what a real browser makes of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import insert, text, update
from waitress.server import create_server

from returnclock import schema
from returnclock.cli import cli
from returnclock.clock import FrozenClock
from returnclock.database import reading, writing
from returnclock.metrics import Exposition
from returnclock.runs import perform
from returnclock.sample import seed
from returnclock.settings import load
from returnclock.tables.clock import outbox, problems, runs
from returnclock.web import is_loopback
from returnclock.web.app import make_app
from returnclock.wiring import Wiring, wire
from tests.servers import Chromium, Look
from tests.servers.process import free_port, wait_until

TOKEN = "a-token-that-nobody-guesses"
PAGES = ("/", "/late", "/next", "/runs", "/notices", "/problems", "/case/disputes/1")
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    """The sample market after a first round of work: with something late, something dead and something that failed."""
    folder = tmp_path_factory.mktemp("market")
    wiring = wire(load({"DATABASE_URL": f"sqlite:///{folder}/market.db", "RETURNCLOCK_DATA": str(folder)}, folder))
    schema.upgrade(wiring.engine)
    seed(wiring)
    for task in ("stamp", "escalate-disputes", "flag-late-refunds", "deliver-mail"):
        perform(wiring, task, trigger="beat", actor="beat")
    with writing(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        first = connection.execute(text("SELECT min(id) FROM clock_outbox WHERE state = 'sent'")).scalar_one()
        dead = {"state": "dead", "error": f"550 <bea@home.example> unknown {EVIL}", "attempts": 3}
        connection.execute(update(outbox).where(outbox.c.id == first).values(dead))
        failed = {"task": "reconcile", "trigger": "beat", "actor": "beat", "state": "failed"}
        connection.execute(insert(runs).values(failed | {"error": f"Boom: {EVIL}", "started_at": now, "finished_at": now}))
        wrong = {"table_name": "orders", "subject_id": EVIL, "code": "odd", "problem": f"orders {EVIL}: odd"}
        connection.execute(insert(problems).values(wrong | {"first_seen_at": now, "last_seen_at": now}))
    yield wiring.at(FrozenClock(now + timedelta(hours=3)))
    wiring.engine.dispose()


def client_of(wiring: Wiring, token: str | None = None) -> FlaskClient:
    return make_app(wiring, Exposition(wiring), token).test_client()


@pytest.fixture
def page(market: Wiring) -> FlaskClient:
    return client_of(market)


class Words(HTMLParser):
    """What a reader sees, and which elements there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.said))


def read(client: FlaskClient, path: str) -> Words:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return Words(answer.text)


def test_the_page_says_first_that_something_is_late_and_by_how_much(page: FlaskClient) -> None:
    seen = read(page, "/").text
    assert "Late: seller response, return window" in seen
    # A return window ends with a local day: how long ago that was depends on the hour at which the test runs.
    assert re.search(r"The oldest deadline is [12] d", seen), seen[:800]
    assert re.search(r"\b21 due now oldest [12] d", seen), seen[:800]
    assert re.search(r"\b1 notices dead", seen)


def test_each_page_shows_what_it_is_for(page: FlaskClient) -> None:
    assert read(page, "/late").text.count("seller response") == 15
    assert "return window" in read(page, "/next").text
    assert "1 reconcile Boom" in read(page, "/runs").text
    dead = read(page, "/notices").text
    assert "550 <(address)> unknown" in dead
    assert "bea@home.example" not in dead
    assert "Europe/Berln" in read(page, "/problems").text


def test_a_case_is_told_as_a_timeline_in_the_order_of_time(market: Wiring, page: FlaskClient) -> None:
    with reading(market.engine) as connection:
        chosen = "SELECT subject_id FROM clock_deadlines WHERE kind = 'seller_response' AND state ="
        running = (
            connection.execute(text(f"{chosen} 'running' AND remind_at IS NOT NULL ORDER BY due_at DESC")).scalars().first()
        )
        escalated = connection.execute(text(f"{chosen} 'fired'")).scalars().first()
    seen = read(page, f"/case/disputes/{running}").text
    order = [seen.index(word) for word in ("the clock starts", "deadline stamped", "UTC now", "UTC reminder", "UTC due")]
    assert order == sorted(order)
    assert "The day of the event is not counted (EU 1182/71 art. 3(1))." in seen
    told = read(page, f"/case/disputes/{escalated}").text
    assert "dispute escalated" in told
    assert "UTC now" not in told, "nothing is to come"


def test_the_form_finds_a_case_without_javascript(page: FlaskClient) -> None:
    found = page.get("/case?table=disputes&id=1")
    assert (found.status_code, found.location) == (302, "/case/disputes/1")
    assert page.get("/case/disputes/nope").status_code == 404
    assert page.get("/case/buyers/1").status_code == 404


def test_the_chart_adds_up_to_what_falls_due(market: Wiring, page: FlaskClient) -> None:
    with reading(market.engine) as connection:
        now = market.clock.now(connection)
        within = "SELECT count(*) FROM clock_deadlines WHERE state = 'running' AND due_at > :a AND due_at < :b"
        last = (now + timedelta(days=14)).replace(hour=0, minute=0, second=0, microsecond=0)
        form = "%Y-%m-%d %H:%M:%S.%fZ"
        number = connection.execute(text(within), {"a": now.strftime(form), "b": last.strftime(form)}).scalar_one()
    drawn = re.findall(r"<title>\w+ \d+ \w+: (\d+) ", page.get("/next").text)
    assert number > 50
    assert sum(map(int, drawn)) == number


@pytest.mark.parametrize("path", PAGES)
def test_nothing_that_a_row_holds_becomes_markup_and_no_page_runs_a_script(page: FlaskClient, path: str) -> None:
    answer = page.get(path)
    seen = Words(answer.text)
    assert EVIL not in answer.text
    assert {tag for tag, _ in seen.elements}.isdisjoint({"script", "iframe", "object", "embed", "style"})
    for tag, attributes in seen.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_changes_nothing(market: Wiring) -> None:
    client = client_of(market)
    app = client.application
    changing = {rule.rule for rule in app.url_map.iter_rules() if (rule.methods or set()) & {"POST", "PUT", "DELETE", "PATCH"}}
    assert changing == {"/login", "/logout"}
    with reading(market.engine) as connection:
        before = connection.execute(text("SELECT total_changes(), (SELECT count(*) FROM clock_runs)")).one()
    for path in (*PAGES, "/metrics", "/readyz"):
        assert client.get(path).status_code == 200
    with reading(market.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM clock_runs")).scalar_one() == before[1]


# Who may look


def test_without_a_token_only_names_of_this_machine_are_answered(page: FlaskClient) -> None:
    for host in ("localhost:9464", "127.0.0.1", "[::1]:9464"):
        assert page.get("/", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example:9464", "ops.shop.example"):
        for path in ("/", "/metrics", "/case/disputes/1"):
            assert page.get(path, headers={"Host": host}).status_code == 403
        assert page.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "/metrics"])
@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "returnclock_ops=ops"},
    ],
    ids=["nothing", "empty", "wrong", "another scheme", "a cookie made up"],
)
def test_with_a_token_nothing_is_shown_to_who_does_not_have_it(market: Wiring, path: str, shown: Mapping[str, str]) -> None:
    client = client_of(market, TOKEN)
    answer = client.get(f"{path}?token={TOKEN}", headers=dict(shown))
    assert answer.status_code == (401 if path == "/metrics" else 302)
    assert "seller" not in answer.text


def test_with_the_token_prometheus_and_people_come_in(market: Wiring) -> None:
    client = client_of(market, TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}", "Host": "ops.shop.example"}
    assert b"returnclock_up 1.0" in client.get("/metrics", headers=bearer).data
    assert (
        client.get("/healthz").status_code == client.get("/readyz").status_code == client.get("/style.css").status_code == 200
    )

    assert client.get("/").location == "/login"
    assert client.post("/login", data={"token": "wrong"}).status_code == 403
    signed_in = client.post("/login", data={"token": TOKEN})
    assert signed_in.status_code == 303
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert client_of(market, TOKEN + "-new").get("/", headers={"Cookie": cookie.partition(";")[0]}).status_code == 302
    client.post("/logout")
    assert client.get("/").status_code == 302


def test_only_the_loopback_counts_as_this_machine() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "db"))


# The database is away


def test_a_database_that_is_away_is_a_metric_and_a_calm_page(tmp_path: Path) -> None:
    wiring = wire(load({"DATABASE_URL": "postgresql://nobody:hunter2@127.0.0.1:1/market"}, tmp_path))
    client = client_of(wiring)
    told = client.get("/metrics")
    assert (told.status_code, "returnclock_up 0.0" in told.text) == (200, True)
    assert 'returnclock_scrape_success{part="tasks"} 0.0' in told.text
    for path in ("/readyz", "/", "/case/disputes/1"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "cannot be reached" in answer.text
        assert "hunter2" not in answer.text
    assert client.get("/healthz").status_code == 200


def test_a_database_that_was_never_upgraded_is_not_ready_and_says_what_to_do(tmp_path: Path) -> None:
    client = client_of(wire(load({}, tmp_path)))
    answer = client.get("/readyz")
    assert (answer.status_code, 'Run "returnclock db upgrade" first.' in answer.text) == (503, True)
    assert client.get("/metrics").status_code == 200
    assert client.get("/").status_code == 503


# The command


def typed(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str, **environ: str) -> Result:
    monkeypatch.chdir(folder)
    return CliRunner(env=environ).invoke(cli, words)


@pytest.mark.parametrize(
    ("words", "environ"),
    [(("--host", "0.0.0.0"), {}), ((), {"RETURNCLOCK_METRICS_LISTEN": "[::]:9464"})],
    ids=["option", "setting"],
)
def test_another_address_than_the_loopback_is_refused_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str]
) -> None:
    answer = typed(tmp_path, monkeypatch, "metrics", *words, **environ)
    assert answer.exit_code == 4
    assert "no token is set" in answer.stderr


def test_a_token_that_could_be_guessed_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = typed(tmp_path, monkeypatch, "metrics", RETURNCLOCK_METRICS_TOKEN="hunter2")
    assert (short.exit_code, "hunter2" in short.output) == (2, False)


def test_once_prints_the_metrics_and_ends(market: Wiring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = market.engine.url.render_as_string(hide_password=False)
    printed = typed(tmp_path, monkeypatch, "metrics", "--once", DATABASE_URL=url)
    assert printed.exit_code == 0
    assert "\nreturnclock_up 1.0\n" in printed.stdout
    as_json = json.loads(typed(tmp_path, monkeypatch, "metrics", "--once", "--json", DATABASE_URL=url).stdout)
    assert {"name": "returnclock_up", "labels": {}, "value": 1.0} in as_json
    assert typed(tmp_path, monkeypatch, "metrics", "--json").exit_code == 2


def test_the_real_process_takes_its_token_from_a_file_and_writes_it_nowhere(market: Wiring, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    port = free_port()
    environ = {
        "DATABASE_URL": market.engine.url.render_as_string(hide_password=False),
        "RETURNCLOCK_METRICS_TOKEN_FILE": str(tmp_path / "token"),
    }
    command = [sys.executable, "-m", "returnclock", "metrics", "--host", "0.0.0.0", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def asked(path: str, **headers: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, ""

    def answers() -> bool:
        with suppress(OSError):
            return asked("/healthz") == (200, "ok\n")
        return False

    try:
        wait_until(answers, 30)
        assert asked("/metrics")[0] == 401
        assert "returnclock_up 1.0" in asked("/metrics", Authorization=f"Bearer {TOKEN}")[1]
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=15)[0]
    assert TOKEN not in said
    assert "asks for the token" in said


# A real browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as started:
        yield started


@contextmanager
def served(market: Wiring, token: str | None = None) -> Iterator[str]:
    """The address of the app behind waitress, in this process."""
    server = create_server(make_app(market, Exposition(market), token), host="127.0.0.1", port=0)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


def test_every_page_fits_a_desk_and_a_phone_in_a_real_browser(market: Wiring, browser: Chromium) -> None:
    with served(market) as here:
        for path in PAGES:
            for width in (1200, 390) if path == "/" or "SCREENSHOTS" in os.environ else (390,):
                seen = browser.look(f"{here}{path}", width=width)
                assert seen.width <= width, f"{path} needs {seen.width} pixels of {width}"
                assert seen.complaints == [], path
                assert "returnclock" in seen.text
                _keep(seen, path, width)
        assert "alert(1)" in browser.look(f"{here}/problems", width=390).text, "it is shown as text"


def _keep(seen: Look, path: str, width: int) -> None:
    """For whoever wants to see what the browser saw: SCREENSHOTS=folder pytest …"""
    if folder := os.environ.get("SCREENSHOTS"):
        name = path.strip("/").replace("/", "-") or "overview"
        Path(folder, f"{name}-{width}.png").write_bytes(seen.picture)


def test_a_person_signs_in_with_the_form_in_a_real_browser(market: Wiring, browser: Chromium) -> None:
    with served(market, TOKEN) as here:
        assert "The token of the ops page" in browser.look(here, width=1200).text
        typed_in = f"document.getElementById('token').value = '{TOKEN}'; document.querySelector('form').submit()"
        seen = browser.look(here, width=1200, then=typed_in)
        assert "The next 14 days" in seen.text
        assert "Sign out" in seen.text
