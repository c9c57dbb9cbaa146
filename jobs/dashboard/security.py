"""Who may read the page: loopback without a token, others with one; and what the page may do."""

import hmac
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

ASK = "open the address that mupc dashboard printed: it has a token"
COOKIE = "mupc_dashboard"
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(nonce: str | None = None) -> str:
    """Return the content security policy; a style element with the nonce may have rules."""
    return POLICY.format(nonce="" if nonce is None else f" 'nonce-{nonce}'")


@dataclass(frozen=True)
class Guard:
    """The rules of access.

    Attributes:
        token: what a request must have; None where every user of this machine may read.
        local: whether the server listens on loopback only: then a request must name loopback as
            its host, so that no web page elsewhere reads the ledger by a name of its own that
            resolves to this machine.
    """

    token: str | None = field(repr=False)
    local: bool

    def host_fits(self, host: str | None) -> bool:
        """Return whether the host that a request names is this machine."""
        if not self.local:
            return True  # the token, which a browser keeps for one host alone, decides
        try:
            name = urlsplit(f"//{host or ''}").hostname
        except ValueError:
            return False
        return name in LOCAL_NAMES

    def knows(self, request: web.Request) -> bool:
        """Return whether a request has the token, in its header or in the cookie."""
        if self.token is None:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.cookies.get(COOKIE, "")
        return self.equals(given)

    def equals(self, given: str) -> bool:
        """Return whether a text is the token, in a time that does not tell how much of it is."""
        expected = (self.token or "").encode()
        return self.token is not None and hmac.compare_digest(given.encode(), expected)

    def middleware(self) -> Middleware:
        """Return what every request passes."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.host_fits(request.headers.get("Host")):
                answer: web.StreamResponse = _refused(421, "this host is not served here")
            elif request.method not in ("GET", "HEAD"):
                answer = _refused(405, "the dashboard is read-only")
            elif request.path == "/" and "token" in request.query and self.token is not None:
                answer = self._welcome(request)
            elif not self.knows(request):
                answer = _refused(401, ASK)
            else:
                try:
                    answer = await handler(request)
                except web.HTTPException as error:
                    answer = _refused(error.status, error.reason)
            answer.headers.update(HEADERS)
            answer.headers.setdefault("Content-Security-Policy", policy())
            answer.headers.setdefault("Cache-Control", "no-store")
            return answer

        return guarded

    def _welcome(self, request: web.Request) -> web.StreamResponse:
        """Turn the token of an address into a cookie, so that it stays in no history."""
        if not self.equals(request.query["token"]):
            return _refused(401, f"the token is wrong: {ASK}")
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            COOKIE, request.query["token"], httponly=True, samesite="Strict", path="/"
        )
        return answer


def is_local(host: str) -> bool:
    """Return whether an address to listen on is loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=f"{reason}\n", content_type="text/plain")
