"""A command killed at any moment continues: nothing lost or repeated, same verdict."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command import mupc, start, write_spec
from pool_trainers import PATIENCE, wait_for

import results

Moment = Callable[[Path], bool]


def parts(folder: Path, table: str) -> list[Path]:
    """Return the published files of a table."""
    return [path for path in (folder / "runs" / table).rglob("*.parquet") if path.name[0] != "."]


def published(table: str, count: int) -> Moment:
    return lambda folder: len(parts(folder, table)) >= count


# In the order in which an undisturbed run passes them.
MOMENTS: dict[str, Moment] = {
    "the ledger's folder appears": lambda folder: (folder / "runs").exists(),
    "the first curves appear": published("curves", 1),
    "the first runs appear": published("runs", 1),
    "half of the tuning is done": published("runs", 4),
    "the first verdict appears": published("verdicts", 1),
    "the report's folder appears": lambda folder: (folder / "report").exists(),
}


def kill_when(folder: Path, moment: Moment) -> bool:
    """Run `mupc` and kill it with SIGKILL at the moment; return False if it ended before."""
    process = start(folder, "run", "spec.yaml")
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and not moment(folder):
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def written(folder: Path) -> Counter[str]:
    """Count how often each run was written to a file."""
    ids = [
        run for path in parts(folder, "runs") for run in pq.read_table(path)["run_id"].to_pylist()
    ]
    return Counter(ids)


def same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Compare frames, floats up to rounding: lanes are grouped differently after a restart."""
    assert list(ours.columns) == list(theirs.columns)
    assert len(ours) == len(theirs)
    for column in ours:
        mine, other = ours[column].to_numpy(object), theirs[column].to_numpy(object)
        for a, b in zip(mine, other, strict=True):
            if isinstance(a, float) and isinstance(b, float):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=str(column))
            elif column == "reason":
                assert re.sub(r"[\d.]+", "#", a) == re.sub(r"[\d.]+", "#", b)
            else:
                assert a is b or a == b, column


def assert_kept(ledger: results.Ledger, folder: Path) -> None:
    """Check that the files of weights are those that the rows name."""
    rows = ledger.runs()
    rows = rows[rows["weights_digest"].notna()]
    named = rows["run_id"] + "-" + rows["weights_digest"] + ".safetensors"
    assert len(named) > 0
    assert {path.name for path in (folder / "runs" / "weights").iterdir()} == set(named)


@pytest.fixture
def undisturbed(home: Path) -> results.Ledger:
    """Return the ledger of a run that was not killed."""
    return results.open(str(home / "runs"))


def check_finished(folder: Path, undisturbed: results.Ledger) -> None:
    """Complete the killed run, and compare it with the one that was not killed."""
    before = written(folder)
    done = mupc(folder, "run", "spec.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["verdicts"]) == 2
    after = written(folder)
    assert before <= after, "a finished run was lost"
    assert set(after.values()) == {1}, "a run was written twice"
    ledger = results.open(str(folder / "runs"))
    assert ledger.check() == []
    assert_kept(ledger, folder)
    assert set(after) == set(undisturbed.runs()["run_id"])
    same(
        ledger.verdicts().drop(columns="created"),
        undisturbed.verdicts().drop(columns="created"),
    )


@pytest.mark.slow  # test_driver_deaths.py does the same in forked processes
def test_killed_at_every_named_moment(tmp_path: Path, undisturbed: results.Ledger) -> None:
    write_spec(tmp_path)
    killed = [kill_when(tmp_path, moment) for moment in MOMENTS.values()]
    assert sum(killed) >= len(MOMENTS) - 1  # the process may end before the last
    check_finished(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments(tmp_path: Path, undisturbed: results.Ledger, seed: int) -> None:
    write_spec(tmp_path)
    chance = random.Random(seed)
    for _ in range(3):
        end = time.monotonic() + chance.uniform(2, 6)
        kill_when(tmp_path, lambda _, end=end: time.monotonic() > end)
    check_finished(tmp_path, undisturbed)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=[pytest.mark.slow])],
)
def test_stopped_command_ends_early_and_prints_how_to_continue(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    # Training takes moments at depth 2, and minutes at depth 512, where it is evaluated once.
    steps = {"batch_size": 64, "steps": 2000, "eval_every": 2000}
    tune = {"width": 4, "depth": 2, "weight_lr": [0.1], "activity_lr": [1], "seeds": 1}
    write_spec(tmp_path, variants=["mupc"], training=steps, tune=tune, transfer={"depths": [512]})
    process = start(tmp_path, "run", "spec.yaml")
    wait_for(lambda: parts(tmp_path, "runs") or process.poll() is not None)
    time.sleep(1)  # the deep network is being compiled or trained now
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    last = err.strip().splitlines()[-1]
    assert "runs safe in runs: 1;" in last
    assert last.endswith("to continue: mupc run spec.yaml")


def test_second_ctrl_c_ends_the_process_at_once(tmp_path: Path) -> None:
    script = (
        "import os, signal, time\n"
        "from jobs.cli.stopping import SignalHandler\n"
        "SignalHandler().install()\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(3600)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=PATIENCE, check=False)
    assert done.returncode == 130
