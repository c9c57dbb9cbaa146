"""A name that was used for several specs: reports and verdicts show the newest one alone."""

from collections.abc import Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from fewer import cases
from transfer_fakes import FormulaPool, Killed, spec

import results
from pccore import TrainingConfig
from results.page.report import report
from results.page.sections import Section, collect
from transfer import Cell, Experiment, run

Changes = Mapping[str, Any]

FIRST: Changes = {
    "training": {"steps": 10, "inference": {"scheme": "gradient_descent", "steps": 4}},
    "transfer": {"depths": [6], "neighbourhood": "all"},
}


def inference(**scheme: Any) -> Changes:
    return {"training": {"steps": 10, "inference": scheme}}


OTHERS: dict[str, Changes] = {
    "another T": inference(scheme="gradient_descent", steps=1),
    "another optimiser": {"training": {"optimiser": "sgd"}},
    "T = H": inference(scheme="gradient_descent", steps="depth"),
    "another scheme": inference(scheme="nesterov", steps=4),
    "another decay": {"network": {"activity_decay": 0.5}},
    "another start": {"training": {"start": {"name": "normal", "scale": 0.1}}},
    "another batch size": {"training": {"batch_size": 32}},
}


NARROWER: Changes = {"tune": {"weight_lr": [0.1, 1], "activity_lr": [1, 10]}}


def loss(config: TrainingConfig, cell: Cell, seed: int) -> float:
    """Return a loss that every setting changes, with its optimum inside of the grid."""
    identity = sum(map(ord, repr((config.rule, config.network, config.batch_size)))) % 97
    return 0.1 + identity / 1000 + seed / 100 + abs(cell.weight_lr - 0.1)


def train(place: Path, changes: Changes, pool: FormulaPool | None = None) -> Experiment:
    experiment = Experiment.from_dict(merged(spec(tune={"seeds": 2}), FIRST, changes))
    run(experiment, results.open(place, create=True), pool or FormulaPool(loss))
    return experiment


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the first spec."""
    place = tmp_path_factory.mktemp("first") / "l"
    train(place, {})
    return place


@pytest.fixture
def place(first: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copytree(first, tmp_path / "l")


def merged(*changes: Changes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for change in changes:
        for key, value in change.items():
            old = values.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            values[key] = {**old, **value} if both else value
    return values


def expected_runs(place: Path, experiment: Experiment) -> set[str]:
    """Return the ids of the runs that the spec needs, from a ledger of its own."""
    run(experiment, results.open(place, create=True), FormulaPool(loss))
    return set(results.open(place).runs()["run_id"])


def newest(place: Path) -> Section:
    return collect(results.open(place), "test")[-1]


def assert_newest(place: Path, alone: Path, experiment: Experiment) -> Section:
    """Check that the newest section holds the runs and verdicts of this spec alone."""
    section = newest(place)
    assert set(section.runs["run_id"]) == expected_runs(alone, experiment)
    fresh = newest(alone)
    columns = ["variant", "width", "depth", "weight_lr", "activity_lr", "loss", "verdict"]
    assert section.verdicts[columns].equals(fresh.verdicts[columns])
    for column in ("variant", "width", "depth", "weight_lr", "activity_lr", "final_train_loss"):
        assert sorted(section.moved[column]) == sorted(fresh.moved[column])
    return section


@pytest.mark.parametrize("change", cases(OTHERS, 1))
def test_the_section_has_the_runs_of_the_newest_spec(
    tmp_path: Path, place: Path, change: str
) -> None:
    experiment = train(place, merged(OTHERS[change], NARROWER))
    assert_newest(place, tmp_path / "alone", experiment)


@pytest.mark.parametrize("change", cases(["another decay", "another T"], 1))
def test_the_first_spec_again_is_the_newest(tmp_path: Path, place: Path, change: str) -> None:
    train(place, OTHERS[change])
    experiment = train(place, {})  # all of its runs are in the ledger
    assert_newest(place, tmp_path / "alone", experiment)


def test_targets_of_the_newest_spec_and_older_verdicts_apart(tmp_path: Path, place: Path) -> None:
    grid = {"weight_lr": [0.02, 0.15, 1], "activity_lr": [1, 10]}
    train(place, {"tune": grid, "transfer": {"depths": [4]}})
    ledger = results.open(place)
    [verdict] = ledger.verdicts().to_dict("records")
    assert (verdict["depth"], verdict["weight_lr"]) == (4, 0.15)
    assert ledger.verdicts(depth=6).empty
    assert sorted(ledger.verdicts(latest=False)["depth"]) == [4, 6]
    section = newest(place)
    assert set(section.moved["depth"]) == {2, 4}
    assert set(section.moved["weight_lr"]) == {0.15}
    assert set(section.runs["depth"]) == {2, 4}
    assert [(row.depth, row.weight_lr) for row in section.older.itertuples()] == [(6, 0.1)]
    page = report(ledger, tmp_path / "report").read_text()
    assert "Older verdicts" in page


def test_a_variant_that_the_newest_spec_lacks_is_left_out(tmp_path: Path) -> None:
    place = tmp_path / "l"
    train(place, {"variants": ["mupc", "sp"]})
    experiment = train(place, {"variants": ["mupc"], **OTHERS["another T"]})
    section = assert_newest(place, tmp_path / "alone", experiment)
    assert list(section.older["variant"]) == ["sp"]
    assert set(results.open(place).verdicts()["variant"]) == {"mupc"}


def test_an_interrupted_spec_is_the_newest_before_its_verdict(place: Path) -> None:
    with pytest.raises(Killed):
        train(place, OTHERS["another T"], FormulaPool(loss, results=2))
    section = newest(place)
    assert set(section.runs["inference_steps"]) == {1.0}
    assert section.verdicts.empty
    assert list(section.older["depth"]) == [6]


def test_the_same_spec_again_keeps_one_section(tmp_path: Path, place: Path) -> None:
    experiment = train(place, {})
    section = assert_newest(place, tmp_path / "alone", experiment)
    assert section.superseded == 0
    assert section.older.empty
    assert len(collect(results.open(place), "test")) == 1
