"""HTTP with one server: the address given and no other, within a deadline and a bound.

Nothing of the environment takes part: no proxy, no netrc, no cookie. Redirects are refused.
"""

import asyncio
import os
import queue
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from jobs.cluster.address import is_loopback
from jobs.errors import SubmissionError, one_sentence

T = TypeVar("T")

SECONDS = 30.0
"""Deadline of a request, until the last byte of its answer."""

MOST_BYTES = 16_000_000
"""Longest answer, and longest piece of a stream."""

_PORTS = {"http": 80, "https": 443}
_LONGEST_HOST = 100


class _End(Enum):
    """What follows the last piece of a stream."""

    END = "end"


class AnswerTooLongError(SubmissionError):
    """An answer is longer than `MOST_BYTES`."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server.

    Attributes:
        status: the HTTP status.
        body: its content.
    """

    status: int
    body: bytes


class _Content(TypedDict, total=False):
    """What a request sends beside its path."""

    data: bytes
    json: object
    headers: dict[str, str]


class _Run(Protocol):
    """Runs a coroutine until it is done."""

    def __call__(self, coroutine: Coroutine[object, None, T]) -> T: ...


class Http:
    """Requests to one server, whose name is looked up once.

    Args:
        address: URL without a path.
        name: what answers there, for error messages.
        seconds: deadline of a request; by default `SECONDS`.

    Attributes:
        local: whether the name stands for loopback addresses of this machine and no others.
        headers: sent with every request.

    Raises:
        SubmissionError: the name is unknown. Every request raises it if the server cannot be
            reached, does not answer in time, answers too much, or redirects.
    """

    def __init__(
        self, address: str, *, name: str = "cluster", seconds: float | None = None
    ) -> None:
        self.address = address
        self._name, self._deadline = name, seconds
        self._server = "job server" if name == "cluster" else name
        self.headers: dict[str, str] = {}
        url = urlsplit(address)
        self._places = self._look_up(url.hostname or "", url.port or _PORTS[url.scheme])
        self._tls: ssl.SSLContext | bool = (
            ssl.create_default_context() if url.scheme == "https" else True
        )
        self.local = bool(self._places) and all(
            is_loopback(place["host"]) for place in self._places
        )

    def get(self, path: str) -> Answer:
        """Return the answer to GET."""
        return self._request("GET", path)

    def put(self, path: str, data: bytes) -> Answer:
        """Return the answer to PUT of bytes."""
        return self._request("PUT", path, data=data)

    def post(self, path: str, content: object = None) -> Answer:
        """Return the answer to POST of a JSON value."""
        return self._request("POST", path, json=content)

    def post_text(self, path: str, text: str) -> Answer:
        """Return the answer to POST of a text that is JSON."""
        kind = {"Content-Type": "application/json"}
        return self._request("POST", path, data=text.encode(), headers=kind)

    def stream(self, path: str) -> Iterator[str | Answer | None]:
        """Yield the texts that a WebSocket sends until the server closes it, None after silence.

        The deadline is for the connection; afterwards each silence of its length yields None. A
        server that refuses the connection yields one `Answer`.
        """
        with _event_loop() as run:
            pieces = self._stream(path)
            while True:
                piece = run(_next(pieces))
                if piece is _End.END:
                    return
                yield piece

    def _look_up(self, host: str, port: int) -> list[ResolveResult]:
        """Return the IP addresses of a name; in a thread, as a look-up has no deadline."""
        found: queue.Queue[list[ResolveResult] | OSError] = queue.Queue()

        def look_up() -> None:
            try:
                found.put(_addresses(host, port))
            except OSError as error:
                found.put(error)
            except UnicodeError as error:  # no name of a host
                found.put(OSError(str(error)))

        threading.Thread(target=look_up, daemon=True).start()
        try:
            places = found.get(timeout=self._seconds)
        except queue.Empty:
            raise self._late() from None
        if isinstance(places, OSError):
            raise self._unreachable(places)
        return places

    def _request(self, method: str, path: str, **content: Unpack[_Content]) -> Answer:
        with _event_loop() as run:
            return run(self._answer(method, path, **content))

    async def _answer(self, method: str, path: str, **content: Unpack[_Content]) -> Answer:
        async with (
            self._answering(),
            self._session() as session,
            session.request(method, self.address + path, allow_redirects=False, **content) as got,
        ):
            body = bytearray()
            async for piece in got.content.iter_any():
                body += piece
                if len(body) > MOST_BYTES:
                    raise AnswerTooLongError(
                        f"the server at {self.address} answers with more than "
                        f"{MOST_BYTES / 1e6:g} MB"
                    )
            return Answer(got.status, bytes(body))

    async def _stream(self, path: str) -> AsyncGenerator[str | Answer | None, None]:
        async with self._session() as session:
            try:
                async with self._answering():
                    source = await session.ws_connect(
                        self.address + path, max_msg_size=MOST_BYTES, compress=0
                    )
            except aiohttp.WSServerHandshakeError as error:
                yield Answer(error.status, b"")
                return
            while True:
                try:
                    async with asyncio.timeout(SECONDS):
                        message = await source.receive()
                except TimeoutError:
                    yield None
                    continue
                if message.type is aiohttp.WSMsgType.TEXT:
                    yield message.data
                elif message.type is aiohttp.WSMsgType.CLOSE:
                    return
                else:
                    raise SubmissionError(f"the server at {self.address} broke the connection")

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers={"Accept-Encoding": "identity", **self.headers},
            auto_decompress=False,
            connector=aiohttp.TCPConnector(resolver=_Known(self._places), ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=[self._refuse_redirect],
            timeout=aiohttp.ClientTimeout(),  # `_answering` has the deadline
            trust_env=False,
        )

    async def _refuse_redirect(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        answer = await handler(request)
        if not 300 <= answer.status < 400:
            return answer
        answer.close()
        raise SubmissionError(
            f"the server at {self.address} redirects to {_target(answer)!r}, which is not "
            f"followed: give the address of the {self._server} itself"
        )

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Limit the time of a request, and turn its errors into sentences."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise self._late() from None
        except (SubmissionError, aiohttp.WSServerHandshakeError):
            raise
        except (OSError, ValueError, aiohttp.ClientError) as error:
            raise self._unreachable(error) from None

    def _late(self) -> SubmissionError:
        return SubmissionError(
            f"no {self._name} answers at {self.address} within {self._seconds:g} s"
        )

    def _unreachable(self, error: Exception) -> SubmissionError:
        cause = getattr(error, "os_error", None) or error  # aiohttp's errors carry the socket's
        return SubmissionError(f"no {self._name} answers at {self.address}: {_reason(cause)}")

    @property
    def _seconds(self) -> float:
        return SECONDS if self._deadline is None else self._deadline


class _Known(AbstractResolver):
    """The addresses that were looked up, so that a name cannot change its meaning later."""

    def __init__(self, places: list[ResolveResult]) -> None:
        self._places = places

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return self._places

    async def close(self) -> None:
        pass


def _addresses(host: str, port: int) -> list[ResolveResult]:
    """Return the IP addresses of a name; raises OSError or UnicodeError."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [
        ResolveResult(
            hostname=host, host=str(place[0]), port=port, family=family, proto=protocol, flags=flags
        )
        for family, _, protocol, _, place in places
    ]


async def _next(pieces: AsyncGenerator[T, None]) -> T | _End:
    """Return the next piece, or `_End.END` after the last.

    Called in the event loop, which then closes an abandoned generator.
    """
    return await anext(pieces, _End.END)


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0
    if isinstance(error, ssl.SSLError) or number == 0:
        return one_sentence(error)
    # asyncio words the system's errors in its own way; those of look-ups have negative numbers.
    return os.strerror(number) if number > 0 else str(getattr(error, "strerror", error))


def _target(answer: aiohttp.ClientResponse) -> str:
    """Return the host that a redirect names."""
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return (host or "another path")[:_LONGEST_HOST]


@contextmanager
def _event_loop() -> Iterator[_Run]:
    """Yield a function that runs coroutines until they are done."""
    runner = asyncio.Runner()

    def run(coroutine: Coroutine[object, None, T]) -> T:
        return _outside_loops(lambda: runner.run(coroutine))

    try:
        yield run
    finally:
        _outside_loops(runner.close)


def _outside_loops(work: Callable[[], T]) -> T:
    """Call `work`, in another thread where an event loop already runs, as in notebooks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
