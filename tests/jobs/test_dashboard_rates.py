"""The dashboard and bridges of sweeps of training functions, over one rate and over three."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import mupc as mupc_command
from dashboard_server import dashboard
from sweep_functions import BEST, bowl
from test_dashboard import api, overview

import mupc
import results

GRIDS: dict[str, list[float]] = {
    "lr": [0.05, 0.1, 0.2],
    "decay": [0.005, 0.01],
    "batch_size": [16, 32],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a sweep over one rate, "one", and one over three, "three"."""
    folder = tmp_path_factory.mktemp("sweeps") / "runs"
    with mupc.LocalPool() as pool:
        for name, rates in (("one", {"lr": GRIDS["lr"]}), ("three", GRIDS)):
            mupc.sweep(
                bowl, rates, small=(4, 2), targets=(4, 4), seeds=2, ledger=folder, pool=pool,
                name=name,
            )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with dashboard(results.open(folder)) as address:
        overview(address, len(results.open(folder).runs()))
        yield address


def section(address: str, name: str) -> Any:
    (found,) = api(address, "experiment", name=name)["sections"]
    return found


def test_a_landscape_over_one_rate(address: str, folder: Path) -> None:
    shown = section(address, "one")
    assert shown["activation"] == ""
    (landscape,) = shown["landscapes"]
    assert [axis["name"] for axis in landscape["axes"]] == ["lr"]
    runs = results.open(folder).runs(experiment="one")
    assert [panel["depth"] for panel in landscape["panels"]] == [2, 4]
    for panel in landscape["panels"]:
        means = runs[runs["depth"] == panel["depth"]].groupby("lr")["final_train_loss"].mean()
        assert {cell["at"][0]: cell["loss"] for cell in panel["cells"]} == pytest.approx(
            means.to_dict()
        )
        assert panel["best"]["at"] == [0.1]


def test_a_landscape_over_three_rates_is_cut_through_the_best_cell(
    address: str, folder: Path
) -> None:
    (landscape,) = section(address, "three")["landscapes"]
    names = [axis["name"] for axis in landscape["axes"]]
    assert len(names) == 2
    assert set(names) < set(GRIDS)
    (third,) = set(GRIDS) - set(names)
    runs = results.open(folder).runs(experiment="three", **{third: BEST[third]})
    for panel in landscape["panels"]:
        there = runs[runs["depth"] == panel["depth"]]
        means = there.groupby(names)["final_train_loss"].mean().to_dict()
        assert {tuple(cell["at"]): cell["loss"] for cell in panel["cells"]} == pytest.approx(means)


def test_curves_of_a_cell_of_three_rates(address: str, folder: Path) -> None:
    query = {"name": "three", "variant": "bowl", "width": 4, "depth": 2}
    lines = api(address, "curves", **query, rate=[f"{rate}={BEST[rate]}" for rate in BEST])["lines"]
    runs = results.open(folder).runs(experiment="three", depth=2, **BEST)
    assert {line["run"] for line in lines} == set(runs["run_id"])
    for line in lines:
        assert line["train_loss"][0] == 1.0


def test_verdicts_and_rows_name_the_rates(address: str) -> None:
    shown = section(address, "three")["verdicts"]
    assert not shown["networks"]
    assert "drift of lr, octaves" in " ".join(map(str, shown["columns"]))
    found = api(address, "runs", name="three", where=["lr>0.1", "batch_size=16"], sort="decay")
    place = {name: found["columns"].index(name) for name in ("lr", "decay")}
    assert found["total"] > 0
    assert {row[place["lr"]] for row in found["rows"]} == {0.2}
    decays = [row[place["decay"]] for row in found["rows"]]
    assert decays == sorted(decays)


def test_bridges_name_no_activation_and_group_by_rates(folder: Path, tmp_path: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    for form in ("optuna", "huggingface"):
        done = mupc_command(tmp_path, "export", form, "--ledger", str(folder), "--to", form)
        assert done.returncode == 0, done.stderr
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna")))
    studies = optuna.get_all_study_summaries(storage)
    # Trainings of other batch sizes are studies of their own, with a number behind the name.
    names = {each.study_name.partition(" (")[0] for each in studies}
    assert names == {f"{name}: bowl 4 x {depth}" for name in ("one", "three") for depth in (2, 4)}
    assert '["variant", "depth", "rates"]' in (tmp_path / "huggingface" / "README.md").read_text()
