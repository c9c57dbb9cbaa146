"""Experiments on data of a user's own: identity by content, from the spec to the ledger."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transfer_fakes import FormulaPool, TrainingPool, spec

import results
import transfer
from pccore.data import Dataset
from transfer import Experiment, SpecError
from transfer.engine.plan import Plan

X = np.random.RandomState(0).standard_normal((150, 4))
Y = X[:, :3].argmax(axis=1)
DATA = Dataset.from_arrays(X, Y)
SMALL: dict[str, Any] = {
    "variants": ["mupc"],
    "training": {"steps": 10, "batch_size": 16},
    "tune": {"width": 4, "depth": 2, "weight_lr": [0.1], "activity_lr": [1], "seeds": 1},
    "transfer": {"depths": [3]},
}


def on(dataset: object) -> dict[str, Any]:
    values: dict[str, Any] = spec(**SMALL)
    return {**values, "dataset": dataset}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """The same content in an .npz file and in a CSV file, as specs name them."""
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    rows = np.column_stack([X, Y]).tolist()
    text = "".join(",".join(map(repr, [*row, int(y)])) + "\n" for *row, y in rows)
    (tmp_path / "my.csv").write_text("a,b,c,d,y\n" + text)
    return {
        "npz": {"file": str(tmp_path / "my.npz")},
        "csv": {"file": str(tmp_path / "my.csv"), "target": "y"},
    }


def run_ids(experiment: Experiment) -> list[str]:
    plan = Plan.of(experiment)
    (arm,) = plan.arms
    return [run.run_id for run in plan.runs(arm, experiment.tune.shape, arm.space.cells)]


def test_run_ids_depend_on_content_alone(files: dict[str, Any]) -> None:
    arrays, npz, csv = (Experiment.from_dict(on(d)) for d in (DATA, files["npz"], files["csv"]))
    assert run_ids(arrays) == run_ids(npz) == run_ids(csv)
    path = Experiment.from_dict(on({"file": Path(files["npz"]["file"])}))
    assert run_ids(path) == run_ids(npz)
    assert arrays.data.name == f"data-{DATA.digest[:12]}"
    other = Experiment.from_dict(on(Dataset.from_arrays(X + 1, Y, normalise=None)))
    assert set(run_ids(other)).isdisjoint(run_ids(arrays))


def test_ledger_continues_whatever_the_data_come_from(
    files: dict[str, Any], tmp_path: Path
) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    pool = FormulaPool(lambda config, cell, seed: 1.0)
    first = transfer.run(Experiment.from_dict(on(DATA)), ledger, pool)
    runs = ledger.runs()
    assert set(runs["dataset"]) == {DATA.name}
    assert set(runs["dataset_digest"]) == {DATA.digest}
    assert ledger.check() == []
    idle = FormulaPool(lambda *_: pytest.fail("nothing is left to train"))
    again = transfer.run(Experiment.from_dict(on(files["csv"])), ledger, idle)
    assert again.verdicts[0]["regret"] == first.verdicts[0]["regret"]
    specs = ledger.verdicts(latest=False)["spec"]
    assert len(set(specs)) == 1  # of the content, not of the place that it was read from
    assert DATA.digest in specs[0]


def test_run_takes_another_data_set(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    experiment = Experiment.from_dict(on("digits"))
    transfer.run(experiment, ledger, FormulaPool(lambda *_: 1.0), dataset=DATA)
    assert set(ledger.runs()["dataset"]) == {DATA.name}
    large = on("digits")
    large["training"] = {"steps": 10, "batch_size": 512}
    with pytest.raises(SpecError, match=f"at most 120, the training samples of {DATA.name}"):
        transfer.run(Experiment.from_dict(large), ledger, TrainingPool(), dataset=DATA)


def test_regression_of_ones_own_is_judged(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    data = Dataset.from_arrays(X, X[:, :2] - X[:, 2:])
    pool = FormulaPool(lambda config, cell, seed: 1.0)
    result = transfer.run(Experiment.from_dict(on(data)), ledger, pool)
    assert len(result.verdicts) == 1
    assert {group.own for group in pool.submitted} == {data}
    crossed = {**on(data), "network": {"output": "cross_entropy"}}
    with pytest.raises(SpecError, match=f"must be 'mse' for {data.name}, which is a regression"):
        Experiment.from_dict(crossed)


def test_train_takes_data_of_ones_own(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    plan = Plan.of(Experiment.from_dict(on(DATA)))
    (arm,) = plan.arms
    runs = plan.runs(arm, plan.experiment.tune.shape, arm.space.cells)
    transfer.train("mine", runs, ledger, TrainingPool(), datasets=[DATA])
    assert ledger.runs()["run_id"].to_list() == [run.run_id for run in runs]


def test_paths_start_from_the_folder_of_the_spec(
    files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    place = tmp_path / "spec.yaml"
    place.write_text(yaml.safe_dump(on({"file": "my.csv", "target": "y"})))
    loaded = transfer.load(place)
    assert run_ids(loaded) == run_ids(Experiment.from_dict(on(DATA)))
    assert Experiment.from_yaml(loaded.to_yaml()) == loaded
    place.write_text(yaml.safe_dump(on({"file": ["my.npz", "my.csv"], "test": "none.csv"})))
    with pytest.raises(SpecError, match=r"spec\.yaml: line \d+: dataset: "):
        transfer.load(place)


def test_spec_without_data_set_takes_one_from_python(tmp_path: Path) -> None:
    values = on(None)
    del values["dataset"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(SpecError, match="dataset is missing"):
        transfer.load(tmp_path / "spec.yaml")
    assert transfer.load(tmp_path / "spec.yaml", dataset=DATA).data == DATA.info


def test_arrays_are_not_written_in_yaml() -> None:
    experiment = Experiment.from_dict(on(DATA))
    with pytest.raises(SpecError, match=f"{DATA.name} is in memory only: save its arrays in a fi"):
        experiment.to_yaml()
    assert experiment.to_dict()["dataset"] == {"name": DATA.name, "digest": DATA.digest}


@pytest.mark.parametrize("given", [X, (X, Y), [X.tolist(), Y.tolist()]])
def test_bare_arrays_are_sent_to_from_arrays(given: object) -> None:
    with pytest.raises(SpecError, match=r"in Python a mupc\.Dataset\.from_arrays\(x, y\)"):
        Experiment.from_dict(on(given))
