"""Several drivers on one ledger at the same time: each run is trained once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from transfer_fakes import FormulaPool, Killed, Response, spec

import results
from pccore import Outcome, TrainingConfig
from results import Claims
from results.storage import claims
from transfer import Cell, Experiment, Progress, run
from transfer.engine import scheduler
from transfer.engine.pool import GroupResult

EXPERIMENT = Experiment.from_dict(spec(tune={"seeds": 2}, transfer={"depths": [4]}))


def loss(config: TrainingConfig, cell: Cell, seed: int) -> float:
    return (1 + seed / 7) / (3 if cell == Cell(0.1, 10) else 1.3)


class SlowPool(FormulaPool):
    """Takes a moment for every group, so that drivers overlap."""

    def __init__(self, response: Response) -> None:
        super().__init__(response, slots=1, lanes=6)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        time.sleep(0.03)
        return super().collect(timeout)


class Sharing(Progress):
    """Keeps the other drivers that are reported."""

    def __init__(self) -> None:
        self.drivers: set[str] = set()

    def sharing(self, drivers: Any, runs: int) -> None:
        self.drivers.update(drivers)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(claims, "BACKOFF_SECONDS", 0.02)


def rows(result: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "created"} for row in result.verdicts]


def written(folder: Path) -> Counter[str]:
    """Count the rows of every run in the files."""
    import pyarrow.parquet as pq

    files = (folder / "runs").glob("*.parquet")
    return Counter(name for file in files for name in pq.read_table(file)["run_id"].to_pylist())


def test_two_drivers_share_the_runs(tmp_path: Path) -> None:
    alone = run(EXPERIMENT, results.open(tmp_path / "alone", create=True), FormulaPool(loss))
    results.open(tmp_path / "both", create=True)
    pools, seen = [SlowPool(loss), SlowPool(loss)], [Sharing(), Sharing()]

    def drive(number: int) -> Any:
        ledger = results.open(tmp_path / "both")
        return run(EXPERIMENT, ledger, pools[number], progress=seen[number])

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(drive, range(2)))
    trained = [run_id for pool in pools for run_id in pool.trained]
    assert sorted(trained) == sorted(set(trained))
    assert all(pool.trained for pool in pools)
    assert set(written(tmp_path / "both").values()) == {1}
    assert rows(found[0]) == rows(found[1]) == rows(alone)
    assert all("test on " in name for each in seen for name in each.drivers)
    assert any(each.drivers for each in seen)


def test_another_experiment_gets_the_shared_runs_under_its_name(tmp_path: Path) -> None:
    other = Experiment.from_dict(EXPERIMENT.to_dict() | {"name": "other"})
    results.open(tmp_path, create=True)
    pools = [SlowPool(loss), SlowPool(loss)]

    def drive(number: int) -> Any:
        return run((EXPERIMENT, other)[number], results.open(tmp_path), pools[number])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(drive, range(2)))
    trained = [run_id for pool in pools for run_id in pool.trained]
    assert sorted(trained) == sorted(set(trained))
    ledger = results.open(tmp_path)
    ids = [set(ledger.runs(experiment=name)["run_id"]) for name in ("test", "other")]
    assert ids[0] == ids[1] == set(trained)


def test_runs_of_a_driver_that_was_killed_are_trained_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = results.open(tmp_path, create=True)
    pool = FormulaPool(loss, results=2)
    with monkeypatch.context() as killed:
        killed.setattr(Claims, "__exit__", lambda self, *_: self._closing.set())
        with pytest.raises(Killed):
            run(EXPERIMENT, ledger, pool)
    monkeypatch.setattr(claims, "_exists", lambda pid: False)  # of the killed process
    pool = FormulaPool(loss)
    began = time.monotonic()
    run(EXPERIMENT, ledger, pool)
    assert time.monotonic() - began < claims.EXPIRY_SECONDS
    assert set(written(tmp_path).values()) == {1}


def test_a_run_that_the_other_driver_fails_is_trained_here(tmp_path: Path) -> None:
    results.open(tmp_path, create=True)
    pools = [SlowPool(lambda *_: Outcome.failed("no memory")), SlowPool(loss)]

    def drive(number: int) -> Any:
        return run(EXPERIMENT, results.open(tmp_path), pools[number])

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(drive, range(2)))
    assert all(pool.trained for pool in pools)
    assert [row["runs_failed"] for row in found[1].verdicts] == [0]


def test_a_driver_taken_for_dead_says_that_runs_were_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not run for minutes: another one took its claims, and recorded the runs."""
    monkeypatch.setattr(claims, "SILENCE_SECONDS", 0.0)
    ledger = results.open(tmp_path, create=True)

    class Paused(FormulaPool):
        def collect(self, timeout: float | None = None) -> list[GroupResult]:
            if not self.trained:
                with monkeypatch.context() as dead:
                    dead.setattr(Claims, "_alive", lambda *_: False)
                    run(EXPERIMENT, results.open(tmp_path), FormulaPool(loss))
            return super().collect(timeout)

    pool = Paused(loss)
    with pytest.warns(RuntimeWarning, match="were trained twice: another driver took this one"):
        run(EXPERIMENT, ledger, pool)
    assert set(written(tmp_path).values()) == {1}
