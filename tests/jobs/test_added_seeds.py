"""A job that adds seeds is killed and resumed on real pools, with the same runs."""

from pathlib import Path

import pool_trainers as trainers
import pytest
from fewer import ray_later
from pool_trainers import MakePool

import results
import transfer
from pccore import Outcome
from transfer.engine.runs import AnyRun

SPEC = transfer.Experiment.from_dict(
    {
        "name": "added",
        "dataset": "digits",
        "variants": ["mupc"],
        "training": {"steps": 4},
        "tune": {
            "width": 8,
            "depth": 2,
            "weight_lr": [0.01, 0.03, 0.1, 0.3],
            "activity_lr": "spectral",
        },
        "transfer": {"depths": [4, 8], "seeds": "auto"},
        "keep": "none",
    }
)


class Killed(BaseException):
    """Stands for the death of the driver."""


class Kills(transfer.Progress):
    """Ends the job after some runs."""

    def __init__(self, runs: int) -> None:
        self.left = runs

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@ray_later
def test_a_killed_job_asks_for_the_same_runs(make_pool: MakePool, tmp_path: Path) -> None:
    """The 12 runs of the search and the first 12 at the targets are done, and an added one."""
    whole, killed = (results.open(tmp_path / name, create=True) for name in ("whole", "killed"))
    for ledger, kill in ((whole, None), (killed, 25), (killed, None)):
        pool = make_pool(2, train=trainers.noisy_bowl)
        if kill is None:
            transfer.run(SPEC, ledger, pool)
        else:
            with pytest.raises(Killed):
                transfer.run(SPEC, ledger, pool, progress=Kills(kill))
            assert len(ledger.runs()) < len(whole.runs())
        pool.close()
    columns = ["depth", "verdict", "regret", "seeds", "seeds_added", "added", "seeds_needed"]
    ours, theirs = (each.verdicts()[columns].to_dict("records") for each in (killed, whole))
    assert str(ours) == str(theirs)
    assert set(killed.runs()["run_id"]) == set(whole.runs()["run_id"])
    assert theirs[0]["seeds_added"] > 0
