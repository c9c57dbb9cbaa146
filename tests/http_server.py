"""An HTTP server in a thread, whose answers a test writes itself."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """A running server.

    Attributes:
        port: its port on 127.0.0.1.
        seen: the requests that it received: method and path, headers, body.
    """

    port: int = 0
    seen: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authorised(self) -> list[str]:
        """The requests that came with a token."""
        return [what for what, headers, _ in self.seen if "Authorization" in headers]


class Handler(BaseHTTPRequestHandler):
    """One request; `write` and `send_json` answer it."""

    protocol_version = "HTTP/1.1"

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.wfile.write(data)
        self.wfile.flush()

    def send_json(self, content: object, status: int = 200) -> None:
        """Send a whole answer."""
        self.send_whole(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def send_whole(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def http_server(
    answer: Callable[[Handler, str], None],
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    """Start a server.

    Args:
        answer: answers a request, given as "GET /path".
        host: the IP address to listen on.
        tls: the certificate, for https.
    """
    found = Server()

    class Recording(Handler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = f"{self.command} {self.path}"
            found.seen.append((what, dict(self.headers), body))
            try:
                answer(self, what)
            except OSError:  # the client has gone
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_CONNECT = respond  # noqa: N815

    class Threads(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # a client that has gone

    with Threads((host, 0), Recording) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        found.port = server.server_port
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def job_server(mode: str = "disabled", jobs: object = ()) -> Callable[[Handler, str], None]:
    """Return the answers of a job server: its mode of authentication, its jobs, its packages."""

    def answer(handler: Handler, what: str) -> None:
        if what.endswith("/api/authentication_mode"):
            handler.send_json({"authentication_mode": mode})
        elif what == "GET /api/jobs/":
            handler.send_json(list(jobs) if isinstance(jobs, tuple) else jobs)
        elif what.startswith("GET /api/packages/"):
            handler.send_json("unknown", 404)
        else:
            handler.send_json({})

    return answer
