"""Trained networks from the pools to the user: predictions, files, and training again."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from command import TINY, mupc
from fewer import ray_later
from pool_trainers import SMALL, MakePool, collect_all, group

import jobs
import pccore
import results
import transfer
from jobs.pools.retries import Attempt, PendingGroup
from jobs.pools.worker import train_group
from results.storage.reading import EPOCH
from transfer import Ledger
from transfer.engine.admission import KEPT
from transfer.engine.pool import TrainedWeights

DIGITS = pccore.data.load("digits")


@pytest.fixture(scope="module")
def ledger(home: Path) -> Ledger:
    """The ledger of a finished experiment: two variants, two seeds, one target."""
    return transfer.open(home / "runs")


@ray_later
def test_workers_return_the_weights_of_kept_runs(make_pool: MakePool) -> None:
    asked = replace(group("g", (3, 4)), kept=frozenset({"g-4", "elsewhere"}))
    pool = make_pool(1)
    pool.submit(asked)
    (trained,) = collect_all(pool, 1)
    assert set(trained.weights) == {"g-4"}
    weights = trained.weights["g-4"]
    assert (weights.task, weights.mean, weights.std) == (DIGITS.task, DIGITS.mean, DIGITS.std)
    direct = pccore.to_arrays(pccore.train(SMALL, DIGITS, asked.lanes[1], 2).network)
    assert weights.arrays.keys() == direct.keys()
    for name, array in direct.items():
        np.testing.assert_array_equal(weights.arrays[name], array)


def test_a_ledger_holds_tables_json_and_arrays_and_nothing_that_runs(home: Path) -> None:
    kinds = set()
    for path in (home / "runs").rglob("*"):
        if path.is_file() and path.stat().st_size:
            content = path.read_bytes()
            if content[:4] == content[-4:] == b"PAR1":
                kinds.add("table")
            elif path.suffix == ".safetensors":
                assert safetensors.numpy.load(content)
                kinds.add("arrays")
            elif path.name == EPOCH:
                assert len(bytes.fromhex(content.decode())) == 16
            else:
                json.loads(content)
    assert kinds >= {"table", "arrays"}


def test_kept_networks_have_the_accuracy_of_their_rows(ledger: Ledger) -> None:
    rows = ledger.runs()
    kept = rows[rows["weights_digest"].notna()]
    assert set(kept["depth"]) == {3}
    assert set(kept["variant"]) == {"mupc", "bp"}
    assert set(kept["seed"]) == {0, 1}
    for row in kept.itertuples():
        network = ledger.network(row.run_id)
        accuracy = network.accuracy(DIGITS.test_x, DIGITS.test_y)
        assert accuracy == pytest.approx(row.test_accuracy, abs=1e-6)
        error = np.asarray(network(DIGITS.test_x)) - np.eye(10)[DIGITS.test_y]
        assert np.mean(np.sum(error**2, axis=1)) / 2 == pytest.approx(row.test_loss, rel=1e-4)


def test_runs_are_trained_again_from_their_rows_bit_for_bit(ledger: Ledger) -> None:
    rows = ledger.runs(outcome="trained")
    for row in (rows.iloc[0], rows.iloc[-1]):
        again = pccore.fit(*ledger.rebuild(row["run_id"]))
        assert again.final_train_loss == row["final_train_loss"]
        assert again.min_train_loss == row["min_train_loss"]
        assert again.test_loss == row["test_loss"]


def test_training_again_gives_the_kept_network(ledger: Ledger) -> None:
    rows = ledger.runs()
    run_id = rows.loc[rows["weights_digest"].notna(), "run_id"].iloc[0]
    arrays = pccore.to_arrays(pccore.train(*ledger.rebuild(run_id)).network)
    for name, array in ledger.kept(run_id).arrays.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_plan_says_how_many_networks_are_kept(home: Path) -> None:
    done = mupc(home, "plan", "spec.yaml", "--no-calibrate", "--json")
    assert done.returncode == 0, done.stderr
    # (3 x 2 + 2 cells) x 1 target x 2 seeds, each of 8 x 64 + 2 x 8 x 8 + 10 x 8 weights
    assert json.loads(done.stdout)["kept"] == {"networks": 16, "bytes": 16 * 4 * 720}
    shown = mupc(home, "plan", "spec.yaml", "--no-calibrate").stdout
    assert "to keep        at most 16 trained networks, 0.0439 MiB" in shown


def test_the_best_cell_of_a_target_is_kept(ledger: Ledger) -> None:
    """The transferred cell's networks and those of the cell with the lowest mean loss there."""
    with jobs.LocalPool(1) as pool:  # trains nothing: the ledger has all runs
        result = transfer.run(transfer.Experiment.from_dict(TINY), ledger, pool)
    rows = ledger.runs(depth=3, variant="mupc", phase="transfer")
    assert rows["weights_digest"].notna().all()
    losses = rows.groupby(["weight_lr", "activity_lr"])["final_train_loss"].mean()
    for seed in (0, 1):
        best = ledger.row(result.run_id("mupc", 3, seed=seed, best=True))
        assert (best["weight_lr"], best["activity_lr"], best["seed"]) == (*losses.idxmin(), seed)
    network = result.network("mupc", 3, seed=1, best=True)
    assert network.accuracy(DIGITS) == pytest.approx(best["test_accuracy"], abs=1e-6)


def test_only_the_transferred_cells_of_large_networks_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.engine.target_runs.TARGET_BYTES", 4 * 720)  # one network
    spec = {**TINY, "variants": ["bp"], "training": {"steps": 20}}
    spec["tune"] = {**TINY["tune"], "weight_lr": [0.001, 0.1, 0.05]}
    ledger = transfer.open(tmp_path / "runs", create=True)
    with jobs.LocalPool(1) as pool:
        result = transfer.run(transfer.Experiment.from_dict(spec), ledger, pool)
    (verdict,) = result.verdicts
    rows = ledger.runs(depth=3)
    assert rows["weight_lr"].nunique() > 1
    kept = rows[rows["weights_digest"].notna()]
    assert set(kept["weight_lr"]) == {verdict["weight_lr"]}
    assert set(kept["seed"]) == {0, 1}


def test_run_says_how_to_export_a_network(home: Path, tmp_path: Path) -> None:
    line = next(x for x in (home / "out").read_text().splitlines() if x.startswith("network: "))
    found = re.fullmatch(r"network: mupc (export ([0-9a-f]{20}))  # (mupc|bp), 8 x 3", line)
    assert found
    done = mupc(tmp_path, *found[1].split(), "--ledger", str(home / "runs"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{found[2]}.safetensors").exists()


def test_export_writes_what_load_network_reads(ledger: Ledger, home: Path, tmp_path: Path) -> None:
    rows = ledger.runs()
    run_id = str(rows.loc[rows["weights_digest"].notna(), "run_id"].iloc[0])
    place = ["--ledger", str(home / "runs"), "--to"]
    done = mupc(tmp_path, "export", run_id[:12], *place, "a.safetensors", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert about["run_id"] == run_id
    assert about["arrays"]["layers.0.weight"] == [8, 64]
    x = DIGITS.test_x
    np.testing.assert_array_equal(
        transfer.load_network(tmp_path / "a.safetensors")(x), ledger.network(run_id)(x)
    )
    done = mupc(tmp_path, "export", run_id[:12], *place, "npz")
    assert done.stdout.startswith(f"{run_id}.npz: 4 arrays with 720 numbers of run {run_id}, ")
    with pytest.raises(results.LedgerError, match=r"is an npz file, which numpy.load reads: "):
        transfer.load_network(tmp_path / f"{run_id}.npz")
    with np.load(tmp_path / f"{run_id}.npz", allow_pickle=False) as file:
        assert sum(file[name].size for name in file if name != "description") == 720


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fffff"], "no run has the id 'fffff', or one that begins like it"),
        ([""], "runs have ids that begin with ''"),
        (["KEPT", "--to", "spec.yaml"], "--to: spec.yaml exists already: choose another name"),
        (["TUNED"], "were not kept: train it again with pccore.train(*ledger.rebuild("),
    ],
)
def test_export_refuses_in_one_sentence(
    home: Path, ledger: Ledger, arguments: list[str], sentence: str
) -> None:
    rows = ledger.runs()
    kept = rows["weights_digest"].notna()
    names = {"KEPT": rows.loc[kept, "run_id"].iloc[0], "TUNED": rows.loc[~kept, "run_id"].iloc[0]}
    done = mupc(home, "export", *(names.get(each, each) for each in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_networks_of_standardised_features_take_raw_samples(tmp_path: Path) -> None:
    """Features far from zero, each with a scale of its own."""
    x = 1e4 + DIGITS.train_x * np.geomspace(1e-2, 10, 64)
    data = pccore.data.Dataset.from_arrays(x, DIGITS.train_y, test=0.2)
    spec = {
        "name": "raw",
        "dataset": data,
        "training": {"steps": 20},
        "keep": "all",
        "tune": {"width": 8, "depth": 2, "weight_lr": [0.05], "activity_lr": [5], "seeds": 1},
        "transfer": {"depths": [2]},
    }
    ledger = transfer.open(tmp_path / "runs", create=True)
    with jobs.LocalPool(1) as pool:
        transfer.run(transfer.Experiment.from_dict(spec), ledger, pool)
    row = ledger.runs().iloc[0]
    network = ledger.network(row["run_id"])
    assert network.accuracy(data) == pytest.approx(row["test_accuracy"], abs=1e-6)
    np.testing.assert_allclose(network(x), network.of_stored(data.stored(x)), atol=1e-6)
    done = mupc(tmp_path, "export", row["run_id"], "--to", "a.safetensors")
    assert "inputs are (x - feature_mean) / feature_std (docs/data.md)" in done.stdout
    again = transfer.load_network(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again(x), network(x))


def test_weights_of_split_groups_are_put_together() -> None:
    whole = replace(group("g", (0, 1)), kept=frozenset({"g-0", "g-1"}))
    weights = {name: TrainedWeights({}, "classification", 0.0, 1.0) for name in ("g-0", "g-1")}
    pending = PendingGroup(whole)
    first, second = Attempt(pending, 0, 1), Attempt(pending, 1, 2)
    done = train_group(first.group)
    assert first.record(replace(done, weights={"g-0": weights["g-0"]})) is None
    other = replace(done, group=second.group, weights={"g-1": weights["g-1"]})
    result = second.record(other)
    assert result is not None
    assert result.weights == weights


def test_lanes_that_failed_together_return_the_weights_of_their_halves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first attempt fails after its last evaluation, which has weights that do not count."""
    fit_many = pccore.fit_many
    calls: list[int] = []

    def fails_twice(*arguments: Any, **options: Any) -> list[pccore.Outcome]:
        outcomes = fit_many(*arguments, **options)
        calls.append(len(arguments[2]))
        if len(calls) in (1, 2):
            raise RuntimeError("out of memory")
        return outcomes

    monkeypatch.setattr(pccore, "fit_many", fails_twice)
    result = train_group(replace(group("g", (0, 1)), kept=frozenset({"g-0", "g-1"})))
    assert calls == [2, 1, 1]
    failed, other = (outcome.status for outcome in result.outcomes)
    assert failed is pccore.Status.FAILED
    assert other in KEPT
    assert set(result.weights) == {"g-1"}
