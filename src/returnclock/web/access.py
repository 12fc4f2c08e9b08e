"""Who may look: with a token whoever shows it, without one whoever is on this machine. Imports nothing of ours.

The token travels in a header or in the body of a form, never in an address, which every proxy and browser writes down.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest, digest

from flask import Flask, Request, Response, redirect, request, url_for
from itsdangerous import BadSignature, TimestampSigner

COOKIE = "returnclock_ops"
COOKIE_LASTS_S = 12 * 3600
OPEN_ENDPOINTS = {"healthz", "readyz", "style", "login", "logout"}
HERE = {"localhost", "127.0.0.1", "[::1]"}


class Gate:
    """Lets in who may look; ``token`` None lets in whoever speaks to this machine by one of its own names."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        # Whoever holds the token could make the cookie anyway; a new token makes every cookie worthless.
        self._signer = TimestampSigner(digest((token or "").encode(), b"returnclock ops page", sha256))

    def guard(self, app: Flask) -> None:
        """Stand before every request of the app."""
        app.before_request(self.turned_away)

    def turned_away(self) -> Response | tuple[str, int, dict[str, str]] | None:
        """The answer to one who may not look; None lets it pass."""
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        if self.token is None:
            # A page of another site can make a browser on this machine ask for us, but not under our own name.
            here = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdecimal() else request.host
            if here in HERE:
                return None
            return "No token is set, so this answers to localhost alone. Set [metrics] token.\n", 403, {}
        if self._shows_token(request) or self._shows_cookie(request):
            return None
        if request.endpoint == "metrics":
            return "Show the token: Authorization: Bearer …\n", 401, {"WWW-Authenticate": "Bearer"}
        return redirect(url_for("login"))  # type: ignore[return-value]

    def matches(self, shown: str) -> bool:
        """Whether this is the token; takes as long for a wrong one, whatever is wrong with it."""
        return self.token is not None and compare_digest(shown.strip().encode(), self.token.encode())

    def remember(self, response: Response) -> Response:
        """Give the browser a cookie that stands for the token."""
        response.set_cookie(
            COOKIE,
            self._signer.sign(b"ops").decode(),
            max_age=COOKIE_LASTS_S,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return response

    def _shows_token(self, asked: Request) -> bool:
        scheme, _, shown = asked.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.matches(shown)

    def _shows_cookie(self, asked: Request) -> bool:
        try:
            self._signer.unsign(asked.cookies.get(COOKIE, ""), max_age=COOKIE_LASTS_S)
        except BadSignature:
            return False
        return True
