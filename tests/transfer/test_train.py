"""`transfer.train`, for runs that belong to no search."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import pytest
from transfer_fakes import FormulaPool, TrainingPool, spec

import pccore
import results
import transfer
from pccore.theory import probe_registry
from transfer import Run

DIGITS, TOY = (pccore.data.load(name) for name in ("digits", "toy_sine"))


@dataclass(frozen=True)
class Norm(pccore.Probe):
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


def test_spec_requests_probes_of_every_run_by_layer(tmp_path):
    """One step of inference moves the top hidden layer only."""
    training = {
        "steps": 2,
        "inference": {"scheme": "gradient_descent", "steps": 1},
        "probes": ["gradient_cosine", "weight_gradient_norm"],
    }
    tune = {"depth": 4, "weight_lr": [0.1], "activity_lr": [1], "seeds": 1}
    values = spec(training=training, tune=tune, transfer={"depths": [8]})
    ledger = results.open(tmp_path / "runs", create=True)
    transfer.run(transfer.Experiment.from_dict(values), ledger, TrainingPool())
    depth = 4
    rows = ledger.measurements(quantity="gradient_cosine", depth=depth)
    found = rows.sort_values(["step", "layer"])[["step", "layer"]].to_numpy().tolist()
    assert found == [[step, layer] for step in (0, 1, 2) for layer in range(1, depth + 2)]
    assert (rows["value"].notna() == (rows["layer"] >= depth)).all()
    (first,) = rows[(rows["layer"] == depth) & (rows["step"] == 0)]["value"]
    assert first == pytest.approx(1, abs=1e-5)
    ratios = ledger.measurements(quantity="relative_gradient_rms", depth=depth)
    assert (ratios["value"] == 0)[ratios["layer"] < depth].all()
    whole = ledger.measurements(quantity="weight_gradient_norm", depth=depth)
    assert len(whole) == 3
    assert whole["layer"].isna().all()


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
