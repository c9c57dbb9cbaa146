"""Step limits: which cells are skipped, and that skipping loses no optimum."""

import math
from pathlib import Path
from typing import Any

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, TrainingPool, spec

import pccore.theory
import results
import transfer
from jobs.cli.statistics import RunStatistics
from pccore import Outcome, Reading, Status, TrainingConfig
from transfer import Cell, Experiment, SpecError, run
from transfer.search.samplers import SAMPLERS, missing_package

EXAMPLE = Path(__file__).parents[2] / "examples" / "descent.yaml"
BETAS = [0.1, 1, 10, 100, 1000]


def skipping(**changes: Any) -> dict[str, Any]:
    values = spec(**changes)
    values["tune"] = {**values["tune"], "skip_unstable": True}
    return values


def limited(stable: dict[int, float | None]) -> Any:
    """Return a formula with its optimum at eta 0.1 and beta 10.

    Untrained networks have the limits `stable` by depth, up to a percent that differs by seed.
    """

    def response(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
        if not config.probes:
            beta = cell.activity_lr or 10
            return 0.1 + abs(cell.weight_lr - 0.1) + abs(beta - 10) / 100 + seed / 100
        assert config.steps == 0
        limit = stable[config.network.depth]
        if limit is None:
            return Outcome(Status.FAILED, cause="worker lost")
        value = limit * (1 + seed / 100)
        reading = Reading(0, "stable_activity_lr", value, "thesis 5.4.1")
        return Outcome(Status.AT_CHANCE, readings=(reading,))

    return response


def run_formula(values: dict[str, Any], stable: dict[int, float | None], **given: Any) -> Any:
    ledger = given.pop("ledger", None) or MemoryLedger()
    pool = FormulaPool(limited(stable), **given)
    return run(Experiment.from_dict(values), ledger, pool), pool, ledger


def betas(ledger: MemoryLedger, depth: int) -> set[float | None]:
    return {row["activity_lr"] for row in ledger.appended if row["depth"] == depth}


# With T = H = 2 steps a growth of 1e5 needs beta = (1 + 1e5^(1/2)) / 2 = 158.6 times the limit;
# with 4 steps, 9.39 times; with 8, 2.61 times.
UNSTABLE = {2: 0.5, 4: 9.0, 8: 9.0}


def test_skips_cells_beyond_the_limit() -> None:
    result, _, ledger = run_formula(skipping(tune={"activity_lr": BETAS}), UNSTABLE)
    assert betas(ledger, 2) == {0.1, 1, 10}  # 100 > 158.6 * 0.51
    assert betas(ledger, 4) == {1, 10}  # 100 > 9.39 * 9.18
    assert betas(ledger, 8) == {1, 10}
    assert result.optima["mupc"].cell == Cell(0.1, 10)
    # three etas of three seeds each: two betas in tuning, one at each of two targets
    assert result.skipped == {"mupc": 18 + 9 + 9}
    assert result.summary.endswith("mupc: 36 runs skipped as unstable")
    assert all(row["steps"] == 10 for row in ledger.appended)


def test_records_limits_as_measurements() -> None:
    _, _, ledger = run_formula(skipping(tune={"activity_lr": BETAS}), UNSTABLE)
    assert len(ledger.measured) == 9
    for row in ledger.measured:
        assert row["quantity"] == "stable_activity_lr"
        assert row["source"] == "thesis 5.4.1"
        assert row["value"] == pytest.approx(UNSTABLE[row["depth"]] * (1 + row["seed"] / 100))
        assert (row["experiment"], row["variant"], row["batch_size"]) == ("test", "mupc", 64)
        assert row["width"] == 8
        assert row["weight_lr"] is row["activity_lr"] is None


def test_measures_and_skips_nothing_by_default() -> None:
    result, pool, ledger = run_formula(spec(tune={"activity_lr": BETAS}), UNSTABLE)
    assert betas(ledger, 2) == set(BETAS)
    assert ledger.measured == []
    assert result.skipped == {}
    assert not any(group.config.probes for group in pool.submitted)


def test_measures_no_target_if_the_tuned_shape_is_stable() -> None:
    _, _, ledger = run_formula(skipping(), {2: 101.0})
    assert {row["depth"] for row in ledger.measured} == {2}
    assert betas(ledger, 4) == {1, 10, 100}


# With T = H = 2 steps a growth of 1e5 needs 158.6 times the limit of gradient descent, as above;
# with Nesterov momentum 133.3 times it, with multipliers 112.2 times.
@pytest.mark.parametrize(
    ("scheme", "stable", "skips"),
    [
        ("gradient_descent", 0.65, False),
        ("gradient_descent", 0.6, True),
        ("nesterov", 0.75, False),
        ("nesterov", 0.7, True),
        ("augmented_lagrangian", 0.9, False),
        ("augmented_lagrangian", 0.85, True),
    ],
)
def test_every_scheme_has_its_own_limit(scheme: str, stable: float, skips: bool) -> None:
    values = skipping(training={"inference": {"scheme": scheme, "steps": "depth"}})
    _, _, ledger = run_formula(values, {2: stable, 4: 101.0, 8: 101.0})
    assert (100 not in betas(ledger, 2)) == skips


# beta 100 is stable if the largest limit of the seeds, 1.02 times `stable`, is at least 100 for
# gradient descent and at least 150 with momentum.
@pytest.mark.parametrize(
    ("scheme", "stable", "measured"),
    [
        ("gradient_descent", 97.0, True),
        ("gradient_descent", 99.0, False),
        ("nesterov", 146.0, True),
        ("nesterov", 148.0, False),
    ],
)
def test_stability_at_the_tuned_shape_is_that_of_the_scheme(
    scheme: str, stable: float, measured: bool
) -> None:
    values = skipping(training={"inference": {"scheme": scheme, "steps": "depth"}})
    _, _, ledger = run_formula(values, {2: stable, 4: 101.0, 8: 101.0})
    assert (4 in {row["depth"] for row in ledger.measured}) == measured


def test_failed_measurement_skips_nothing() -> None:
    result, _, ledger = run_formula(skipping(), {2: None, 4: None, 8: None})
    assert betas(ledger, 2) == {0.1, 1, 10, 100}
    assert result.skipped == {}


def test_always_runs_the_transferred_cell() -> None:
    _, _, ledger = run_formula(skipping(tune={"activity_lr": BETAS}), {2: 0.5, 4: 1e-3, 8: 1e-3})
    assert betas(ledger, 4) == {10}
    cells = {row["weight_lr"] for row in ledger.appended if row["depth"] == 4}
    assert cells == {0.1}


def test_verdict_reports_that_every_cell_was_skipped() -> None:
    result, _, ledger = run_formula(skipping(), {2: 1e-9})
    assert ledger.appended == []
    assert result.optima["mupc"].cell is None
    assert {row["verdict"] for row in result.verdicts} == {"inconclusive"}
    assert {row["reason"] for row in result.verdicts} == {
        "every cell of the search was skipped as unstable"
    }


def test_variants_without_a_limit_run_every_cell() -> None:
    values = skipping(
        variants=["mupc", "bp", "bidirectional"], tune={"activity_lr": BETAS}, transfer={}
    )
    values["transfer"] = {"depths": [4]}
    result, _, ledger = run_formula(values, UNSTABLE)
    of = {
        name: {r["activity_lr"] for r in ledger.appended if (r["variant"], r["depth"]) == (name, 2)}
        for name in ("bp", "bidirectional")
    }
    assert of == {"bp": {None}, "bidirectional": set(BETAS)}
    assert set(result.skipped) == {"mupc"}


@pytest.mark.parametrize(
    "sampler",
    [n for n, each in SAMPLERS.items() if not each.exhaustive and missing_package(n) is None],
)
def test_samplers_are_told_the_worst_loss_of_skipped_cells(sampler: str) -> None:
    tune = {
        "sampler": sampler,
        "trials": 20,
        "activity_lr": {"low": 0.1, "high": 1000},
        "weight_lr": {"low": 0.01, "high": 1},
    }
    result, _, ledger = run_formula(skipping(tune=tune), {2: 0.05, 4: 1.0, 8: 4.0})
    largest = 0.5 * 0.05 * 1.02 * (1 + 1e5**0.5)
    tuned = [row for row in ledger.appended if row["depth"] == 2]
    assert max(row["activity_lr"] for row in tuned) <= largest
    in_tuning = 3 * 20 - len(tuned)
    assert 0 < in_tuning <= result.skipped["mupc"]


def test_resumed_job_measures_nothing_again() -> None:
    values, ledger = skipping(tune={"activity_lr": BETAS}), MemoryLedger()
    first, _, _ = run_formula(values, UNSTABLE, ledger=ledger)
    again, pool, _ = run_formula(values, UNSTABLE, ledger=ledger)
    assert pool.trained == []
    assert again.skipped == first.skipped


def test_statistics_count_skipped_runs() -> None:
    experiment = Experiment.from_dict(skipping(tune={"activity_lr": BETAS}))
    statistics = RunStatistics(experiment)
    run(experiment, MemoryLedger(), FormulaPool(limited(UNSTABLE)), progress=statistics)
    assert statistics.left_out == 36
    assert statistics.done == statistics.total == 27 + 18 + 18
    assert statistics.troubles == "36 skipped"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variants": ["bp"], "tune": {"activity_lr": None}},
            "tune.skip_unstable must be false: no limit can be measured of the activity learning "
            "rates of bp with inference gradient_descent",
        ),
        (
            {"training": {"inference": {"scheme": "error_based", "steps": 4}}},
            "tune.skip_unstable must be false: no limit can be measured of the activity learning "
            "rates of mupc with inference error_based",
        ),
        ({"variants": ["bidirectional"]}, "tune.skip_unstable must be false: no limit"),
    ],
)
def test_rejects_skip_unstable_without_limits(changes: dict[str, Any], message: str) -> None:
    values = skipping(**changes)
    with pytest.raises(SpecError, match=message):
        Experiment.from_dict(values)


def test_rejects_skip_unstable_that_is_not_boolean() -> None:
    with pytest.raises(SpecError, match=r"tune\.skip_unstable must be true or false, got 'yes'"):
        Experiment.from_dict(spec(tune={"skip_unstable": "yes"}))


def trained_with(values: dict[str, Any], skip: bool, folder: Path) -> Any:
    values = {**values, "tune": {**values["tune"], "skip_unstable": skip}}
    ledger = results.open(folder, create=True)
    result = run(Experiment.from_dict(values), ledger, TrainingPool())
    return result, ledger


@pytest.mark.slow
def test_skipping_loses_no_optimum_on_digits(tmp_path: Path) -> None:
    """Real training finds the same optimum and verdict with fewer runs."""
    values = spec(
        training={"steps": 40},
        tune={"depth": 4, "weight_lr": [0.1], "activity_lr": [1, 10, 1000], "seeds": 2},
        transfer={"depths": [6]},
    )
    everything, _ = trained_with(values, False, tmp_path / "all")
    fewer, ledger = trained_with(values, True, tmp_path / "fewer")
    assert fewer.optima["mupc"].cell == everything.optima["mupc"].cell == Cell(0.1, 10)
    assert [row["verdict"] for row in fewer.verdicts] == [
        row["verdict"] for row in everything.verdicts
    ]
    assert fewer.skipped == {"mupc": 4}  # beta 1000 at both shapes
    assert (ledger.runs()["steps"] == 40).all()
    limits = ledger.measurements(quantity="stable_activity_lr")
    assert set(limits["depth"]) == {4, 6}
    # lambda_max is at least that of skips alone, 4 cos^2(pi / (2 H + 1)), and at most that of
    # infinitely many linear layers
    linear = pccore.NetworkConfig(64, 10, 8, 4, activation="linear")
    highest = pccore.theory.deep_edges(linear).high
    assert limits["value"].between(128 / highest, 128 / (4 * math.cos(math.pi / 9) ** 2)).all()


@pytest.mark.slow
def test_skipping_loses_no_optimum_on_the_digits_example(tmp_path: Path) -> None:
    import jobs

    experiment = transfer.load(EXAMPLE)
    found = {}
    for skip in (False, True):
        values = experiment.to_dict()
        values["tune"]["skip_unstable"] = skip
        ledger = results.open(tmp_path / str(skip), create=True)
        with jobs.LocalPool() as pool:
            found[skip] = run(Experiment.from_dict(values), ledger, pool)
    for name, optimum in found[False].optima.items():
        assert found[True].optima[name].cell == optimum.cell
    assert [row["verdict"] for row in found[True].verdicts] == [
        row["verdict"] for row in found[False].verdicts
    ]
    # betas 100, 500 and 1000 of four etas in tuning, and 50 of three and two etas at four targets
    assert found[True].skipped == {"mupc": 36 + 36, "sp": 36 + 24}
