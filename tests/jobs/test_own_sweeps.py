"""Sweeps of things of users: on both pools, continued, submitted, and never imported by readers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import own_module
import pytest
import yaml
from command import MUPC, TINY, mupc
from fewer import ray_later
from pool_trainers import PATIENCE, MakePool
from ray_nodes import Nodes, ray_nodes

import jobs
import mupc as mupc_package
import pccore
import results
import transfer
from jobs.cluster import submit
from jobs.cluster.package import zipped

SOURCE = Path(own_module.__file__).read_text()
OWN: dict[str, Any] = {
    "name": "own",
    "dataset": "digits",
    "network": {
        "family": {"name": "mine:layers", "gain": 0.5},
        "activation": "mine:swish",
    },
    "training": {
        "steps": 30,
        "optimiser": {"name": "mine:clipped_lion", "like": "adam", "schedule": {"warmup": 5}},
        "inference": {"scheme": "mine:Halves", "steps": {"depth": 2}},
    },
    "tune": {
        "width": 8,
        "depth": 2,
        "weight_lr": [0.01, 0.03],
        "activity_lr": [10],
        "seeds": 1,
    },
    "transfer": {"depths": [2], "rules": "zero_shot", "neighbourhood": 0},
}
RUNS = 2
DIGITS = pccore.data.load("digits")


def write(folder: Path, text: str = SOURCE, **changes: object) -> Path:
    """Write a spec of own things, and beside it their module."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(text)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({**OWN, **changes}))
    return path


@ray_later
def test_sweep_of_own_things_is_trained_once(make_pool: MakePool, tmp_path: Path) -> None:
    """On Ray, the workers have no file of the module: its folder is on no search path."""
    experiment = transfer.load(write(tmp_path, keep="all"))
    ledger = transfer.open(tmp_path / "runs", create=True)
    pool = make_pool()
    transfer.run(experiment, ledger, pool)
    runs = ledger.runs()
    assert set(runs["outcome"]) <= {"trained", "at_chance"}, runs["cause"].tolist()
    assert len(runs) == RUNS
    family, activation, *_ = map(str, experiment.own)
    assert set(runs["network"]) == {family}
    assert set(runs["activation"]) == {activation}
    assert ledger.check() == []
    for row in runs.itertuples():
        accuracy = ledger.network(row.run_id).accuracy(DIGITS.test_x, DIGITS.test_y)
        assert accuracy == pytest.approx(row.test_accuracy, abs=1e-6)
        assert ledger.rebuild(row.run_id).config.network.kind == row.network
    transfer.run(transfer.load(write(tmp_path, f"# again\n{SOURCE}")), ledger, pool)
    assert len(ledger.runs()) == RUNS


LEARNS: dict[str, Any] = {
    "variants": ["mine:SignOfBackpropagation"],
    "tune": {
        **OWN["tune"],
        "weight_lr": {"low": 0.001, "high": 0.1},
        "sampler": "mine:quasi_random",
        "trials": 2,
    },
}
"""An own learning rule, which compiles in a second, and an own sampler."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `mupc run` has trained own things."""
    folder = tmp_path_factory.mktemp("finished")
    write(folder, **LEARNS)
    done = mupc(folder, "run", "spec.yaml")
    assert done.returncode == 0, done.stderr
    assert f"{RUNS} runs, {RUNS} of them trained now" in done.stdout
    return folder


def test_command_trains_again_only_what_has_other_code(
    finished: Path, tmp_path: Path, empty_reports: None
) -> None:
    ledger = tmp_path / "runs"
    shutil.copytree(finished / "runs", ledger)

    def trained(text: str) -> str:
        """Run the spec beside a module of another folder."""
        write(tmp_path / "place", text, **LEARNS)
        done = mupc(tmp_path, "run", "place/spec.yaml")
        assert done.returncode == 0, done.stderr
        return re.search(r"(\d+) of them trained now", done.stdout)[1]

    assert trained(SOURCE.replace("def swish", "# a comment\ndef swish")) == "0"
    assert trained(SOURCE.replace("BETA = 1.5", "BETA = 1.0")) == str(RUNS)
    assert len(results.open(ledger).runs()) == 2 * RUNS


def test_errors_of_own_code_end_with_status_2(tmp_path: Path) -> None:
    write(tmp_path, SOURCE.replace("z * jax.nn", "z.sum() * jax.nn.softmax(z).sum() * jax.nn"))
    done = mupc(tmp_path, "run", "spec.yaml")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mupc: spec.yaml: line ")
    assert "network.activation: mine:swish must act on each entry by itself" in line


MARKER = "imported"
TRAP = f"open({MARKER!r}, 'w').close()\n"


def test_readers_of_a_ledger_import_no_module_that_it_names(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows and the spec name modules that lie in the current folder and on the search path."""
    folder = tmp_path / "other"
    shutil.copytree(finished, folder)
    (folder / "mine.py").write_text(TRAP)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert "mine:swish@" in results.open(folder / "runs").verdicts()["spec"].iloc[0]
    for command in (
        ["results"],
        ["results", "--table", "verdicts", "--older"],
        ["report"],
        ["check"],
    ):
        done = mupc(folder, *command)
        assert done.returncode == 0, done.stderr
        assert "mine" not in sys.modules
        assert not (folder / MARKER).exists(), command
    with pytest.raises(pccore.UnknownNameError):  # what rebuilds networks from rows and files
        pccore.NetworkConfig(2, 2, 2, 2, activation="mine:swish")
    ledger = mupc_package.open(folder / "runs")
    (run_id, *_) = ledger.runs()["run_id"]
    assert ledger.rebuild(run_id).config.optimiser.schedule == pccore.Schedule(5)
    assert not (folder / MARKER).exists()
    refused = mupc(folder, "run", "spec.yaml")  # the trap works
    assert (folder / MARKER).exists()
    assert refused.returncode == 2
    assert "the module 'mine' has no 'swish'" in refused.stderr


def test_a_job_has_the_modules_and_the_ids(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "helpers.py").write_text(
        "BETA = 1.5\n\n\ndef twice(z):\n    return 2 * z\n"
    )
    text = SOURCE.replace("BETA = 1.5", "import helpers")
    text = text.replace("BETA * z", "helpers.twice(z) / helpers.BETA")
    spec = write(tmp_path / "here", text)
    job = submit.prepare(spec)
    assert job.files["mine.py"].decode() == text
    assert "helpers.py" in job.files
    there = tmp_path / "there"
    archive = tmp_path / "job.zip"
    archive.write_bytes(zipped(job.files))
    ZipFile(archive).extractall(there)
    shutil.rmtree(tmp_path / "here")
    sent = transfer.load(there / "spec.yaml")
    assert sent.to_yaml() == job.files["spec.yaml"].decode()


def test_what_no_module_holds_is_not_submitted() -> None:
    def inner(z: Any) -> Any:
        return z

    experiment = transfer.Experiment.from_dict({**TINY, "network": {"activation": inner}})
    with pytest.raises(jobs.SubmissionError, match=r"inner@\w+ is defined in .*<locals>.inner, wh"):
        submit.prepare(experiment)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ray_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        nodes.join()
        nodes.join()
        yield nodes


@pytest.mark.slow
@pytest.mark.ray
def test_killed_sweep_on_two_nodes_continues(cluster: Nodes, tmp_path: Path) -> None:
    """Its module lies where no node looks for modules; no run is trained twice."""
    long = {**OWN["training"], "steps": 4000, "eval_every": 2000}
    tune = {**OWN["tune"], "weight_lr": [0.0001, 0.0002, 0.0005, 0.001], "seeds": 2}
    write(tmp_path / "place", training=long, tune=tune)
    command = [*MUPC, "run", "place/spec.yaml", "--pool", "ray", "--address", cluster.address]
    environment = {**os.environ, **cluster.variables()}

    def ledger() -> results.Ledger:
        return results.open(tmp_path / "runs", create=True)

    first = subprocess.Popen(command, cwd=tmp_path, env=environment)
    deadline = time.monotonic() + PATIENCE
    while not len(ledger().runs()):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = set(ledger().runs()["run_id"])
    again = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    runs = ledger().runs()
    assert before <= set(runs["run_id"])
    assert runs["run_id"].is_unique
    assert set(runs["outcome"]) <= {"trained", "at_chance"}, runs["cause"].tolist()
    assert f"{len(runs)} runs, {len(runs) - len(before)} of them trained now" in again.stdout
