"""A Ray head with a job server, as a process of its own that a token protects."""

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

START_SECONDS = 120.0


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes:
        address: URL of its job server.
        token: what it asks for.
    """

    address: str
    token: str


@contextmanager
def ray_head(log: Path, variables: Mapping[str, str]) -> Iterator[Head]:
    """Start a head with two CPU slots; its processes end with it, by their own ids.

    Args:
        log: file for what it prints.
        variables: environment of the head, and so of the jobs on it.
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
            process.send_signal(signal.SIGTERM)  # with --block it ends all that it has started
            process.wait(60)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def drivers(head: Head) -> list[int]:
    """Ids of the processes that run the head's jobs: those of Ray's job server with `mupc run`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes()
        except OSError:  # it has just ended, or is another user's
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
