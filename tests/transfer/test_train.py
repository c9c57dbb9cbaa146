"""`transfer.train`, for runs that belong to no search."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import pytest
from transfer_fakes import FormulaPool, TrainingPool

import pccore
import results
import transfer
from pccore.theory import probe_registry
from transfer import Run

DIGITS, TOY = (pccore.data.load(name) for name in ("digits", "toy_sine"))


@dataclass(frozen=True)
class Norm:
    """Measures a power of the norm of the first weights."""

    power: int = 1
    source: ClassVar[str] = "thesis 5.4.2"

    def measure(self, network, x, y, activity_lr):
        return {"norm": jnp.linalg.norm(network.first) ** self.power}


@pytest.fixture
def registered(monkeypatch):
    named = pccore.Registry("probe", {"norm": Norm})
    monkeypatch.setattr("transfer.engine.runs.PROBES", named)
    assert probe_registry.PROBES is not named


def run(data: pccore.data.Dataset, depth: int = 2, seed: int = 0, **changes) -> Run:
    network = pccore.NetworkConfig(data.input_size, data.output_size, width=4, depth=depth)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(depth))
    config = pccore.TrainingConfig(network, rule, batch_size=16, steps=4, eval_every=2)
    return Run(
        data.name, data.digest, "ours", replace(config, **changes), pccore.Lane(0.1, 1.0, seed)
    )


def test_train_records_runs_of_several_data_sets_under_one_name(tmp_path):
    ledger = results.open(tmp_path / "runs", create=True)
    runs = [run(DIGITS), run(DIGITS, depth=3), run(TOY), run(TOY, seed=1)]
    transfer.train("trial", runs, ledger, TrainingPool())
    frame = ledger.runs(experiment="trial")
    assert sorted(frame["run_id"]) == sorted(r.run_id for r in runs)
    assert set(frame["phase"]) == {"reproduce"}
    assert set(frame["dataset"]) == {"digits", "toy_sine"}


def test_train_reuses_runs_of_other_experiments(tmp_path):
    ledger = results.open(tmp_path / "runs", create=True)
    transfer.train("one", [run(DIGITS)], ledger, TrainingPool())
    pool = FormulaPool(lambda *_: 1.0)
    transfer.train("two", [run(DIGITS), run(DIGITS, seed=1)], ledger, pool)
    assert pool.trained == [run(DIGITS, seed=1).run_id]
    assert len(ledger.runs(experiment="two")) == 2
    transfer.train("two", [], ledger, pool)
    assert len(pool.trained) == 1


def test_train_records_readings_of_probes(tmp_path, registered):
    ledger = results.open(tmp_path / "runs", create=True)
    probed = run(DIGITS, probes=(Norm(2),))
    transfer.train("trial", [probed], ledger, TrainingPool())
    rows = ledger.measurements(run_id=probed.run_id)
    assert rows["step"].to_list() == [0, 2, 4]
    assert set(rows["quantity"]) == {"norm"}
    assert set(rows["source"]) == {"thesis 5.4.2"}
    assert (rows["value"] > 0).all()
    assert rows[["width", "depth", "seed"]].drop_duplicates().to_numpy().tolist() == [[4, 2, 0]]
    assert ledger.runs()["probes"].to_list() == ['[{"name": "norm", "power": 2}]']


def test_probes_change_the_run_id(registered):
    plain, once, twice = run(DIGITS), run(DIGITS, probes=(Norm(),)), run(DIGITS, probes=(Norm(2),))
    assert len({plain.run_id, once.run_id, twice.run_id}) == 3
    assert "probes" not in plain.determinants


def test_initial_std_changes_the_run_id():
    near = run(DIGITS)
    network = replace(near.config.network, initial_std=5e-3)
    near = replace(near, config=replace(near.config, network=network))
    assert near.run_id != run(DIGITS).run_id
    assert near.determinants["network_options"] == '{"initial_std": 0.005}'
