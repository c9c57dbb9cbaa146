"""Networks from results and ledgers: which are kept, which is returned, what is refused."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from transfer_fakes import FormulaPool, Killed, spec

import pccore
import results
import transfer
from pccore import Outcome, Status, TrainingConfig
from pccore.data import DatasetError
from results import KeptWeights, LedgerError
from results.storage.weights import Weights
from transfer import Cell, Experiment, Ledger, TransferResult
from transfer.engine.plan import Plan
from transfer.engine.pool import Group, GroupResult, TrainedWeights
from transfer.engine.rebuilding import run_of
from transfer.engine.runs import Run
from transfer.engine.trained_networks import predictor

ROOT = Path(__file__).parents[2]
DIGITS = pccore.data.load("digits")


def weights_of(config: TrainingConfig, seed: int) -> dict[str, np.ndarray]:
    return pccore.to_arrays(config.network.build(jax.random.key(seed)))


def response(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
    """Return losses that are smallest at the greatest rate, where a seed of the target diverges."""
    if cell.weight_lr == 0.3 and seed == 0 and config.network.depth == 4:
        return Outcome(Status.DIVERGED, steps=3, diverged_step=3)
    return 1 / cell.weight_lr


class WeightsPool(FormulaPool):
    """Returns initial weights as the trained ones, of every run that shall be kept."""

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        return [replace(result, weights=self.sent(result.group)) for result in super().collect()]

    def sent(self, group: Group) -> Any:
        return {
            run_id: TrainedWeights(
                weights_of(group.config, lane.seed), "classification", DIGITS.mean, DIGITS.std
            )
            for run_id, lane in zip(group.run_ids, group.lanes, strict=True)
            if run_id in group.kept
        }


def experiment(**changes: Any) -> Experiment:
    tune = {"width": 4, "weight_lr": [0.1, 0.3], "activity_lr": [1], "seeds": 3}
    rules = {"depths": [4], "rules": ["zero_shot", "depth_mup"]}
    return Experiment.from_dict(spec(tune=tune, transfer=rules, **changes))


def run(folder: Path, pool: WeightsPool | None = None, **changes: Any) -> TransferResult:
    ledger = transfer.open(folder, create=True)
    return transfer.run(experiment(**changes), ledger, pool or WeightsPool(response))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def result(folder: Path) -> TransferResult:
    return run(folder)


def kept(ledger: results.Ledger) -> set[str]:
    rows = ledger.runs()
    return set(rows.loc[rows["weights_digest"].notna(), "run_id"])


def test_all_runs_at_a_target_that_ended_with_a_network_are_kept(
    result: TransferResult, folder: Path
) -> None:
    ledger = transfer.open(folder)
    target = ledger.runs(depth=4)
    assert kept(ledger) == set(target.loc[target["outcome"] == "trained", "run_id"])
    losses = target.groupby("weight_lr")["final_train_loss"].mean()
    trained = target[target["outcome"] == "trained"].groupby("weight_lr").size()
    best = ledger.row(result.run_id("mupc", 4, best=True))
    assert best["weight_lr"] == losses[trained[trained >= 2].index].idxmin()
    assert best["weights_digest"] is not None
    nothing = tuple(replace(each, best=()) for each in result.transferred)
    with pytest.raises(LedgerError, match="nothing trained at 4 x 4, so no cell is best"):
        replace(result, transferred=nothing).network("mupc", 4, best=True)


def test_optima_of_large_networks_are_the_transferred_cells(
    result: TransferResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.engine.target_runs.TARGET_BYTES", 1000)
    ledger = run(tmp_path).ledger
    assert ledger is not None
    runs = ledger.runs().set_index("run_id")
    expected = {
        run_id
        for row in result.verdicts
        for run_id, each in runs.iterrows()
        if each["depth"] == row["depth"] == 4 and each["weight_lr"] == row["weight_lr"]
    }
    ended = {run_id for run_id in expected if runs.loc[run_id, "outcome"] == "trained"}
    assert len(expected) == 6
    assert len(ended) == 5  # a seed of the zero-shot cell diverges
    assert kept(ledger) == ended


def test_keep_changes_neither_runs_nor_verdicts(result: TransferResult, tmp_path: Path) -> None:
    specs = {row["spec"] for row in result.verdicts}
    for keep in ("all", "none"):
        other = run(tmp_path / keep, keep=keep)
        assert {row["spec"] for row in other.verdicts} == specs
        assert [row["reason"] for row in other.verdicts] == [
            row["reason"] for row in result.verdicts
        ]
        assert isinstance(other.ledger, Ledger)
        assert isinstance(result.ledger, Ledger)
        ids = set(other.ledger.runs()["run_id"])
        assert ids == set(result.ledger.runs()["run_id"])
        trained = set(other.ledger.runs(outcome="trained")["run_id"])
        assert kept(other.ledger) == (trained if keep == "all" else set())


def test_large_networks_that_are_kept_travel_in_small_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = 4 * (64 * 4 + 3 * 4 * 4 + 10 * 4)  # bytes of the target's weights
    monkeypatch.setattr("transfer.engine.scheduler.KEPT_BYTES", 2 * each)
    pool = WeightsPool(response, slots=1, lanes=100)
    run(tmp_path, pool)
    lanes = {group.config.network.depth: [] for group in pool.submitted}
    for group in pool.submitted:
        lanes[group.config.network.depth].append(len(group.lanes))
    assert max(lanes[4]) == 2
    assert max(lanes[2]) == 6  # nothing is kept of them


def test_unknown_choice_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(transfer.SpecError, match=r"keep .*optima.*all.*none"):
        experiment(keep="optimum")


def assert_weights(network: pccore.Predictor, run: Run) -> None:
    expected = weights_of(run.config, run.lane.seed)
    for name, array in pccore.to_arrays(network.network).items():
        np.testing.assert_array_equal(array, expected[name])
    assert network.network.config == run.config.network
    assert (network.mean, network.std) == (DIGITS.mean, DIGITS.std)


def test_result_returns_the_network_of_the_best_rule_and_the_first_seed_kept(
    result: TransferResult,
) -> None:
    zero_shot, depth_mup = sorted(result.transferred, key=lambda each: each.rule != "zero_shot")
    assert zero_shot.loss is not None
    assert depth_mup.loss is not None
    assert zero_shot.loss < depth_mup.loss
    assert_weights(result.network("mupc", depth=4), zero_shot.runs[1])  # seed 0 diverged
    assert_weights(result.network("mupc", 4, width=4, seed=2), zero_shot.runs[2])
    assert_weights(result.network("mupc", 4, rule="depth_mup"), depth_mup.runs[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"variant": "mpc"}, "unknown variant 'mpc': choose from mupc; did you mean 'mupc'"),
        ({"depth": 5}, "unknown depth 5: choose from 4"),
        ({"width": 8}, "unknown width 8: choose from 4"),
        ({"rule": "depthmup"}, "did you mean 'depth_mup'"),
        ({"seed": 7}, "unknown seed 7: choose from 0, 1, 2"),
        ({"seed": 0, "rule": "zero_shot"}, "were not kept"),
    ],
)
def test_result_has_no_other_networks(
    result: TransferResult, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LedgerError, match=sentence):
        result.network(**{"variant": "mupc", "depth": 4, **arguments})


def test_several_widths_need_a_choice(result: TransferResult) -> None:
    wide = [replace(each, shape=replace(each.shape, width=8)) for each in result.transferred]
    both = replace(result, transferred=(*result.transferred, *wide))
    with pytest.raises(LedgerError, match=r"several widths: choose one of \[4, 8\]"):
        both.network("mupc", depth=4)
    with pytest.raises(LedgerError, match="of no ledger"):
        TransferResult({}, []).network("mupc", depth=4)
    with pytest.raises(LedgerError, match="no transferred optimum"):
        replace(result, transferred=()).network("mupc", depth=4)


def test_killed_between_weights_and_rows_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: Ledger, runs: list[dict[str, Any]], *_: object) -> None:
        if any(row.get("weights_digest") for row in runs):
            raise Killed
        append(self, runs, *_)

    append = Ledger.append
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", die)
        with pytest.raises(Killed):
            run(tmp_path)
    written = {path.name for path in (tmp_path / "weights").iterdir()}
    assert written
    assert not kept(transfer.open(tmp_path))
    stray = f"{next(iter(written))[:20]}-{'0' * 64}.safetensors"
    (tmp_path / "weights" / stray).write_bytes(b"of another machine, which computed other bits")
    resumed = run(tmp_path)
    found = {path.name.partition("-")[0] for path in (tmp_path / "weights").iterdir()}
    assert found == kept(transfer.open(tmp_path))
    assert stray not in {path.name for path in (tmp_path / "weights").iterdir()}
    assert resumed.network("mupc", depth=4)


class Sends(WeightsPool):
    """Sends weights that a function makes of the true ones."""

    def __init__(self, change: Any) -> None:
        super().__init__(lambda *_: 1.0)
        self.change = change

    def sent(self, group: Group) -> Any:
        return self.change(super().sent(group))


def each(**changes: Any) -> Any:
    return lambda sent: {name: replace(weights, **changes) for name, weights in sent.items()}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda sent: [sent], "weights is of type list"),
        (lambda sent: dict.fromkeys(sent, b"x"), "they are of type bytes"),
        (each(arrays=[1]), "they are of type TrainedWeights"),
        (each(arrays={"a": [1.0]}), "other than named arrays"),
        (each(arrays={"a": np.ones(1)}), "the weights have, besides"),
        (each(std=0), "std is 0"),
        (each(mean=float("nan")), "mean is nan"),
        (each(task="any"), "the task of type str"),
    ],
)
def test_weights_that_cannot_be_fail_their_runs_alone(
    tmp_path: Path, change: Any, cause: str
) -> None:
    run(tmp_path, Sends(change))
    ledger = transfer.open(tmp_path)
    failed = ledger.runs(outcome="failed")
    assert cause in failed["cause"].iloc[0]
    assert not kept(ledger)
    trained = ledger.runs(outcome="trained")["depth"]
    # Weights of every run at the target are asked for; a list is no answer to any group.
    assert set(trained) == (set() if "list" in cause else {2})


def test_weights_that_nobody_asked_for_are_dropped(tmp_path: Path) -> None:
    def unasked(sent: dict[str, Any]) -> dict[str, Any]:
        return {f"{name[:-1]}{'0' if name[-1] != '0' else '1'}": sent[name] for name in sent}

    run(tmp_path, Sends(unasked))
    ledger = transfer.open(tmp_path)
    assert not kept(ledger)
    assert set(ledger.runs()["outcome"]) == {"trained"}


def test_a_result_counts_although_its_weights_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise LedgerError("no space left on device")

    monkeypatch.setattr(Weights, "save", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(tmp_path)
    said = [str(warning.message) for warning in caught]
    assert "a network is not kept: no space left on device" in said
    ledger = transfer.open(tmp_path)
    assert not kept(ledger)
    assert len(ledger.runs(depth=4)) >= 6


def experiments() -> list[Experiment]:
    """Return the specs in examples/ and docs/, and one with everything else that a run may have."""
    (reference,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/spec.md").read_text(), re.S)
    everything = spec(
        network={
            "activity_decay": 0.1,
            "output_precision": 2,
            "skip": 2,
            "output": "cross_entropy",
        },
        training={
            "penalties": [{"name": "weight_decay", "strength": 1e-3}],
            "start": {"name": "normal"},
            "probes": ["gradient_cosine"],
            "inference": {"scheme": "halving", "max_steps": 9},
        },
        tune={"activity_lr": "spectral", "weight_lr": [1]},
    )
    return [
        Experiment.from_yaml(reference),
        Experiment.from_dict(everything),
        *(
            transfer.load(path)
            for path in sorted((ROOT / "examples").rglob("*.yaml"))
            if "cluster" not in path.parts
        ),
    ]


def runs_of(experiment: Experiment) -> list[Run]:
    """Return a run of every variant at the tuned shape and at a target."""
    plan = Plan(experiment, pccore.data.info(experiment.dataset), digest="0" * 64)
    shapes = dict.fromkeys((experiment.tune.shape, experiment.targets[-1]))
    cells = [
        Cell(0.1, 2.0 if experiment.activity_lr(arm.variant) is not None else None)
        for arm in plan.arms
    ]
    return [
        plan.runs(arm, shape, [cell])[-1]
        for shape in shapes
        for arm, cell in zip(plan.arms, cells, strict=True)
    ]


def test_every_run_can_be_made_again_from_its_row(tmp_path: Path) -> None:
    ledger = transfer.open(tmp_path, create=True)
    common = {"experiment": "e", "phase": "tune", "outcome": "at_chance", "started": ledger.now()}
    runs = {run.run_id: run for experiment in experiments() for run in runs_of(experiment)}
    assert len(runs) > 50
    ledger.append(
        [
            {"run_id": name, "variant": run.variant, **run.determinants, **common}
            for name, run in runs.items()
        ]
    )
    for run_id, run in runs.items():
        sizes = run.config.network.input_size, run.config.network.output_size
        made = run_of(ledger.row(run_id), *sizes)
        assert made == run
        assert made.run_id == run_id
        from_settings = {**run.determinants, "run_id": run_id, "variant": run.variant}
        assert run_of(json.loads(json.dumps(from_settings)), *sizes) == run


def test_rebuild_refuses_what_would_be_another_run(folder: Path, result: TransferResult) -> None:
    ledger = transfer.open(folder)
    row = ledger.row(result.transferred[0].runs[0].run_id)
    with pytest.raises(LedgerError, match=r"cannot be made again: .*'relux'"):
        run_of(row | {"activation": "relux"}, 64, 10)
    with pytest.raises(LedgerError, match=r"its optimiser_options is .*, and .* by this version"):
        run_of(row | {"optimiser_options": '{"b1": 0.9}'}, 64, 10)
    with pytest.raises(LedgerError, match="cannot be made again"):
        run_of(row | {"inference": None}, 64, 10)
    other = replace(DIGITS, mean=1.0)
    with pytest.raises(DatasetError, match="'digits' is not the one of run"):
        ledger.rebuild(str(row["run_id"]), data=other)


def test_rebuild_returns_what_pccore_fits(folder: Path, result: TransferResult) -> None:
    run = result.transferred[0].runs[2]
    config, data, lane, lanes = transfer.open(folder).rebuild(run.run_id[:12])
    assert (config, lane) == (run.config, run.lane)
    assert data.digest == DIGITS.digest
    assert lanes == transfer.open(folder).row(run.run_id)["lanes"]


def test_rebuild_refuses_older_conventions(
    folder: Path, result: TransferResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = result.transferred[0].runs[0].run_id
    monkeypatch.setattr(pccore, "CONVENTIONS", 99)
    with pytest.raises(LedgerError, match=r"version 1 of the numerical conventions, .* has 99"):
        transfer.open(folder).rebuild(run_id)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": None}, "cannot be used"),
        ({"network": {}}, "cannot be used: 'input_size'"),
        ({"settings": {"width": "wide"}}, "cannot be made again"),
        ({"data": {"mean": "x", "std": 1}}, "cannot be used: could not convert"),
    ],
)
def test_descriptions_of_no_network_are_refused(
    folder: Path, result: TransferResult, change: dict[str, Any], sentence: str
) -> None:
    run_id = result.transferred[0].runs[1].run_id
    found = transfer.open(folder).kept(run_id)
    with pytest.raises(LedgerError, match=sentence):
        predictor(KeptWeights(found.arrays, {**found.description, **change}))
    with pytest.raises(LedgerError, match="cannot be used: the weights lack"):
        predictor(KeptWeights({}, found.description))


def test_description_is_enough_for_other_programs(folder: Path, result: TransferResult) -> None:
    run = result.transferred[0].runs[1]
    about: Any = transfer.open(folder).kept(run.run_id).description
    assert about["data"] == {
        "name": "digits",
        "digest": DIGITS.digest,
        "task": "classification",
        "mean": DIGITS.mean,
        "std": DIGITS.std,
    }
    assert about["network"] == {"kind": "stacked", **pccore.describe(run.config.network)}
    assert results.identity.run_id(about["settings"]) == about["run_id"] == run.run_id
