"""The Flask app: which address shows what. Imports access, pages and the chart."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from flask import Flask, Response, redirect, render_template, request, url_for
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError

from returnclock import __version__
from returnclock.errors import DatabaseUnreachable, NotFound
from returnclock.localtime import instant, span
from returnclock.metrics import Exposition
from returnclock.telemetry import masked
from returnclock.web.access import COOKIE, Gate
from returnclock.web.pages import Pages
from returnclock.wiring import Wiring

_log = logging.getLogger(__name__)
_HEADERS = {
    # No script at all, no style and no picture but ours, and nobody may frame the page.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_app(wiring: Wiring, exposition: Exposition, token: str | None) -> Flask:
    """The app of one deployment; ``token`` None leaves it open to this machine."""
    app = Flask("returnclock.web", template_folder="templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 4096  # the form of the token is all that is ever sent
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"instant": _instant, "span": span, "masked": masked, "words": _words, "ago": _ago}
    app.jinja_env.globals |= {"version": __version__, "has_token": token is not None}
    gate = Gate(token)
    gate.guard(app)
    app.after_request(_with_headers)
    _add_machine_routes(app, exposition)
    _add_login(app, gate)
    _add_pages(app, Pages(wiring))
    _add_errors(app)
    return app


def _with_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _add_machine_routes(app: Flask, exposition: Exposition) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    @app.get("/healthz")
    def healthz() -> Response:
        """The process lives; says nothing of the database, or its outage would have this restarted in vain."""
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        reason = exposition.unready()
        return Response(f"{reason or 'ok'}\n", status=503 if reason else 200, mimetype="text/plain")

    @app.get("/style.css")
    def style() -> Response:
        response = Response(render_template("style.css"), mimetype="text/css")
        response.headers["Cache-Control"] = "max-age=3600"
        return response


def _add_login(app: Flask, gate: Gate) -> None:
    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        if gate.token is None:
            return redirect(url_for("overview"))
        if request.method == "POST":
            if gate.matches(request.form.get("token", "")):
                return gate.remember(redirect(url_for("overview"), 303))  # type: ignore[arg-type]
            _log.warning("ops page: a wrong token was shown from %s", request.remote_addr)
            return render_template("login.html", wrong=True), 403
        return render_template("login.html", wrong=False)

    @app.post("/logout")
    def logout() -> Any:
        response = redirect(url_for("login"), 303)
        response.delete_cookie(COOKIE)
        return response


def _add_pages(app: Flask, pages: Pages) -> None:
    @app.get("/")
    def overview() -> str:
        return render_template("overview.html", refresh=30, **pages.overview())

    @app.get("/late")
    def late() -> str:
        return render_template("deadlines.html", refresh=30, title="Late", **pages.late())

    @app.get("/next")
    def coming() -> str:
        return render_template("deadlines.html", refresh=60, title="Next", **pages.coming())

    @app.get("/runs")
    def runs() -> str:
        return render_template("runs.html", refresh=30, title="Runs", **pages.runs())

    @app.get("/notices")
    def notices() -> str:
        return render_template("notices.html", title="Notices", **pages.notices())

    @app.get("/problems")
    def problems() -> str:
        return render_template("problems.html", title="Problems", **pages.problems())

    @app.get("/case")
    def find_case() -> Any:
        table, identity = request.args.get("table", ""), request.args.get("id", "").strip()
        if not table or not identity:
            return redirect(url_for("overview"))
        return redirect(url_for("case", table=table, identity=identity))

    @app.get("/case/<table>/<path:identity>")
    def case(table: str, identity: str) -> str:
        return render_template("case.html", title=f"{table} {identity}", **pages.case(table, identity))


def _add_errors(app: Flask) -> None:
    def away(fault: Exception) -> tuple[str, int]:
        _log.warning("ops page: %s", masked(str(fault)))
        reason = masked(str(fault)) if isinstance(fault, DatabaseUnreachable) else "The database did not answer in time."
        return render_template("trouble.html", title="The database is away", reason=reason, refresh=10), 503

    @app.errorhandler(NotFound)
    def not_found(fault: NotFound) -> tuple[str, int]:
        return render_template("trouble.html", title="Not found", reason=str(fault)), 404

    @app.errorhandler(404)
    def no_page(_fault: Exception) -> tuple[str, int]:
        return render_template("trouble.html", title="Not found", reason="There is no such page."), 404

    app.register_error_handler(DatabaseUnreachable, away)
    app.register_error_handler(SQLAlchemyError, away)


def _instant(moment: datetime | None) -> str:
    """An instant that no line breaks apart."""
    return instant(moment).replace(" ", "\u00a0")


def _words(name: str) -> str:
    """``seller_response`` as people read it."""
    return name.replace("_", " ")


def _ago(moment: Any, now: Any) -> str:
    return f"{span(max(0.0, (now - moment).total_seconds()))} ago" if moment else "never"
