"""A pruned search that is killed continues to the same decisions and the same losses, bit for bit.

So does one on another pool.
"""

import signal
from pathlib import Path
from typing import Any

import deaths
import numpy as np
import pandas as pd
import pytest
from command import write_spec

import mupc
import results

SMALL: dict[str, Any] = {
    "variants": ["mupc"],
    "training": {"batch_size": 64, "steps": 20, "eval_every": 4},
    "tune": {
        "width": 8,
        "depth": 2,
        "weight_lr": [0.3, 0.1, 0.03, 0.01],
        "activity_lr": [10, 1],
        "seeds": 2,
        "prune": "halving",
    },
}
COLUMNS = ["run_id", "outcome", "steps_done", "final_train_loss", "test_accuracy"]


def rows(ledger: results.Ledger) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = ledger.runs(COLUMNS, phase="tune").sort_values("run_id", ignore_index=True)
    return found, ledger.curves(run_id=list(found["run_id"])).drop(columns="group")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> results.Ledger:
    """Return the ledger of a run that was not killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_spec(folder, **SMALL)
    assert deaths.run(folder) == 0
    return results.open(folder / "runs")


def assert_same(ledger: results.Ledger, other: results.Ledger) -> None:
    for mine, theirs in zip(rows(ledger), rows(other), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
    np.testing.assert_array_equal(ledger.verdicts()["weight_lr"], other.verdicts()["weight_lr"])
    assert ledger.check() == []
    assert ledger.checkpoints.groups() == []


def test_search_pruned_some_runs(undisturbed: results.Ledger) -> None:
    outcomes = undisturbed.runs(["outcome"], phase="tune")["outcome"]
    assert set(outcomes) >= {"pruned", "trained"}


@pytest.mark.parametrize(
    "death",
    [
        "after rows are appended",
        pytest.param("after a checkpoint", marks=pytest.mark.slow),
        pytest.param("before rows are appended", marks=pytest.mark.slow),
        pytest.param("after a checkpoint is removed", marks=pytest.mark.slow),
    ],
)
def test_killed_search_continues_bit_for_bit(
    death: str, tmp_path: Path, undisturbed: results.Ledger
) -> None:
    write_spec(tmp_path, **SMALL)
    output = tmp_path / "output"
    assert deaths.run(tmp_path, death) == -signal.SIGKILL, output.read_text()
    assert deaths.run(tmp_path) == 0, output.read_text()
    assert_same(results.open(tmp_path / "runs"), undisturbed)


@pytest.mark.slow
def test_ray_makes_the_same_decisions(tmp_path: Path, undisturbed: results.Ledger) -> None:
    experiment = mupc.load(write_spec(tmp_path, **SMALL))
    ledger = results.open(tmp_path / "runs", create=True)
    with mupc.RayPool(2, checkpoints=ledger.checkpoints) as pool:
        mupc.run(experiment, ledger, pool)
    assert_same(ledger, undisturbed)
