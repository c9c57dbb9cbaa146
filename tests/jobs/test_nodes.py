"""Sweeps on a cluster whose nodes join, leave, freeze and lose their network meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pool_on_nodes
import pytest
from command import MUPC, mupc, write_spec
from pool_trainers import PATIENCE, wait_for
from ray_nodes import Nodes, may_make_networks, ray_nodes

import results

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Nine programs of a few seconds each, so that one is always running.
SWEEP: dict[str, Any] = {
    "name": "sweep",
    "variants": ["mupc", "sp", "bp"],
    "training": {"batch_size": 64, "steps": 8000, "eval_every": 4000},
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.1, 0.03], "activity_lr": [1], "seeds": 1},
    "transfer": {"depths": [3, 4]},
}
RUNS = 18


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ray_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the verdicts of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_spec(folder, **SWEEP)
    done = mupc(folder, "run", "spec.yaml")
    assert done.returncode == 0, done.stderr
    return results.open(folder / "runs").verdicts()


class Sweep:
    """`mupc run` on the cluster, in a folder of its own."""

    def __init__(self, cluster: Nodes, folder: Path) -> None:
        self.folder, self._output = folder, folder / "output"
        write_spec(folder, **SWEEP)
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*MUPC, "run", "spec.yaml", "--pool", "ray", "--address", cluster.address],
                cwd=folder,
                env={**os.environ, **cluster.variables()},
                stdout=output,
                stderr=output,
            )

    def has_lost_a_worker(self) -> bool:
        """Return whether the command has reported a lost worker."""
        return "a worker was lost, and is replaced" in self._output.read_text()

    def runs(self) -> pd.DataFrame:
        return results.open(self.folder / "runs", create=True).runs()

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert self.process.poll() is None, self._output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def ends_like(self, undisturbed: pd.DataFrame) -> pd.DataFrame:
        """Wait for the end; return the runs, each of which must have been recorded once."""
        assert self.process.wait(PATIENCE) == 0, self._output.read_text()
        assert self.has_lost_a_worker()
        ledger = results.open(self.folder / "runs")
        assert ledger.check() == []
        written = sum(len(pd.read_parquet(path, columns=["run_id"])) for path in self.files())
        runs = ledger.runs()
        assert written == len(runs) == RUNS
        assert set(runs["outcome"]) <= {"trained", "at_chance"}
        words = ["variant", "width", "depth", "verdict", "weight_lr", "activity_lr"]
        pd.testing.assert_frame_equal(ledger.verdicts()[words], undisturbed[words])
        return runs

    def files(self) -> list[Path]:
        return [p for p in (self.folder / "runs" / "runs").iterdir() if p.suffix == ".parquet"]


@pytest.fixture
def sweep(cluster: Nodes, tmp_path: Path) -> Iterator[Sweep]:
    """Start a sweep that waits for its first node; all nodes end with it."""
    begun = Sweep(cluster, tmp_path)
    yield begun
    begun.process.kill()
    begun.process.wait()
    for node in cluster.nodes:
        node.signal(signal.SIGKILL)


def test_nodes_join_and_leave_during_a_sweep(
    cluster: Nodes, sweep: Sweep, undisturbed: pd.DataFrame
) -> None:
    first = cluster.join()
    sweep.until(lambda: len(sweep.runs()) > 0)
    others = [cluster.join(), cluster.join()]
    sweep.until(lambda: all(node.workers() for node in others))  # without --workers, the pool grows
    first.signal(signal.SIGKILL)
    others[0].signal(signal.SIGKILL)
    runs = sweep.ends_like(undisturbed)
    assert runs["pid"].nunique() >= 2


def test_node_freezes_and_returns_late(
    cluster: Nodes, sweep: Sweep, undisturbed: pd.DataFrame
) -> None:
    """Its work has been requeued by then, and its results are ignored."""
    nodes = [cluster.join(), cluster.join()]
    sweep.until(lambda: sweep.runs()["pid"].nunique() == 2)  # both have work and will get more
    frozen = nodes[0]
    frozen.signal(signal.SIGSTOP)
    sweep.until(sweep.has_lost_a_worker)
    frozen.signal(signal.SIGCONT)
    sweep.ends_like(undisturbed)


@pytest.mark.skipif(not may_make_networks(), reason="not allowed to make network namespaces")
def test_node_is_cut_off_and_returns(
    cluster: Nodes, sweep: Sweep, undisturbed: pd.DataFrame
) -> None:
    nodes = [cluster.join(), cluster.join()]
    sweep.until(lambda: sweep.runs()["pid"].nunique() == 2)
    nodes[1].cable("down")
    sweep.until(sweep.has_lost_a_worker)
    nodes[1].cable("up")
    sweep.ends_like(undisturbed)


def test_late_result_of_requeued_group_is_ignored(cluster: Nodes, tmp_path: Path) -> None:
    """Only the node's own process freezes: its worker continues, and can reach the driver."""
    nodes = [cluster.join(), cluster.join()]
    with on_nodes("late", cluster, tmp_path) as driver:
        worker = int(appeared(tmp_path / pool_on_nodes.BEGUN, text=True))
        [node] = [node for node in nodes if worker in node.workers()]
        for process in node.raylets():
            os.kill(process, signal.SIGSTOP)
        appeared(tmp_path / pool_on_nodes.AWAY)
        (tmp_path / pool_on_nodes.GO).touch()
        appeared(tmp_path / pool_on_nodes.LATE)
        assert [run_id for run_id, *_ in results_of(driver)] == ["first-0", "second-0"]


def test_run_that_exceeds_memory_fails(cluster: Nodes, tmp_path: Path) -> None:
    total, available = memory()
    if available < 8 * 2**30:
        pytest.skip(f"needs 8 GiB of free memory, there are {available / 2**30:.1f}")
    most = (total - available + 3 * 2**30) / total
    cluster.join(2, RAY_memory_usage_threshold=f"{most:.4f}", RAY_memory_monitor_refresh_ms="100")
    with on_nodes("memory", cluster, tmp_path) as driver:
        results = {run_id: (status, cause) for run_id, status, cause in results_of(driver)}
    status, cause = results.pop(f"killer-{pool_on_nodes.KILLER}")
    assert status == "failed"
    assert "memory" in cause
    assert [status for status, _ in results.values()] == ["trained"] * 3


def test_own_data_reach_every_node_once(cluster: Nodes, tmp_path: Path) -> None:
    """Every worker maps the copy in the shared memory of its node."""
    nodes = [cluster.join(2), cluster.join(2)]
    with on_nodes("own", cluster, tmp_path) as driver:
        facts = [json.loads(cause) for _, _, cause in results_of(driver)]
    assert {fact["node"] for fact in facts} == {node.name for node in nodes}
    assert {fact["digest"] for fact in facts} == {(tmp_path / pool_on_nodes.DIGEST).read_text()}
    assert all("plasma" in fact["in"] and not fact["writeable"] for fact in facts)


@contextmanager
def on_nodes(scene: str, cluster: Nodes, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a driver of `pool_on_nodes`; it and all nodes end with the block."""
    driver = subprocess.Popen(
        [sys.executable, pool_on_nodes.__file__, scene, cluster.address, folder],
        env={**os.environ, **cluster.variables()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield driver
    finally:
        driver.kill()
        for node in cluster.nodes:
            node.signal(signal.SIGKILL)


def results_of(driver: subprocess.Popen[str]) -> list[tuple[str, str, str]]:
    """Return what the driver prints at its end."""
    output, _ = driver.communicate(timeout=PATIENCE)
    return [tuple(facts) for facts in json.loads(output.splitlines()[-1])]


def appeared(path: Path, *, text: bool = False) -> str:
    """Wait for a file, and with `text` for its content; return that."""
    wait_for(lambda: path.exists() and (not text or path.read_text()))
    return path.read_text()


def memory() -> tuple[int, int]:
    """Return the total and the available memory of this machine, in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    sizes = {name: int(size) * 1024 for name, size, *_ in lines}
    return sizes["MemTotal:"], sizes["MemAvailable:"]
