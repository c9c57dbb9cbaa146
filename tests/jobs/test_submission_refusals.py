"""Refusals before anything is sent: addresses, ledgers, tokens, clusters without tokens."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest
from command import called, write_spec
from ray_head import free_port

import jobs
from jobs import SubmissionError, TokenError
from jobs.cluster import tokens
from jobs.cluster.address import DEFAULT_ADDRESS, is_loopback, job_server
from jobs.cluster.package import PACKAGES, SPEC, command, pack
from results.uri import shown

Serve = Callable[[int, str], str]


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a home folder without a token; returns the path of its token file."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (tokens.TOKEN, tokens.TOKEN_PATH, tokens.MODE):
        monkeypatch.delenv(name, raising=False)
    path = tokens.DEFAULT_PATH.expanduser()
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts an HTTP server with one fixed answer and returns its URL."""
    with ExitStack() as running:

        def start(status: int, body: str) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(body.encode())

                def log_message(self, *_: object) -> None:
                    pass

            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
            running.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.mark.parametrize(
    "address",
    [
        *("", "auto", "127.0.0.1:8265", "head", "ray://head:10001", "ftp://head:1", "file:///etc"),
        *("http://", "http://:8265", "http://head:port", "http://head:99999", "http://head:0"),
        *("http://[::1", "http://head:1/path", "http://head:1?a=b", "http://head:1#x"),
        *("http://h%65ad:1", "http://\uff11\uff12\uff17.0.0.1:1"),
    ],
)
def test_rejects_address_of_no_job_server(address: str) -> None:
    with pytest.raises(SubmissionError, match="must be the URL of a cluster's job server") as error:
        jobs.list_jobs(address)
    assert repr(shown(address)) in str(error.value)


def test_error_hides_secret_in_address() -> None:
    with pytest.raises(SubmissionError, match="job server") as error:
        job_server("http://me:secret@head:8265")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://127.0.0.1:8265/", DEFAULT_ADDRESS),
        ("https://ray.example.org", "https://ray.example.org"),
        ("http://[::1]:8265", "http://[::1]:8265"),
    ],
)
def test_normalises_address(address: str, kept: str) -> None:
    assert job_server(address) == kept


@pytest.mark.parametrize(
    ("ip", "loopback"),
    [
        *(("127.0.0.1", True), ("::1", True), ("127.9.9.9", True), ("::ffff:127.0.0.1", True)),
        *(("10.0.0.1", False), ("0.0.0.0", False), ("::", False), ("::ffff:10.0.0.1", False)),
    ],
)
def test_only_loopback_is_local(ip: str, loopback: bool) -> None:
    assert is_loopback(ip) is loopback


def test_reports_unreachable_cluster() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SubmissionError, match=f"no cluster answers at {address}: Connection ref"):
        jobs.list_jobs(address)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((404, "not found"), (500, "{}"), (200, ""), (200, "<html>"), (200, "[]"), (200, "{}")),
        (200, '{"authentication_mode": "tok'),
        (200, '{"authentication_mode": "disabled"}'),
        (200, '{"authentication_mode": "disabled", "ray_version": "1.0"}'),
        (200, '{"authentication_mode": "disabled", "ray_version": null}'),
        (200, "[" * 100_000),
    ],
)
def test_rejects_server_other_than_ray(serve: Serve, status: int, body: str) -> None:
    with pytest.raises(SubmissionError, match="is not the job server of a recent Ray"):
        jobs.list_jobs(serve(status, body))


def answer(mode: str) -> str:
    return json.dumps({"authentication_mode": mode})


def test_reports_missing_token(serve: Serve) -> None:
    with pytest.raises(TokenError, match="requires a token: put the cluster's token into"):
        jobs.list_jobs(serve(200, answer("token")))


@pytest.mark.parametrize(
    ("machines", "asks", "used"),
    [(1, False, True), (1, True, True), (2, True, True), (2, False, False)],
)
def test_pool_leaves_cluster_of_several_machines_without_token(
    monkeypatch: pytest.MonkeyPatch, machines: int, asks: bool, used: bool
) -> None:
    from jobs.pools import ray_cluster

    nodes = [{"NodeManagerAddress": f"10.0.0.{n}", "Alive": True} for n in range(machines)]
    nodes += [{"NodeManagerAddress": "10.0.0.99", "Alive": False}, nodes[0]]
    left = []
    monkeypatch.setattr(ray_cluster, "is_token_auth_enabled", lambda: asks)
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray_cluster.ray, "shutdown", lambda: left.append(True))
    if used:
        ray_cluster.refuse_open_cluster()
    else:
        with pytest.raises(TokenError, match="spans 2 machines and requires no token"):
            ray_cluster.refuse_open_cluster()
    assert left == ([] if used else [True])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666, 0o700 | 0o001])
def test_rejects_token_file_readable_by_others(serve: Serve, no_token: Path, mode: int) -> None:
    no_token.write_text("secret")
    no_token.chmod(mode)
    with pytest.raises(TokenError, match=f"{mode:04o}.*run chmod 600 {no_token}") as error:
        jobs.list_jobs(serve(200, answer("token")))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"a\nb", b"x" * 5000, b"t\x00"])
def test_rejects_file_without_token(no_token: Path, content: bytes) -> None:
    no_token.touch(0o600)
    no_token.write_bytes(content)
    with pytest.raises(TokenError, match="holds no token"):
        tokens.find_token()


def test_token_file_that_is_a_pipe_is_not_waited_for(no_token: Path) -> None:
    os.mkfifo(no_token, 0o600)
    with pytest.raises(TokenError, match="holds no token"):
        tokens.find_token()


def test_token_sources_are_in_the_order_of_ray(
    no_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tokens.find_token() is None
    for path in (no_token, tmp_path / "named"):
        path.touch(0o600)
        path.write_text(f"{path.name}\n")
    for expected, (name, value) in {
        "auth_token": ("", ""),
        "named": (tokens.TOKEN_PATH, str(tmp_path / "named")),
        "given": (tokens.TOKEN, "given"),
    }.items():
        if name:
            monkeypatch.setenv(name, value)
        found = tokens.find_token()
        assert found is not None
        assert found.text == expected
        assert "text" not in repr(found)
    monkeypatch.delenv(tokens.TOKEN)
    monkeypatch.setenv(tokens.TOKEN_PATH, str(tmp_path / "gone"))
    with pytest.raises(TokenError, match="cannot read the token file"):
        tokens.find_token()


def test_local_token_file_is_private(no_token: Path) -> None:
    tokens.make_private()
    assert no_token.stat().st_mode & 0o777 == 0o600
    made = tokens.find_token()
    assert made is not None
    assert len(bytes.fromhex(made.text)) == 32
    no_token.chmod(0o644)  # as Ray makes it
    tokens.make_private()
    assert tokens.find_token() == made


@pytest.mark.parametrize("ledger", ["runs", "./runs", "~/runs", "../runs", "", "C:\\runs"])
def test_rejects_ledger_that_would_be_deleted_with_the_job(tmp_path: Path, ledger: str) -> None:
    with pytest.raises(SubmissionError, match="give the absolute path of a folder"):
        jobs.submit(write_spec(tmp_path), ledger=ledger)


@pytest.mark.parametrize(
    "ledger",
    [
        "s3://id:S3CRET@bucket/runs",
        "s3://id:S3CR/ET@bucket/runs",
        "gs://me@bucket/runs",
        "s3://bucket/runs?secret_key=S3CRET",
        "s3://bucket/runs?region=x&session_token=S3CRET",
        "abfs://account@host/runs?sas_token=S3CRET",
        "abfs://container@account.dfs.core.windows.net/runs?client_secret=S3CRET",
    ],
)
def test_rejects_ledger_with_key(tmp_path: Path, ledger: str) -> None:
    with pytest.raises(SubmissionError, match="holds a key") as error:
        jobs.submit(write_spec(tmp_path), ledger=ledger)
    assert "S3CR" not in str(error.value)


def test_command_is_quoted() -> None:
    line = command("tiny", "/runs; rm -rf $HOME", 2, "/data `id`")
    assert "'/runs; rm -rf $HOME'" in line
    assert "'/data `id`'" in line


def test_package_holds_only_the_code() -> None:
    names = [PurePosixPath(name) for name in pack("name: tiny\n")]
    assert {name.parts[0] for name in names} == {
        *PACKAGES,
        SPEC,
        f"mupc-{version('mupc')}.dist-info",
    }
    suffixes = {name.suffix for name in names}
    assert suffixes == {"", ".py", ".pyi", ".typed", ".j2", ".yaml"}
    assert PurePosixPath("results/templates/report.html.j2") in names


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["submit", "nowhere.yaml"], ["there is no file nowhere.yaml", "mupc new nowhere.yaml"]),
        (["submit", "{spec}", "--workers", "0"], ["--workers", "0"]),
        (["submit", "{spec}", "--follow", "--json"], ["--follow", "--json"]),
        (["submit", "{spec}", "--ledger", "runs"], ["runs", "absolute"]),
        (["submit", "{spec}", "--address", "{free}"], ["no cluster answers at {free}"]),
        (["list", "--address", "head"], ["--address", "head"]),
        (["status", "x", "--address", "{free}"], ["no cluster answers"]),
        (["logs", "x", "--follow", "--address", "{free}"], ["no cluster answers"]),
        (["stop", "x", "--address", "{free}"], ["no cluster answers"]),
        (["status"], ["ID"]),
    ],
)
def test_user_error_is_one_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: list[str]
) -> None:
    places = {
        "spec": str(write_spec(tmp_path)),
        "free": f"http://127.0.0.1:{free_port()}",
    }
    done = called(capsys, *(argument.format(**places) for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    for name in named:
        assert name.format(**places) in done.stderr


def test_documented_commands_exist() -> None:
    """Every `mupc` command in docs/cluster.md exists, with its options."""
    from typer.main import get_command

    from jobs.cli.main import app

    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    commands = get_command(app).commands  # type: ignore[attr-defined]
    shown = re.findall(r"mupc ([a-z]+)([^`\n]*)", text)
    for name, rest in shown:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, f"mupc {name}{rest}"
    assert {"submit", "list", "status", "logs", "stop"} <= {name for name, _ in shown}
