"""Who may ask what, for every request before anything else looks at it."""

import hmac
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "humwatch"
OPEN = {"/healthz", "/login", "/style.css"}  # these tell nothing
PAGES = {"/", "/docs"}
LOCAL = {"localhost", "127.0.0.1", "::1"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """A layer around the application.

    Programs send the token as `Authorization: Bearer TOKEN`. Browsers send a cookie, which follows from the token and is got by
    POST /login; it lets them look (GET), and is worth nothing for a POST, so that no other site's page can use it.

    Parameters
    ----------
    app
        The application.
    token
        Without which nothing is answered; empty for none.
    local
        Whether only this computer is served: then a request for another host's name is one that a foreign page sends by DNS
        rebinding.
    login
        The page that asks for the token.
    """

    def __init__(self, app: ASGIApp, token: str, local: bool, login: str) -> None:
        self.app, self.local, self.login = app, local, login
        self.token = token.encode()
        self.cookie = cookie_of(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                own = ((name.encode(), value.encode()) for name, value in HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in own if pair[0] not in given)]
            await send(message)

        handler = self._refusal(Request(scope)) or self.app
        await handler(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if self.local and _host(request) not in LOCAL:
            return JSONResponse({"detail": "this service answers to localhost only"}, 421)
        if request.method != "GET" and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return JSONResponse({"detail": "another site's page may not send anything here"}, 403)
        path = request.scope["path"]
        if not self.token or path in OPEN or self._has_token(request):
            return None
        if request.method == "GET" and self._has_cookie(request):
            return None
        if path in PAGES:
            return HTMLResponse(self.login, 401, {"WWW-Authenticate": "Bearer"})
        sentence = "a token is needed: send the header Authorization: Bearer TOKEN"
        return JSONResponse({"detail": sentence}, 401, {"WWW-Authenticate": "Bearer"})

    def _has_token(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and is_token(given.strip().encode("latin-1"), self.token)

    def _has_cookie(self, request: Request) -> bool:
        return is_token(request.cookies.get(COOKIE, "").encode(), self.cookie.encode())


def is_token(given: bytes, token: bytes) -> bool:
    """Whether a token is the right one, in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given, token)


def cookie_of(token: str) -> str:
    """What the cookie of a browser that knows the token holds."""
    return hmac.digest(token.encode(), b"the page of humwatch", "sha256").hex()


def _host(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
