"""Experiments submitted to a real Ray head node, with ledgers in a folder and on S3."""

import getpass
import json
import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import own_module
import pytest
from command import TINY, called, mupc_process, start, write_spec
from ray_head import Head, drivers, ray_head
from s3_server import BUCKET, s3_server

import jobs
import results
import transfer
from jobs import JobStatus, SubmissionError, TokenError
from pccore.data import Dataset

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LONG: dict[str, Any] = {
    "name": "long",
    "variants": ["mupc"],
    "training": {"batch_size": 64, "steps": 4000, "eval_every": 1000},
    "tune": {**TINY["tune"], "weight_lr": [0.1, 0.03], "activity_lr": [1], "seeds": 1},
}


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


@pytest.fixture(scope="module")
def head(s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Start a cluster with S3 credentials and a default ledger on S3."""
    log = tmp_path_factory.mktemp("head") / "log"
    variables = {**s3, "MUPC_LEDGER": f"{BUCKET}/own", "MUPC_LAYOUTS": "default"}
    with ray_head(log, variables) as head:
        yield head


@pytest.fixture(autouse=True)
def environment(head: Head, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the token, and an address that must not replace the given one."""
    for name, value in {**s3, "RAY_AUTH_TOKEN": head.token, "RAY_ADDRESS": "192.0.2.9:1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def actors(head: Head) -> list[str]:
    """Return the names that `ray list actors` and the dashboard show."""
    request = urllib.request.Request(f"{head.address}/api/v0/actors")
    request.add_header("Authorization", f"Bearer {head.token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)["data"]["result"]["result"]
    return [actor["name"] for actor in found]


@pytest.mark.slow
def test_killed_job_continues_when_submitted_again(
    head: Head, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger is the default of the cluster, on S3."""
    own = f"{BUCKET}/own"
    spec = write_spec(tmp_path, **LONG)

    def ask(*arguments: str) -> str:
        done = called(capsys, *arguments, "--address", head.address)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    first = jobs.submit(spec, head.address, workers=1)
    with pytest.raises(SubmissionError, match=f"job {first} already runs experiment 'long'"):
        jobs.submit(spec, head.address)
    eventually(lambda: len(results.open(own, create=True).runs()) > 0)
    assert jobs.status(first, head.address).status is JobStatus.RUNNING
    for process in drivers(head):
        os.kill(process, signal.SIGKILL)
    eventually(lambda: jobs.status(first, head.address).status.ended)
    assert jobs.status(first, head.address).status is JobStatus.FAILED
    before = results.open(own).runs()

    done = mupc_process(tmp_path, "submit", str(spec), "--address", head.address, "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    second = done.stdout.splitlines()[0].removeprefix("submitted ")
    assert done.stderr.strip() == f"{second} succeeded"
    after = results.open(own).runs()
    assert 0 < len(before) < len(after)
    assert f"{len(after)} runs, {len(after) - len(before)} of them trained now" in done.stdout
    kept = after[after["run_id"].isin(before["run_id"])]
    assert kept["started"].to_list() == before["started"].to_list()
    assert len(results.open(own).verdicts(experiment="long")) == 1

    rows = json.loads(called(capsys, "results", "--ledger", own, "--json").stdout)["rows"]
    assert [row["run_id"] for row in rows] == after["run_id"].to_list()
    status = json.loads(ask("status", second, "--json"))
    assert (status["id"], status["status"], status["ledger"]) == (second, "succeeded", None)
    progress = status["progress"]
    assert (progress["done"], progress["phase"]) == (progress["total"], "transfer")
    assert progress["done"] == len(after)
    assert progress["runs_per_minute"] > 0
    assert status["user"] == getpass.getuser()
    (listed,) = (job for job in json.loads(ask("list", "--json"))["jobs"] if job["id"] == second)
    assert listed.items() <= status.items()
    (line,) = [line for line in ask("list").splitlines() if second in line]
    assert f"{len(after)}/{len(after)}" in line
    assert getpass.getuser() in line
    assert "Did the optimum transfer?" in ask("logs", second)
    assert "succeeded" in ask("stop", second)  # it has ended, and stays as it is
    assert jobs.status(second, head.address).exit_status == 0

    # Two values of eta have no inside, so that no verdict can be "held".
    named = ["--fail-on", "drifted,inconclusive", "--fail-on", "edge"]
    arguments = ["submit", str(spec), "--address", head.address, "--follow", *named]
    done = mupc_process(tmp_path, *arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    third = done.stdout.splitlines()[0].removeprefix("submitted ")
    assert done.stderr.strip() == f"{third} failed"
    assert json.loads(ask("status", third, "--json"))["exit_status"] == 4
    assert "4 (a verdict that --fail-on names)" in ask("status", third)


def test_job_outlives_its_follower_and_prints_how_to_continue(head: Head, tmp_path: Path) -> None:
    endless = {"batch_size": 64, "steps": 1_000_000, "eval_every": 1000}
    spec = write_spec(tmp_path, **{**LONG, "training": endless})
    ledger = tmp_path / "shared"
    job = jobs.submit(spec, head.address, ledger=str(ledger), workers=1)
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell in the background
    try:
        following = start(tmp_path, "logs", job, "--follow", "--address", head.address)
    finally:
        signal.signal(signal.SIGINT, ours)
    with following as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, err = follower.communicate(timeout=60)
    assert follower.returncode == 130, err
    assert err.strip().startswith(f"{job} continues: mupc logs {job} --follow")

    eventually(lambda: "runs |" in jobs.logs(job, head.address))
    assert [name for name in actors(head) if re.fullmatch(r"long worker \d+", name)]
    seen = jobs.status(job, head.address).progress
    assert seen is not None
    assert (seen.phase, seen.lanes, seen.done) == ("tune", 2, 0)
    stopped = jobs.stop(job, head.address)
    assert stopped.status is JobStatus.STOPPED
    assert stopped.ended is not None
    last = jobs.logs(job, head.address).strip().splitlines()[-1]
    again = f"mupc submit {spec} --address {head.address} --ledger {ledger} --workers 1"
    assert last.startswith(f"stopped (SIGTERM), runs safe in {ledger}: ")
    assert last.endswith(f"to continue: {again}")
    listed = jobs.list_jobs(head.address)[0]
    assert listed.progress is not None
    assert replace(listed, progress=None) == stopped


def test_job_of_own_things_runs_the_code_that_was_sent(head: Head, tmp_path: Path) -> None:
    """The module is beside the spec here, and nowhere on the cluster."""
    here = tmp_path / "here"
    here.mkdir()
    spec = write_spec(here, network={"activation": "mine:swish"}, variants=["bp"])
    shutil.copy(own_module.__file__, here / "mine.py")
    (name,) = transfer.load(spec).own
    ledger = tmp_path / "runs"
    job = jobs.submit(spec, head.address, ledger=str(ledger), workers=1)
    shutil.rmtree(here)
    eventually(lambda: jobs.status(job, head.address).status.ended, 240)
    assert jobs.status(job, head.address).status is JobStatus.SUCCEEDED, jobs.logs(
        job, head.address
    )
    assert set(results.open(ledger).runs()["activation"]) == {str(name)}


def test_data_of_ones_own_travel_with_the_job(head: Head, tmp_path: Path) -> None:
    """The runs of the cluster are those that this machine would ask for."""
    x = np.random.RandomState(0).standard_normal((200, 5))
    data = Dataset.from_arrays(x, x[:, :3].argmax(axis=1))
    small = {"batch_size": 32, "steps": 10, "eval_every": 5}
    spec = transfer.load(write_spec(tmp_path, **{**LONG, "training": small}), dataset=data)
    ledger = tmp_path / "shared"
    job = jobs.submit(spec, head.address, ledger=str(ledger), workers=1)
    log = "".join(jobs.follow(job, head.address))
    assert jobs.status(job, head.address).status is JobStatus.SUCCEEDED, log
    runs = results.open(ledger).runs()
    assert set(runs["dataset_digest"]) == {data.digest}
    assert set(runs["dataset"]) == {data.name}


@pytest.mark.parametrize("token", ["", "another"])
def test_rejects_missing_or_wrong_token(
    head: Head, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TokenError, match="token"):
        jobs.list_jobs(head.address)


@pytest.mark.parametrize("job", ["unknown", "../../version", "", "a/b", "x" * 200])
def test_rejects_unknown_job(head: Head, job: str) -> None:
    for ask in (jobs.status, jobs.logs, jobs.stop):
        with pytest.raises(SubmissionError, match=f"no job {job!r} at {head.address}"):
            ask(job, head.address)
