"""What a real Ray shows of an experiment: metrics at its endpoint, and workers by name."""

import re
import time
import urllib.request
from pathlib import Path

import pytest
import ray
from command import TINY
from pool_trainers import MakePool

import results
import transfer
from jobs.cli.broadcasting import seen_by_cluster
from jobs.cli.statistics import RunStatistics
from pccore import Status
from transfer import Experiment

pytestmark = pytest.mark.ray

PATIENCE = 90.0
"""Seconds: Ray exports metrics every ten seconds."""


def scraped() -> dict[str, float]:
    """Return the metrics of mupc that this machine's Ray exports, of the experiment `seen`."""
    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = re.findall(r'^ray_(mupc_\w+)\{.*experiment="seen".*\} (\S+)$', text, re.MULTILINE)
    return {name.removesuffix("_total"): float(value) for name, value in lines}


def test_metrics_have_the_counts_of_the_experiment(ray_cluster: None) -> None:
    statistics = RunStatistics()
    statistics.phase("tune", 20, 7)
    statistics.lanes = 3
    statistics.ended[Status.FAILED] += 2
    expected = {
        "mupc_runs_done": 7.0,
        "mupc_runs": 20.0,  # mupc_runs_total
        "mupc_lanes": 3.0,
        "mupc_seconds_left": -1.0,
        "mupc_runs_failed": 2.0,
    }
    with seen_by_cluster(statistics, "seen", seconds=0.2):
        deadline = time.monotonic() + PATIENCE
        while (found := scraped()) != expected:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)


def test_workers_are_named_by_the_experiment(make_ray_pool: MakePool, tmp_path: Path) -> None:
    experiment = Experiment.from_dict({**TINY, "variants": [{"name": "bp", "weight_lr": [0.1]}]})
    pool = make_ray_pool(workers=2, name="tiny")
    names: list[str] = []

    class Recorder(transfer.Progress):
        def trained(self, result: transfer.GroupResult) -> None:
            names.extend(ray.util.list_named_actors())

    ledger = results.open(tmp_path / "runs", create=True)
    transfer.run(experiment, ledger, pool, progress=Recorder())
    assert names
    assert all(re.fullmatch(r"tiny worker \d+", name) for name in names)
