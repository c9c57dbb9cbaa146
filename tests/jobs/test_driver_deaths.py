"""A driver killed at any point of its work: the same command completes with equal results."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import deaths
import pytest
from command import TINY, write_spec
from test_resume import assert_kept, same, written

import results

SMALL: dict[str, Any] = {
    "variants": ["mupc"],
    "training": {"batch_size": 64, "steps": 20, "eval_every": 10},
    "tune": {**TINY["tune"], "activity_lr": [1], "seeds": 1},
}
SOON = ("after a result is collected", "after a checkpoint is removed")
"""Deaths in `make test`, before and after the rows of a group are in the ledger."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> results.Ledger:
    """Return the ledger of a run that was not killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_spec(folder, **SMALL)
    assert deaths.run(folder) == 0
    return results.open(folder / "runs")


@pytest.mark.parametrize(
    "death",
    [
        pytest.param(name, marks=[] if name in SOON else [pytest.mark.slow])
        for name in deaths.DEATHS
    ],
)
def test_killed_driver_continues(death: str, tmp_path: Path, undisturbed: results.Ledger) -> None:
    write_spec(tmp_path, **SMALL)
    output = tmp_path / "output"
    assert deaths.run(tmp_path, death) == -signal.SIGKILL, output.read_text()
    before = written(tmp_path) if (tmp_path / "runs").exists() else Counter[str]()
    assert deaths.run(tmp_path) == 0, output.read_text()
    after = written(tmp_path)
    assert before <= after, "a finished run was lost"
    assert set(after.values()) == {1}, "a run was written twice"
    ledger = results.open(tmp_path / "runs")
    assert ledger.check() == []
    assert set(after) == set(undisturbed.runs()["run_id"])
    same(
        ledger.verdicts().drop(columns="created"),
        undisturbed.verdicts().drop(columns="created"),
    )
    assert ledger.checkpoints.groups() == [], "a finished group has left its checkpoint"
    assert_kept(ledger, tmp_path)
