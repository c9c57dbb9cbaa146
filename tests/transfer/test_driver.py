"""`transfer.run` with a formula in place of training: the runs, their order, the verdicts."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fewer import every
from transfer_fakes import FormulaPool, Killed, MemoryLedger, Response, outcome, spec

from pccore import Curve, Outcome, Status, TrainingConfig
from transfer import Cell, Experiment, Progress, run
from transfer.engine.result import TransferResult

DIVERGED = Outcome(Status.DIVERGED, steps=3, diverged_step=3)
AT_CHANCE = Outcome(Status.AT_CHANCE, 2.3, 2.2, 2.3, 0.1, steps=10)


def bowl(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
    """Return a loss with its optimum at eta 0.1 and beta 10 at every shape; eta 1 diverges."""
    if cell.weight_lr >= 1:
        return DIVERGED
    away = abs(math.log10(cell.weight_lr / 0.1)) + abs(math.log10((cell.activity_lr or 10) / 10))
    return (1 + seed / 100) * (0.1 + away)


def drifting(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
    """Return a loss whose optimal beta falls tenfold with every doubling of depth above 2."""
    shift = 10 ** math.log2(config.network.depth / 2)
    return bowl(config, Cell(cell.weight_lr, (cell.activity_lr or 10) * shift), seed)


def run_formula(
    values: dict[str, Any],
    response: Response = bowl,
    ledger: MemoryLedger | None = None,
    **pool: Any,
) -> tuple[TransferResult, FormulaPool, MemoryLedger]:
    ledger = ledger or MemoryLedger()
    formula = FormulaPool(response, **pool)
    return run(Experiment.from_dict(values), ledger, formula), formula, ledger


def without_times(result: TransferResult) -> list[dict[str, Any]]:
    """Return the verdicts without the time of their creation."""
    return [{k: v for k, v in row.items() if k != "created"} for row in result.verdicts]


def test_trains_every_cell_of_the_grid_once() -> None:
    _, pool, ledger = run_formula(spec())
    tuned = [row for row in ledger.appended if row["phase"] == "tune"]
    cells = Counter((row["weight_lr"], row["activity_lr"], row["seed"]) for row in tuned)
    expected = {
        (eta, beta, s) for eta in (0.01, 0.1, 1) for beta in (0.1, 1, 10, 100) for s in range(3)
    }
    assert set(cells) == expected
    assert set(cells.values()) == {1}
    assert len(pool.trained) == len(set(pool.trained))


def test_runs_the_neighbourhood_of_the_optimum_at_every_target() -> None:
    result, _, ledger = run_formula(spec())
    assert result.optima["mupc"].cell == Cell(0.1, 10)
    assert result.optima["mupc"].loss == pytest.approx(0.1 * 1.01)
    for depth in (4, 8):
        rows = [row for row in ledger.appended if row["depth"] == depth]
        assert {(row["weight_lr"], row["activity_lr"]) for row in rows} == {
            (eta, beta) for eta in (0.01, 0.1, 1) for beta in (1, 10, 100)
        }
        assert {row["phase"] for row in rows} == {"transfer"}
    assert [(row["depth"], row["verdict"]) for row in result.verdicts] == [(4, "held"), (8, "held")]


def test_detects_a_drifting_optimum() -> None:
    result, _, _ = run_formula(spec(transfer={"depths": [4], "neighbourhood": "all"}), drifting)
    (row,) = result.verdicts
    assert row["verdict"] == "drifted"
    assert row["drift_activity_lr"] == pytest.approx(-math.log2(10), abs=1.5)
    assert row["drift_activity_lr_low"] < -math.log2(10) < row["drift_activity_lr_high"]
    assert row["drift_weight_lr_low"] < 0 < row["drift_weight_lr_high"]
    assert row["regret"] == pytest.approx(math.log(1.1 / 0.1), abs=0.02)
    assert row["held_probability"] == 0
    assert row["optimum_activity_lr_low"] < 1 < row["optimum_activity_lr_high"]


def test_submits_two_groups_per_slot() -> None:
    _, pool, _ = run_formula(spec(), slots=3, lanes=4)
    assert pool.most_in_flight == 2 * 3
    assert max(len(group.lanes) for group in pool.submitted) == 4


def test_groups_share_a_config() -> None:
    _, pool, ledger = run_formula(spec(variants=["mupc", "sp", "bp"]))
    by_id = {row["run_id"]: row for row in ledger.appended}
    for group in pool.submitted:
        network = group.config.network
        for lane, run_id in zip(group.lanes, group.run_ids, strict=True):
            row = by_id[run_id]
            assert (row["depth"], row["parameterisation"]) == (
                network.depth,
                network.parameterisation,
            )
            assert (row["weight_lr"], row["seed"]) == (lane.weight_lr, lane.seed)


def test_submits_deeper_targets_first() -> None:
    _, pool, _ = run_formula(spec(transfer={"depths": [4, 32, 8]}), slots=1, lanes=100)
    assert [group.config.network.depth for group in pool.submitted] == [2, 32, 8, 4]


def test_transfers_one_variant_while_another_is_tuned() -> None:
    """Slots that one variant's search cannot fill train the targets of another."""
    values = spec(variants=["bp", "mupc"], transfer={"depths": [4]})
    _, _, ledger = run_formula(values, slots=2, lanes=3)
    phases = [row["phase"] for row in ledger.appended]
    assert "transfer" in phases[: len(phases) - phases[::-1].index("tune")]


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ["mupc", {"name": "bp", "weight_lr": [0.01, 0.1]}]},
        {"tune": {"sampler": "tpe", "trials": 12, "in_flight": 3}, "transfer": {"depths": [4]}},
    ],
    ids=["grid", "tpe"],
)
def test_killed_job_resumes_to_the_same_verdict(changes: dict[str, Any]) -> None:
    values = spec(**changes)
    whole, pool, _ = run_formula(values)
    for results in range(0, len(pool.submitted), every(6)):
        ledger = MemoryLedger()
        with pytest.raises(Killed):
            run_formula(values, ledger=ledger, results=results)
        before = [row["run_id"] for row in ledger.appended]
        # The result must not depend on the pool or on the order of results.
        resumed, rest, _ = run_formula(values, ledger=ledger, slots=1, lanes=5)
        assert Counter(before + rest.trained) == Counter(pool.trained)
        assert without_times(resumed) == without_times(whole)
        assert resumed.optima == whole.optima


def test_finished_experiment_trains_nothing_again() -> None:
    first, _, ledger = run_formula(spec())
    rows = len(ledger.appended)
    second, pool, _ = run_formula(spec(), ledger=ledger)
    assert pool.trained == []
    assert len(ledger.appended) == rows
    assert without_times(second) == without_times(first)


def test_copies_runs_of_another_experiment() -> None:
    _, _, ledger = run_formula(spec(name="first"))
    rows = {row["run_id"]: row for row in ledger.appended}
    _, pool, _ = run_formula(spec(name="second", transfer={"depths": [4]}), ledger=ledger)
    assert pool.trained == []
    copies = [row for row in ledger.appended if row["experiment"] == "second"]
    assert Counter(row["run_id"] for row in copies) == Counter(
        key for key, row in rows.items() if row["depth"] in (2, 4)
    )
    for copy in copies:
        original = rows[copy["run_id"]]
        assert copy["recorded"] > original["recorded"]
        assert copy == {**original, "experiment": "second", "recorded": copy["recorded"]}


def test_changed_setting_makes_new_runs() -> None:
    _, _, ledger = run_formula(spec())
    for changes in (
        {"training": {"steps": 11}},
        {"training": {"optimiser": {"name": "adam", "eps": 1e-6}}},
        {"training": {"inference": {"steps": 7}}},
        {"network": {"residual": False}},
        {"network": {"output": "cross_entropy"}},
        {"dataset": "mnist1d"},
        {"tune": {"seeds": [3, 4, 5]}},
    ):
        _, pool, _ = run_formula(spec(**changes), ledger=ledger)
        assert len(pool.trained) == (12 + 2 * 9) * 3, changes


def test_losses_average_trained_runs_only() -> None:
    def response(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
        if cell == Cell(0.01, 1) and seed == 0:
            return DIVERGED  # its other seeds are the best of all
        if cell == Cell(0.01, 1):
            return 1e-6
        if cell == Cell(0.01, 10):
            return Outcome(Status.AT_CHANCE, 0.0, 0.0, 0.0, 0.1, steps=10)
        if cell == Cell(0.01, 100):
            return Outcome(Status.TRAINED, math.nan, math.nan, math.nan, math.nan, steps=10)
        return bowl(config, cell, seed)

    result, _, _ = run_formula(spec(), response)
    assert result.optima["mupc"].cell == Cell(0.1, 10)
    assert result.verdicts[0]["loss"] == pytest.approx(0.1 * 1.01)
    assert result.verdicts[0]["runs_at_chance"] == 3
    assert result.verdicts[0]["runs_diverged"] == 9 + 1
    assert result.verdicts[0]["runs_failed"] == 3  # trained with a loss that is NaN


def test_verdict_if_nothing_trains_at_the_tuned_shape() -> None:
    result, pool, _ = run_formula(spec(), lambda *_: DIVERGED)
    assert len(pool.trained) == 36
    assert result.optima["mupc"].cell is None
    assert [row["verdict"] for row in result.verdicts] == ["inconclusive", "inconclusive"]
    assert "36 diverged" in result.verdicts[0]["reason"]
    assert result.verdicts[0]["loss"] is None


def test_only_the_next_process_retries_failed_runs() -> None:
    def broken(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
        if config.network.depth == 8:
            return Outcome.failed("out of memory")
        return bowl(config, cell, seed)

    first, _, ledger = run_formula(spec(), broken)
    assert [row["verdict"] for row in first.verdicts] == ["held", "inconclusive"]
    assert first.verdicts[1]["runs_failed"] == 27
    second, pool, _ = run_formula(spec(), ledger=ledger)
    assert len(pool.trained) == 27
    assert [row["verdict"] for row in second.verdicts] == ["held", "held"]


def test_backpropagation_has_no_activity_lr() -> None:
    values = spec(variants=["bp"], tune={"activity_lr": None})
    result, _, ledger = run_formula(values)
    assert {row["activity_lr"] for row in ledger.appended} == {None}
    assert {(row["rule"], row["inference"], row["inference_steps"]) for row in ledger.appended} == {
        ("bp", None, None)
    }
    assert result.optima["bp"].cell == Cell(0.1, None)
    assert result.verdicts[0]["drift_activity_lr"] is None


def test_inference_steps_equal_depth_by_default() -> None:
    _, _, ledger = run_formula(spec())
    assert {(row["depth"], row["inference_steps"]) for row in ledger.appended} == {
        (2, 2),
        (4, 4),
        (8, 8),
    }


def test_tunes_every_activation_separately() -> None:
    result, _, ledger = run_formula(spec(network={"activation": ["relu", "tanh"]}))
    assert set(result.optima) == {"mupc relu", "mupc tanh"}
    assert Counter(row["activation"] for row in ledger.appended) == {"relu": 90, "tanh": 90}
    assert [(row["activation"], row["depth"]) for row in result.verdicts] == [
        ("relu", 4),
        ("relu", 8),
        ("tanh", 4),
        ("tanh", 8),
    ]


def test_range_has_octave_neighbours_at_the_target() -> None:
    tune = {
        "sampler": "random",
        "trials": 20,
        "weight_lr": {"low": 1e-3, "high": 0.5},
        "activity_lr": {"low": 1e-2, "high": 1e3},
    }
    result, _, ledger = run_formula(spec(tune=tune, transfer={"depths": [4]}))
    cell = result.optima["mupc"].cell
    assert cell is not None
    at_target = {row["weight_lr"] for row in ledger.appended if row["depth"] == 4}
    assert {round(math.log2(eta / cell.weight_lr), 9) for eta in at_target} <= {-1, 0, 1}


@dataclass
class Recorder(Progress):
    """Keeps the events that it receives."""

    phases: list[tuple[str, int, int]] = field(default_factory=list)
    works: list[tuple[float, float]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        self.phases.append((name, total_runs, already_done))

    def workload(self, done: float, total: float) -> None:
        self.works.append((done, total))

    def finished(self, *_: Any) -> None:
        self.events["finished"] += 1

    def optimum(self, *_: Any) -> None:
        self.events["optimum"] += 1

    def verdict(self, *_: Any) -> None:
        self.events["verdict"] += 1


def test_progress_receives_every_event() -> None:
    recorder, ledger = Recorder(), MemoryLedger()
    experiment = Experiment.from_dict(spec(variants=["mupc", "bp"]))
    run(experiment, ledger, FormulaPool(bowl), progress=recorder)
    total = (12 + 2 * 9 + 3 + 2 * 3) * 3
    assert recorder.events == {"finished": total, "optimum": 2, "verdict": 4}
    assert recorder.phases[0] == ("tune", total, 0)  # the bound is exact away from edges
    assert recorder.phases[-1] == ("transfer", total, total)
    done = [done for _, _, done in recorder.phases]
    assert done == sorted(done)
    assert recorder.works[-1][0] == recorder.works[-1][1] > 0

    again = Recorder()
    run(experiment, ledger, FormulaPool(bowl), progress=again)
    assert again.events == {"optimum": 2, "verdict": 4}
    assert again.phases == [("transfer", total, total)]
    assert again.works == [(0, 0)]


def test_missing_data_raises_before_training(tmp_path: Any) -> None:
    ledger, pool = MemoryLedger(), FormulaPool(bowl)
    experiment = Experiment.from_dict(spec(dataset="mnist"))
    with pytest.raises(ValueError, match="mnist"):
        run(experiment, ledger, pool, data_dir=tmp_path)
    assert pool.submitted == []
    assert ledger.appended == []


def test_records_curves_and_layers_with_their_runs() -> None:
    ledger = MemoryLedger()
    changes = np.array([0.0, 0.0, 0.02, 0.01, 0.5, 0.7, 0.3], np.float32)

    def detailed(config: TrainingConfig, cell: Cell, seed: int) -> Outcome:
        ones = np.ones(2, np.float32)
        curve = Curve(np.array([5, 10]), ones, ones, ones * np.nan)
        return Outcome(
            Status.TRAINED, 1.0, 1.0, 1.0, None, steps=10, curve=curve, layer_changes=changes
        )

    run(Experiment.from_dict(spec()), ledger, FormulaPool(detailed))
    for rows, name, places in (
        (ledger.curves, "step", (5, 10)),
        (ledger.layers, "layer", range(1, 8)),
    ):
        found = Counter((row["run_id"], row[name]) for row in rows)
        assert set(found) == {(row["run_id"], place) for row in ledger.appended for place in places}
        assert set(found.values()) == {1}
    for row in ledger.appended:
        assert (row["layers"], row["layers_learned"]) == (7, 4)
        # quarter ceil(4 l / 7) of layer l: 1 | 2 3 | 4 5 | 6 7
        quarters = [row[f"change_quarter_{quarter}"] for quarter in (1, 2, 3, 4)]
        assert quarters == pytest.approx([0.0, 0.01, 0.255, 0.5])
    for row in ledger.verdicts:
        assert (row["layers"], row["layers_learned"], row["shallow"]) == (7, 4, False)
    assert outcome(0.5).final_train_loss == 0.5
