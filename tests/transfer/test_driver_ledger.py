"""`transfer.run` on a ledger on disk: recording, reading back, resuming."""

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fewer import cases
from transfer_fakes import FormulaPool, Killed, spec

import results
from pccore import Outcome, Status, TrainingConfig
from results import DamagedFileWarning
from transfer import Cell, Experiment, run
from transfer.engine.result import TransferResult


def response(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
    """Return outcomes of every kind; the losses have no short decimal form."""
    if cell.weight_lr >= 1:
        return Outcome(Status.DIVERGED, steps=3, diverged_step=3)
    if cell == Cell(0.01, 100) and config.network.depth == 4:
        return Outcome.failed("out of memory")
    if cell == Cell(0.01, 0.1):
        return Outcome(Status.AT_CHANCE, 2.3, 2.2, 2.3, 0.1, steps=10)
    return (1 + seed / 7) / (3 if cell == Cell(0.1, 10) else 1.3)


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "created"} for row in rows]


SAMPLERS = {"grid": {}, "tpe": {"sampler": "tpe", "trials": 10}}


@pytest.mark.parametrize("sampler", cases(SAMPLERS, 1))
def test_killed_job_resumes_from_the_files(tmp_path: Path, sampler: str) -> None:
    experiment = Experiment.from_dict(spec(tune=SAMPLERS[sampler], variants=["mupc", "bp"]))
    pool = FormulaPool(response)
    whole = run(experiment, results.open(tmp_path / "whole", create=True), pool)
    trained: list[str] = []
    for groups in (0, 1, 5, 3, 4):
        part = FormulaPool(response, results=groups)
        with pytest.raises(Killed):
            run(experiment, results.open(tmp_path / "parts", create=True), part)
        trained += part.trained
    rest = FormulaPool(response)
    resumed = run(experiment, results.open(tmp_path / "parts"), rest)
    failed = {row for row in trained if trained.count(row) > 1}
    assert Counter(trained + rest.trained).keys() == Counter(pool.trained).keys()
    frame = results.open(tmp_path / "parts").runs()
    assert set(frame.loc[frame["run_id"].isin(failed), "outcome"]) <= {"failed"}
    assert sorted(frame["run_id"]) == sorted(pool.trained)
    assert without_time(resumed.verdicts) == without_time(whole.verdicts)


def test_ledger_returns_runs_and_verdicts_unchanged(tmp_path: Path) -> None:
    ledger = results.open(tmp_path, create=True)
    experiment = Experiment.from_dict(spec(name="first"))
    judged = run(experiment, ledger, FormulaPool(response)).verdicts
    rows = ledger.verdicts(experiment="first").to_dict("records")
    for row, expected in zip(rows, sorted(judged, key=lambda row: row["depth"]), strict=True):
        assert {key: row[key] for key in ("verdict", "reason", "cells", "loss", "seeds")} == {
            key: expected[key] for key in ("verdict", "reason", "cells", "loss", "seeds")
        }
        assert Experiment.from_dict(json.loads(row["spec"])) == experiment

    again = FormulaPool(response)
    run(Experiment.from_dict(spec(name="second")), ledger, again)
    first, second = ledger.runs(experiment="first"), ledger.runs(experiment="second")
    # Only the failed runs were trained again; the others are there once under each name.
    assert len(again.trained) == len(first[first["outcome"] == "failed"]) == 3
    assert sorted(first["run_id"]) == sorted(second["run_id"])
    assert len(ledger.runs()) == len(first)
    for column in ("final_train_loss", "diverged_step", "seconds", "started", "activity_lr"):
        done = [
            frame[frame["outcome"] != "failed"].set_index("run_id") for frame in (first, second)
        ]
        assert done[0][column].sort_index().equals(done[1][column].sort_index())


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransferResult, pd.DataFrame]:
    """The verdicts and the runs of an experiment whose losses are all the same."""
    ledger = results.open(tmp_path_factory.mktemp("honest"), create=True)
    whole = run(Experiment.from_dict(spec()), ledger, FormulaPool(lambda *_: 0.5))
    return whole, ledger.runs()


LIES: dict[str, dict[str, Any]] = {
    "width": {"width": 999},
    "seed, elsewhere": {"seed": 77, "experiment": "another"},
    "no settings": {"steps": None, "conventions": None},
    "loss": {"final_train_loss": float("nan")},
    "accuracy": {"test_accuracy": 7.0},
    "no data": {"dataset_digest": None},
}


@pytest.mark.parametrize("lie", cases(LIES, 4))
def test_trains_a_run_that_a_row_only_claims(
    tmp_path: Path, lie: str, honest: tuple[TransferResult, pd.DataFrame]
) -> None:
    """The row is older than the true one, which counts nevertheless, also for later processes."""
    experiment = Experiment.from_dict(spec())
    whole, runs = honest
    row = runs.iloc[0].to_dict()
    forged = {key: value for key, value in row.items() if key != "group"}
    ledger = results.open(tmp_path / "l", create=True)
    ledger.append([forged | {"final_train_loss": 1e-6} | LIES[lie]])

    again = FormulaPool(lambda *_: 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFileWarning)
        resumed = run(experiment, ledger, again)
        assert sorted(again.trained) == sorted(runs["run_id"])
        assert without_time(resumed.verdicts) == without_time(whole.verdicts)
        nothing = FormulaPool(lambda *_: 0.5)
        later = run(experiment, ledger, nothing)
        assert nothing.trained == []
        assert without_time(later.verdicts) == without_time(whole.verdicts)


def test_retrains_only_runs_of_a_quarantined_file(tmp_path: Path) -> None:
    experiment = Experiment.from_dict(spec())
    pool = FormulaPool(lambda *_: 0.5)
    whole = run(experiment, results.open(tmp_path, create=True), pool)
    ledger = results.open(tmp_path)
    before = ledger.runs()
    victim = max((tmp_path / "runs").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    assert len(ledger.quarantine()) == 1
    lost = set(before["run_id"]).difference(ledger.runs()["run_id"])
    assert 0 < len(lost) < len(before)
    again = FormulaPool(lambda *_: 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DamagedFileWarning)
        resumed = run(experiment, results.open(tmp_path), again)
    assert sorted(again.trained) == sorted(lost)
    assert without_time(resumed.verdicts) == without_time(whole.verdicts)
    assert list(ledger.runs()["run_id"]) == list(before["run_id"])
