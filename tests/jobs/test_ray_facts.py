"""What SECURITY.md says of Ray itself, of the version that is installed."""

import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pool_trainers import PATIENCE, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
ANYWHERE = {"0.0.0.0", "::"}


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment without a token."""
    inherited = {name: value for name, value in os.environ.items() if "AUTH" not in name}
    return {**inherited, "HOME": str(home), "RAY_TMPDIR": str(home), **variables}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_token_that_ray_generates_is_private_only_by_umask(
    tmp_path: Path, mask: int, mode: int
) -> None:
    subprocess.run(
        [*RAY, "get-auth-token", "--generate"],
        env=environment(tmp_path),
        umask=mask,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == mode


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder below which Ray can put sockets, whose names have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="mupc-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def head(folder: Path, port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A head that runs in the foreground, and its job server at `port`."""
    command = [*RAY, "start", "--head", "--block", "--num-cpus=1", "--port=0"]
    process = subprocess.Popen(
        [*command, f"--dashboard-port={port}", f"--temp-dir={folder / 'ray'}"],
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_head_without_a_token_runs_open(short_path: Path) -> None:
    port = free_port()

    def answers() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/jobs/", timeout=5) as answer:
            return bool(answer.status == 200)

    def ready() -> bool:
        try:
            return answers()
        except OSError:
            return False

    with head(short_path, port) as process:
        wait_for(ready)  # the list of jobs, without any token
        children = psutil.Process(process.pid).children(recursive=True)
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for child in children
            for connection in child.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    assert {ip for ip, at in listening if at == port} == {"127.0.0.1"}  # the job server
    assert {ip for ip, at in listening if at != port} & ANYWHERE


def test_a_head_that_is_to_have_a_token_does_not_start_without_one(short_path: Path) -> None:
    with head(short_path, free_port(), RAY_AUTH_MODE="token") as process:
        assert process.wait(PATIENCE) != 0
        assert process.stdout is not None
        assert "token" in process.stdout.read()
