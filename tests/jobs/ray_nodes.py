"""A Ray cluster of several nodes on this machine, whose nodes can be killed, frozen and cut off.

Where it is allowed, every node has a network namespace with an address and a virtual cable, joined
to the head's by a bridge. Elsewhere all nodes share this machine's network.
"""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ray_head import free_port

START_SECONDS = 600.0
DEATH_SECONDS = (
    30.0  # in which a node that does not answer is given up for dead, with room to spare
)
_MARK = "MUPC_TEST_NODE"

# A silent node counts as dead after about ten seconds instead of a minute.
_SHORT_TIMEOUTS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "8",
}


@dataclass
class Node:
    """One node.

    Attributes:
        name: of its network namespace; it also marks its processes.
        address: its IP address.
    """

    name: str
    address: str

    def processes(self) -> list[int]:
        """Return the ids of all processes on the node."""
        mark = f"{_MARK}={self.name}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # the process has ended, or is another user's
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """Return the ids of the processes of the pool's actors, which are named by what they do."""
        return self._running(rb"ray::(?!IDLE|DashboardAgent|RuntimeEnvAgent)")

    def raylets(self) -> list[int]:
        """Return the id of Ray's own process, whose health the head checks."""
        return self._running(rb".*raylet/raylet")

    def signal(self, number: signal.Signals) -> None:
        """Signal all processes: SIGKILL is a power cut, SIGSTOP and SIGCONT freeze and thaw."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def _running(self, command: bytes) -> list[int]:
        found = []
        for process in self.processes():
            with suppress(OSError):
                if re.match(command, Path(f"/proc/{process}/cmdline").read_bytes()):
                    found.append(process)
        return found

    def cable(self, state: str) -> None:
        """Unplug ("down") or plug in ("up") the network cable."""
        _ip("link", "set", f"{self.name}h", state)


@dataclass
class Nodes:
    """A head without slots, and the nodes that have joined it.

    Attributes:
        address: of the head, for `--address`.
        token: the token that it requires.
        python: the interpreter of the nodes and their workers.
    """

    address: str
    token: str
    folder: Path
    bridge: str | None
    python: str = sys.executable
    nodes: list[Node] = field(default_factory=list)

    def join(self, cpus: int = 1, **variables: str) -> Node:
        """Start a node, with variables of its environment, and wait until it has joined."""
        number = len(self.nodes) + 2
        node = Node(f"m{os.getpid() % 10**6}n{number}", "127.0.0.1")
        prefix: list[str] = []
        if self.bridge is not None:
            node.address = _plug(node.name, self.bridge, number)
            prefix = ["ip", "netns", "exec", node.name]
        self.nodes.append(node)
        log = self.folder / f"{node.name}.log"
        options = [
            f"--address={self.address}",
            f"--node-ip-address={node.address}",
            f"--dashboard-agent-listen-port={free_port()}",
            f"--dashboard-agent-grpc-port={free_port()}",
            f"--runtime-env-agent-port={free_port()}",
            f"--metrics-export-port={free_port()}",
        ]
        _ray(
            node,
            [*prefix, *self.ray, "start", *options, f"--num-cpus={cpus}"],
            self,
            log,
            variables,
        )
        return node

    @property
    def ray(self) -> list[str]:
        """The command `ray`."""
        return [self.python, "-m", "ray.scripts.scripts"]

    def variables(self) -> dict[str, str]:
        """Return the environment of processes that join this cluster."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}


@cache
def may_make_networks() -> bool:
    """Return whether this process may make network namespaces."""
    name = f"m{os.getpid() % 10**6}x"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def ray_nodes(folder: Path, python: str = sys.executable) -> Iterator[Nodes]:
    """Start a head; it and all nodes that join it end with the block.

    Args:
        folder: for log files.
        python: the interpreter of the nodes, of another environment maybe.
    """
    port, head = free_port(), Node(f"m{os.getpid() % 10**6}n1", "127.0.0.1")
    bridge = None
    if may_make_networks():
        bridge, head.address = f"m{os.getpid() % 10**6}b", _address(1)
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{head.address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
    nodes = Nodes(f"{head.address}:{port}", secrets.token_hex(32), folder, bridge, python)
    # A short path: Ray puts sockets below it, whose names have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="mupc-", ignore_cleanup_errors=True) as place:
        options = [
            "--head",
            f"--port={port}",
            f"--node-ip-address={head.address}",
            f"--dashboard-port={free_port()}",
            f"--dashboard-agent-listen-port={free_port()}",
            f"--ray-client-server-port={free_port()}",
            "--include-dashboard=false",
            "--num-cpus=0",
            f"--temp-dir={place}",
        ]
        try:
            _ray(head, [*nodes.ray, "start", *options], nodes, folder / "head.log", {})
            yield nodes
        finally:
            for node in [*nodes.nodes, head]:
                node.signal(signal.SIGKILL)
                if bridge is not None and node is not head:
                    subprocess.run(["ip", "netns", "del", node.name], check=False)
            if bridge is not None:
                _ip("link", "del", bridge)


def _ray(
    node: Node, command: list[str], nodes: Nodes, log: Path, variables: dict[str, str]
) -> None:
    """Run `ray start`, which returns once the node is up; its processes stay."""
    environment = os.environ | _SHORT_TIMEOUTS | nodes.variables() | variables
    environment |= {
        _MARK: node.name,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with log.open("w") as output:
        subprocess.run(
            [*command, "--min-worker-port=0", "--max-worker-port=0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=START_SECONDS,
            check=True,
        )
    if nodes.bridge is not None and "--head" in command:
        _await(nodes.address)


def _await(address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at {address}")


def _plug(name: str, bridge: str, number: int) -> str:
    """Make a namespace with a cable to the bridge, and return its address."""
    address = _address(number)
    _ip("netns", "add", name)
    _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", f"{name}h", "master", bridge, "up")
    for words in (
        ("addr", "add", f"{address}/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip("-n", name, *words)
    return address


def _address(number: int) -> str:
    """Return the address of a node; each test process has a network of its own."""
    return f"10.199.{os.getpid() % 256}.{number}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
