"""Whatever stands between the address and the one who answers: proxies, redirects, other hosts, and
servers that answer late, without end or with nonsense."""

import asyncio
import datetime
import gzip
import ipaddress
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import called, write_spec
from http_server import Handler, Server, http_server, job_server
from hypothesis import given
from hypothesis import strategies as st

import jobs
from jobs import SubmissionError, TokenError
from jobs.cluster import http, package, submit, tokens

TOKEN = "S3CR3T" * 8
Attack = Callable[[Handler], None]

JOB: dict[str, Any] = {
    "submission_id": "tiny-1",
    "status": "RUNNING",
    "metadata": {"mupc_experiment": "tiny", "mupc_ledger": "s3://bucket/runs"},
    "start_time": 1_700_000_000_000,
    "message": "runs",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a home folder with a token that others cannot read; returns its file.

    One small package stands for the code.
    """
    monkeypatch.setattr(package, "PACKAGES", ("mupc",))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tokens.TOKEN, tokens.TOKEN_PATH, tokens.MODE):
        monkeypatch.delenv(name, raising=False)
    path = tokens.DEFAULT_PATH.expanduser()
    path.parent.mkdir()
    path.touch(0o600)
    path.write_text(TOKEN)
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the deadline and the bound."""
    monkeypatch.setattr(http, "SECONDS", 0.25)
    monkeypatch.setattr(http, "MOST_BYTES", 100_000)


def resolve(monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> list[str]:
    """Give names other addresses; returns the list of look-ups, which grows."""
    asked: list[str] = []
    ask = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        asked.append(str(host))
        places = names.get(str(host).replace(".", "_"), [host])
        return [place for ip in places for place in ask(ip, port, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


# Proxies and other settings of the environment


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_no_proxy_gets_token_code_or_job(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(job_server("token")) as proxy, http_server(job_server(mode)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
            monkeypatch.setenv(name, proxy.address)
            monkeypatch.setenv(name.upper(), proxy.address)
        monkeypatch.setenv("no_proxy", "")
        jobs.submit(write_spec(tmp_path), server.address)
        assert [what for what, _, _ in server.seen][-1] == "POST /api/jobs/"
        assert proxy.seen == []


def test_netrc_and_cookies_take_no_part(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password S3CR3T\n")

    def answer(handler: Handler, what: str) -> None:
        content = {"authentication_mode": "disabled"} if "mode" in what else []
        handler.send_whole(200, {"Set-Cookie": "a=b; Path=/"}, json.dumps(content).encode())

    with http_server(answer) as server:
        jobs.list_jobs(server.address)
        assert len(server.seen) == 2
        assert not any({"Authorization", "Cookie"} & set(headers) for _, headers, _ in server.seen)


# Redirects


@pytest.mark.parametrize(
    ("status", "redirected"),
    [
        *((status, "GET /api/authentication_mode") for status in (300, 301, 302, 303, 307, 308)),
        (307, "GET /api/jobs/"),
        (307, "GET /api/packages/"),
        (307, "PUT /api/packages/"),
        (308, "POST /api/jobs/"),
    ],
)
def test_redirect_is_refused(status: int, redirected: str, tmp_path: Path) -> None:
    usual = job_server("token")
    with http_server(job_server("token")) as other:

        def answer(handler: Handler, what: str) -> None:
            if what.startswith(redirected):
                place = other.address.replace("127.0.0.1", "localhost")
                handler.send_whole(status, {"Location": place + handler.path})
            else:
                usual(handler, what)

        with http_server(answer) as server:
            with pytest.raises(SubmissionError, match="redirects to 'localhost'"):
                jobs.submit(write_spec(tmp_path), server.address)
            assert server.seen[-1][0].startswith(redirected)
            assert other.seen == []


def test_redirect_of_stop_and_logs_is_refused() -> None:
    with http_server(job_server("token")) as other:

        def answer(handler: Handler, what: str) -> None:
            if "authentication_mode" in what:
                handler.send_json({"authentication_mode": "token"})
            elif what == "GET /api/jobs/tiny-1":
                handler.send_json(JOB)
            else:
                handler.send_whole(307, {"Location": other.address + handler.path})

        with http_server(answer) as server:
            for ask in (jobs.stop, jobs.logs, lambda *job: list(jobs.follow(*job))):
                with pytest.raises(SubmissionError, match=r"redirects to '127\.0\.0\.1'"):
                    ask("tiny-1", server.address)
        assert other.seen == []


@pytest.mark.parametrize("place", ["/elsewhere", "", "http://[::1", "//" + "x" * 5000, "\x1b[31m"])
def test_redirect_to_anywhere_is_one_sentence(place: str) -> None:
    with (
        http_server(lambda h, _: h.send_whole(307, {"Location": place})) as server,
        pytest.raises(SubmissionError, match="redirects to") as error,
    ):
        jobs.list_jobs(server.address)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


# The token


def test_token_is_sent_only_after_it_is_demanded() -> None:
    with http_server(job_server("token")) as server:
        jobs.list_jobs(server.address)
        assert server.authorised == ["GET /api/jobs/"]
        assert server.seen[-1][1]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("permissions", [0o600, 0o644])
@pytest.mark.parametrize("mode", ["disabled", "TOKEN", "", "k8s"])
def test_server_that_demands_no_token_gets_none(
    mode: str, permissions: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tokens.MODE, "token")  # with which Ray's own client sends one
    home.chmod(permissions)
    with http_server(job_server(mode)) as server:
        jobs.submit(write_spec(tmp_path), server.address)
        assert len(server.seen) == 5
        assert server.authorised == []
        assert not any(TOKEN in repr(request) for request in server.seen)


@pytest.mark.parametrize("token", ["a\nX-Other: b", "a\r\n\r\nGET /", "é", "x" * 5000])
def test_token_cannot_become_another_header(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tokens.TOKEN, token)
    with (
        http_server(job_server("token")) as server,
        pytest.raises(TokenError, match="the variable RAY_AUTH_TOKEN holds no token"),
    ):
        jobs.list_jobs(server.address)


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_http_to_another_machine_is_refused_before_any_request(mode: str) -> None:
    with http_server(job_server(mode), "0.0.0.0") as server:
        # Linux connects 0.0.0.0 to this machine, but it is no loopback address.
        with pytest.raises(TokenError, match=r"is on another machine.*https.*open a tunnel"):
            jobs.list_jobs(f"http://0.0.0.0:{server.port}")
        assert server.seen == []


@pytest.mark.parametrize(
    ("name", "ips"),
    [
        ("localhost", ["192.0.2.1"]),
        ("localhost", ["127.0.0.1", "192.0.2.1"]),
        ("127.0.0.1.example.org", ["192.0.2.1"]),
        ("localhost.example.org", ["::ffff:192.0.2.1"]),
    ],
)
def test_loopback_is_a_matter_of_the_address_and_not_of_the_name(
    name: str, ips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, **{name.replace(".", "_"): ips})
    with pytest.raises(TokenError, match="is on another machine"):
        jobs.list_jobs(f"http://{name}:8265")


def test_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address after the check does not get the token."""
    asked = resolve(monkeypatch, head_example_org=["127.0.0.1"])
    with http_server(job_server("token")) as server:
        jobs.list_jobs(f"http://head.example.org:{server.port}")
        assert len(server.seen) == 2
    assert asked.count("head.example.org") == 1


def certificate(folder: Path, ip: str) -> Path:
    """Write a self-signed certificate for an IP address, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ip))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize(
    ("mode", "trusted", "refusal"),
    [
        ("token", True, None),
        ("token", False, "certificate verify failed"),
        ("disabled", True, "requires no token"),
    ],
)
def test_https_to_another_machine_needs_a_token_and_a_trusted_certificate(
    mode: str,
    trusted: bool,
    refusal: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = certificate(tmp_path, "0.0.0.0")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with http_server(job_server(mode), "0.0.0.0", tls) as server:
        address = f"https://0.0.0.0:{server.port}"
        if refusal is None:
            jobs.list_jobs(address)
            assert server.authorised == ["GET /api/jobs/"]
        else:
            with pytest.raises(SubmissionError, match=refusal):
                jobs.list_jobs(address)
            assert server.authorised == []


# Deadlines and bounds


def hangs(handler: Handler) -> None:
    time.sleep(3600)


def drips(data: bytes) -> Attack:
    def drip(handler: Handler) -> None:
        for byte in itertools.chain(data, itertools.repeat(ord(" "))):
            handler.write(bytes([byte]))
            time.sleep(0.05)

    return drip


def floods(head: bytes, piece: bytes) -> Attack:
    def flood(handler: Handler) -> None:
        handler.write(head)
        while True:
            handler.write(piece)

    return flood


def sends(headers: dict[str, str], body: bytes) -> Attack:
    return lambda handler: handler.send_whole(200, headers, body)


OK = b"HTTP/1.1 200 OK\r\n"
ATTACKS: dict[str, Attack] = {
    "hangs": hangs,
    "drips its status": drips(b"HTTP/1.1 200 "),
    "drips headers": drips(OK + b"A: "),
    "drips its body": drips(OK + b"\r\n["),
    "drips chunks": drips(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n \r\n"),
    "promises more than it sends": drips(OK + b"Content-Length: 9999\r\n\r\n["),
    "status without end": floods(b"HTTP/1.1 200 ", b"x" * 1000),
    "headers without end": floods(OK, b"A: b\r\n" * 100),
    "header without end": floods(OK + b"A: ", b"x" * 1000),
    "informs without end": floods(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "body without end": floods(OK + b"\r\n[", b" " * 10_000),
    "chunks without end": floods(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b" " * 10_000 + b"\r\n"
    ),
    "chunk extension without end": floods(
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000
    ),
    "gzip bomb": sends({"Content-Encoding": "gzip"}, gzip.compress(b" " * 10_000_000)),
    "deep JSON": sends({}, b"[" * 90_000),
    "huge number": sends({}, b"1" * 90_000),
    "not UTF-8": sends({}, b"\xff\xfe"),
    "closes": lambda handler: handler.connection.close(),
    "no HTTP": lambda handler: handler.write(b"\x00\x16\x03" * 100),
}


def attacking(attack: Attack, path: str) -> Callable[[Handler, str], None]:
    usual = job_server("disabled", (JOB,))

    def answer(handler: Handler, what: str) -> None:
        if what.startswith(path):
            handler.close_connection = True
            attack(handler)
        elif what == "GET /api/jobs/tiny-1":
            handler.send_json(JOB)
        else:
            usual(handler, what)

    return answer


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("path", "attack"),
    [
        *(("GET /api/jobs/", attack) for attack in ATTACKS),
        *(("GET /api/authentication_mode", attack) for attack in ("hangs", "body without end")),
    ],
)
def test_list_ends_in_a_sentence(
    path: str, attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_server(attacking(ATTACKS[attack], path)) as server:
        done = called(capsys, "list", "--address", server.address)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert server.address in done.stderr


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("attack", ["hangs", "drips headers", "status without end", "closes"])
@pytest.mark.parametrize("ask", ["status", "stop", "logs", "follow"])
def test_every_request_has_a_deadline(attack: str, ask: str) -> None:
    path = {"status": "GET /api/jobs/tiny-1", "stop": "POST", "logs": "GET /api/jobs/tiny-1/logs"}
    place = path.get(ask, "GET /api/jobs/tiny-1/logs/tail")
    with (
        http_server(attacking(ATTACKS[attack], place)) as server,
        pytest.raises(SubmissionError, match=server.address),
    ):
        list(getattr(jobs, ask)("tiny-1", server.address))


def test_answer_is_read_up_to_its_bound() -> None:
    sent = 0

    def flood(handler: Handler) -> None:
        nonlocal sent
        handler.write(OK + b"\r\n[")
        while True:
            handler.write(b" " * 100_000)
            sent += 100_000

    with (
        http_server(attacking(flood, "GET /api/jobs/")) as server,
        pytest.raises(SubmissionError, match="answers with more than 16 MB"),
    ):
        jobs.list_jobs(server.address)
    assert 16e6 <= sent < 32e6  # with what the sockets hold


@pytest.mark.usefixtures("short")
def test_look_up_of_a_name_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    with pytest.raises(SubmissionError, match=r"no cluster answers at http://head:1 within 0.25 s"):
        jobs.list_jobs("http://head:1")


@pytest.mark.usefixtures("short")
def test_long_log_names_the_command_that_streams_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = sends({}, json.dumps({"logs": "x" * 200_000}).encode())
    with http_server(attacking(log, "GET /api/jobs/tiny-1/logs")) as server:
        done = called(capsys, "logs", "tiny-1", "--address", server.address)
        assert done.returncode == 2
        assert "mupc logs tiny-1 --follow" in done.stderr
        done = called(capsys, "status", "tiny-1", "--address", server.address)
        assert done.returncode == 0
        assert "running" in done.stdout


def frame(text: bytes, final: bool = True) -> bytes:
    """Return a frame of a WebSocket with a text."""
    return bytes([0x81 if final else 0x01, 126]) + len(text).to_bytes(2, "big") + text


def websocket(handler: Handler, *frames: bytes) -> None:
    """Accept a WebSocket and send frames."""
    import base64
    import hashlib

    key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    handler.write(f"HTTP/1.1 101 OK\r\n{upgrade}{accepted}\r\n\r\n".encode())
    for each in frames:
        handler.write(each)


def silent_for_ever(handler: Handler) -> None:
    websocket(handler, frame(b"begins\n"))
    time.sleep(2)


def message_without_end(handler: Handler) -> None:
    websocket(handler, frame(b"begins\n"), frame(b"x" * 1000, final=False))
    while True:
        handler.write(bytes([0, 126]) + (1000).to_bytes(2, "big") + b"x" * 1000)


def pings_for_ever(handler: Handler) -> None:
    websocket(handler, frame(b"begins\n"))
    while True:
        handler.write(b"\x89\x00")
        time.sleep(0.05)


def breaks(handler: Handler) -> None:
    websocket(handler, frame(b"begins\n"), b"\x81\x7e")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "attack",
    [silent_for_ever, pings_for_ever, message_without_end, breaks],
    ids=lambda a: a.__name__,
)
def test_followed_log_ends_with_its_server(attack: Attack) -> None:
    """Silence is allowed as long as the server answers other requests."""
    asked = 0
    usual = attacking(attack, "GET /api/jobs/tiny-1/logs/tail")

    def answer(handler: Handler, what: str) -> None:
        nonlocal asked
        asked += what == "GET /api/jobs/tiny-1"
        if asked > 2 and what == "GET /api/jobs/tiny-1":
            hangs(handler)
        else:
            usual(handler, what)

    with http_server(answer) as server:
        pieces = jobs.follow("tiny-1", server.address)
        assert next(pieces) == "begins\n"
        with pytest.raises(SubmissionError, match=server.address):
            next(pieces)


def test_followed_log_ends_when_the_server_closes_it() -> None:
    closing = b"\x88\x02" + (1000).to_bytes(2, "big")
    pieces = [frame(b"one\n"), frame(b"two\n"), closing]
    tail = attacking(lambda h: websocket(h, *pieces), "GET /api/jobs/tiny-1/logs/tail")
    with http_server(tail) as server:
        assert list(jobs.follow("tiny-1", server.address)) == ["one\n", "two\n"]


# Answers of another shape


@pytest.mark.parametrize(
    "record",
    [
        *(None, 1, [], "job", {}),
        {**JOB, "metadata": None},
        {**JOB, "metadata": {"mupc_experiment": None}},
        {**JOB, "metadata": {"mupc_experiment": "\x1b[2J"}},
        {**JOB, "submission_id": "../../x"},
        {**JOB, "submission_id": 7},
        {**JOB, "status": "WAITING"},
        {**JOB, "status": []},
        {**JOB, "start_time": 10**30},
        {**JOB, "end_time": -(10**18)},
        {**JOB, "end_time": float("inf")},
    ],
    ids=repr,
)
def test_job_of_another_shape_does_not_hide_the_others(
    record: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_server(job_server(jobs=(record, JOB))) as server:
        done = called(capsys, "list", "--address", server.address, "--json")
    assert done.returncode == 0
    assert [job["id"] for job in json.loads(done.stdout)["jobs"]] == ["tiny-1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*JOB, "end_time", "driver_exit_code"]), JSON))
def test_no_record_of_a_job_is_a_traceback(changes: dict[str, object]) -> None:
    job = submit._read({**JOB, **changes})
    assert job is None or job.experiment == "tiny"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("message", 5), ("driver_exit_code", "x"), ("start_time", "soon"), ("end_time", {})),
        ("metadata", {**JOB["metadata"], "mupc_ledger": 7}),
    ],
)
def test_unreadable_fact_of_a_job_is_missing(field: str, value: object) -> None:
    with http_server(job_server(jobs=({**JOB, field: value},))) as server:
        assert [job.id for job in jobs.list_jobs(server.address)] == ["tiny-1"]


@pytest.mark.parametrize("answer", [{}, None, 3, "text"])
def test_answer_of_another_shape_is_a_sentence(answer: object) -> None:
    with (
        http_server(job_server(jobs=answer)) as server,
        pytest.raises(SubmissionError, match="is not the job server of a recent Ray"),
    ):
        jobs.list_jobs(server.address)


def test_refusal_is_printable() -> None:
    def answer(handler: Handler, what: str) -> None:
        if "mode" in what:
            handler.send_json({"authentication_mode": "disabled"})
        else:
            handler.send_whole(500, {}, b"Traceback:\n\x1b]0;title\x07 No agent" * 1000)

    with (
        http_server(answer) as server,
        pytest.raises(SubmissionError, match=r"with status 500: .*No agent") as error,
    ):
        jobs.list_jobs(server.address)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_requests_work_where_an_event_loop_runs() -> None:
    """As in notebooks."""

    async def cell(server: Server) -> None:
        assert [job.id for job in jobs.list_jobs(server.address)] == ["tiny-1"]

    with http_server(job_server(jobs=(JOB,))) as server:
        asyncio.run(cell(server))
