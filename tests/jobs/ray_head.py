"""A Ray head with a job server, protected by a token, as a process."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 600.0


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes:
        address: URL of its job server.
        token: the token that it requires.
    """

    address: str
    token: str


@contextmanager
def ray_head(log: Path, variables: Mapping[str, str]) -> Iterator[Head]:
    """Start a head with two CPU slots, whose processes end with the block.

    Args:
        log: file for its output.
        variables: environment of the head and of its jobs.
    """
    token, dashboard = secrets.token_hex(32), free_port()
    ray = Path(sys.executable).with_name("ray")
    # A short path: Ray puts sockets below it, whose names have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="mupc-", ignore_cleanup_errors=True) as folder:
        options = {
            "port": free_port(),
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
            "min-worker-port": 0,
            "max-worker-port": 0,
            "num-cpus": 2,
            "temp-dir": folder,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        environment = os.environ | {
            "HOME": folder,
            "PATH": f"{ray.parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_USAGE_STATS_ENABLED": "0",
            **variables,
        }
        with log.open("w") as output:
            process = subprocess.Popen(
                [str(ray), "start", "--head", "--block", *arguments],
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            address = f"http://127.0.0.1:{dashboard}"
            _await(address, process, log)
            yield Head(address, token)
        finally:
            process.send_signal(signal.SIGTERM)  # with --block it ends all its processes
            process.wait(60)


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def drivers(head: Head) -> list[int]:
    """Return the ids of the processes that run the head's jobs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes()
        except OSError:  # the process has ended, or is another user's
            continue
        if b"mupc" in words and head.token.encode() in variables:
            found.append(int(entry.name))
    return found


def _await(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/authentication_mode", timeout=5) as answer:
                assert json.load(answer) == {"authentication_mode": "token"}
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"Ray's head does not start:\n{log.read_text()}")
