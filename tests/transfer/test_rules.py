"""Transfer rules from the spec to the verdict."""

import math
from collections import Counter
from typing import Any

import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st
from law_specs import ETAS, FITTED, law_spec
from transfer_fakes import FormulaPool, MemoryLedger, TrainingPool, spec

import results
from pccore import Outcome, Status, TrainingConfig
from results.shapes import Shape
from transfer import Cell, Experiment, Progress, run
from transfer.engine.result import TransferResult
from transfer.spec.transfer_rules import (
    TRANSFER_RULES,
    DepthMuP,
    FittedExponents,
    GivenExponents,
    ZeroShot,
)


def falling(config: TrainingConfig, cell: Cell, seed: int) -> Outcome | float:
    """Return a log-parabola around eta* = 0.1 (L / 8)^-0.8; runs far above it diverge."""
    L = config.network.depth + 1
    away = math.log(cell.weight_lr / (0.1 * (L / 8) ** -0.8))
    if away > 2:
        return Outcome(Status.DIVERGED, steps=3, diverged_step=3)
    return 0.1 * math.exp(0.3 * away**2) * (1 + 0.01 * seed)


def run_formula(
    values: dict[str, Any], ledger: Any = None, response: Any = falling
) -> tuple[TransferResult, FormulaPool, Any]:
    ledger, pool = ledger or MemoryLedger(), FormulaPool(response)
    return run(Experiment.from_dict(values), ledger, pool), pool, ledger


def test_compares_rules_by_all_cells_at_the_target() -> None:
    result, pool, ledger = run_formula(law_spec("zero_shot", "depth_mup", FITTED))
    zero, prescribed, fitted = result.verdicts
    assert [row["rule"] for row in result.verdicts] == ["zero_shot", "depth_mup", "fitted"]
    assert zero["weight_lr"] == 0.1
    assert prescribed["weight_lr"] == 0.05  # (32 / 8)^-1/2
    assert fitted["weight_lr"] == pytest.approx(0.1 * 4**-0.8, rel=0.02)
    assert [row["verdict"] for row in result.verdicts] == ["drifted", "held", "held"]
    best = 0.1 * 1.01
    for row in result.verdicts:
        away = math.log(row["weight_lr"] / (0.1 * 4**-0.8))
        assert row["regret"] == pytest.approx(0.3 * away**2, abs=0.01)
        assert row["best_loss"] == pytest.approx(best, rel=5e-3)
        assert row["cells"] == 9
    at_target = Counter((r["weight_lr"], r["seed"]) for r in ledger.appended if r["depth"] == 31)
    ratio = 10**0.25
    expected = {eta * r for eta in (0.05, fitted["weight_lr"]) for r in (1 / ratio, 1, ratio)}
    expected |= {eta for eta in ETAS if 0.05 < eta < 0.18}
    assert sorted({eta for eta, _ in at_target}) == pytest.approx(sorted(expected), rel=1e-3)
    assert set(at_target.values()) == {1}
    assert len(pool.trained) == len(set(pool.trained))


def test_fitted_verdict_records_the_law_with_intervals() -> None:
    result, _, ledger = run_formula(law_spec(FITTED))
    (row,) = result.verdicts
    assert row["weight_lr_depth_exponent"] == pytest.approx(-0.8, abs=0.02)
    low, high = (row[f"weight_lr_depth_exponent_{end}"] for end in ("low", "high"))
    assert low <= row["weight_lr_depth_exponent"] <= high
    assert row["weight_lr_low"] <= row["weight_lr"] * 1.001
    assert row["weight_lr"] <= row["weight_lr_high"] * 1.001
    assert row["weight_lr_width_exponent"] is None
    assert row["activity_lr_depth_exponent"] is None
    assert f"; eta scales as L^{row['weight_lr_depth_exponent']:.2f} (95% int" in row["reason"]
    measured = {(m["quantity"], m["depth"]): m["value"] for m in ledger.measured}
    for depth in (3, 7, 15):
        for quantity in ("optimal_weight_lr", "law_weight_lr"):
            exact = 0.1 * ((depth + 1) / 8) ** -0.8
            assert measured[quantity, depth] == pytest.approx(exact, rel=0.02)
    assert ("optimal_weight_lr", 31) not in measured
    assert measured["law_weight_lr_low", 31] <= measured["law_weight_lr", 31]


def test_rules_share_the_searches_of_fitted_shapes() -> None:
    alone, pool, ledger = run_formula(law_spec("zero_shot"))
    _, more, _ = run_formula(law_spec("zero_shot", FITTED), ledger)
    searched = Counter(r["depth"] for r in ledger.appended if r["phase"] == "tune")
    assert searched == {3: 39, 7: 39, 15: 39}
    assert not set(pool.trained) & set(more.trained)
    assert len(pool.trained) == 39 + 9
    assert len(more.trained) == 2 * 39 + 9
    assert alone.verdicts[0]["weight_lr"] == 0.1


def test_default_rule_is_zero_shot() -> None:
    before, pool, _ = run_formula(spec(), response=lambda c, cell, s: 1 / cell.weight_lr)
    after, again, _ = run_formula(
        spec(transfer={"rules": ["zero_shot"]}), response=lambda c, cell, s: 1 / cell.weight_lr
    )
    assert pool.trained == again.trained
    assert [row["rule"] for row in before.verdicts] == ["zero_shot"] * 2
    assert [row["reason"] for row in before.verdicts] == [row["reason"] for row in after.verdicts]


def test_ledger_keeps_verdicts_of_several_rules(tmp_path: Any) -> None:
    ledger = results.open(tmp_path, create=True)
    result, _, _ = run_formula(law_spec("zero_shot", FITTED), ledger)
    run_formula(law_spec("zero_shot", FITTED), ledger)
    frame = ledger.verdicts().set_index("rule")
    assert sorted(frame.index) == ["fitted", "zero_shot"]
    assert frame.loc["fitted", "weight_lr"] == result.verdicts[1]["weight_lr"]
    law = ledger.measurements(quantity="law_weight_lr").set_index("depth")["value"]
    assert law[31] == pytest.approx(frame.loc["fitted", "weight_lr"], rel=1e-3)


def test_unfitted_law_is_inconclusive_and_other_rules_proceed() -> None:
    values = law_spec("zero_shot", FITTED, tune={"weight_lr": [1e-5, 1e-4, 1e-3]})
    result, _, _ = run_formula(values)
    zero, fitted = result.verdicts
    assert zero["verdict"] == "edge"
    assert (fitted["verdict"], fitted["weight_lr"], fitted["loss"]) == ("inconclusive", None, None)
    assert fitted["reason"].startswith("no law could be fitted: 0 of 3 shapes have an optimum ins")


def test_verdict_if_nothing_trains_at_the_tuned_shape() -> None:
    diverged = Outcome(Status.DIVERGED, steps=3, diverged_step=3)
    result, _, _ = run_formula(law_spec("zero_shot", FITTED), response=lambda *_: diverged)
    assert [(row["rule"], row["verdict"]) for row in result.verdicts] == [
        ("zero_shot", "inconclusive"),
        ("fitted", "inconclusive"),
    ]
    assert all("no cell trained at the tuned shape" in r["reason"] for r in result.verdicts)


def test_neighbourhood_all_includes_predicted_cells() -> None:
    result, _, ledger = run_formula(law_spec(FITTED, transfer={"neighbourhood": "all"}))
    there = {row["weight_lr"] for row in ledger.appended if row["depth"] == 31}
    assert set(ETAS) < there
    assert result.verdicts[0]["weight_lr"] in there
    assert len(there) == len(ETAS) + 3


def test_fitted_rule_predicts_both_rates() -> None:
    def response(config: TrainingConfig, cell: Cell, seed: int) -> float:
        L = config.network.depth + 1
        eta, beta = 0.1 * (L / 8) ** -0.5, 2 * (L / 8)
        away = math.log(cell.weight_lr / eta) ** 2 + math.log((cell.activity_lr or 0) / beta) ** 2
        return math.exp(0.2 * away) * (1 + seed / 100)

    betas = [0.125 * 2**k for k in range(8)]
    values = law_spec(FITTED, tune={"activity_lr": betas}, training={})
    result, _, _ = run_formula(values, response=response)
    (row,) = result.verdicts
    assert row["activity_lr"] == pytest.approx(8, rel=0.02)
    assert row["activity_lr_depth_exponent"] == pytest.approx(1, abs=0.02)
    assert row["cells"] == 9
    assert row["verdict"] == "held"


@pytest.mark.parametrize(("optimiser", "factor"), [("adam", (4 * 4) ** -0.5), ("sgd", 4.0)])
def test_depth_mup_depends_on_the_optimiser(optimiser: str, factor: float) -> None:
    """L and N grow from 8 to 32: Adam scales with (N L)^-1/2, SGD with N."""
    values = law_spec("depth_mup", transfer={"widths": [32]})
    values["training"]["optimiser"] = optimiser
    (row,) = run_formula(values)[0].verdicts
    assert row["weight_lr"] == pytest.approx(0.1 * factor)
    assert row["weight_lr_depth_exponent"] == (-0.5 if optimiser == "adam" else 0)
    assert row["weight_lr_depth_exponent_low"] is None


@pytest.mark.slow
def test_fits_a_law_to_real_runs() -> None:
    values = law_spec(
        {"rule": "fitted", "depths": [1, 2, 3]},
        "zero_shot",
        tune={"depth": 2, "weight_lr": [0.001, 0.01, 0.1, 1.0], "seeds": 2},
        transfer={"depths": [3]},
        training={"steps": 20, "batch_size": 32},
        variants=["bp"],
    )
    result = run(Experiment.from_dict(values), MemoryLedger(), TrainingPool())
    assert [row["rule"] for row in result.verdicts] == ["fitted", "zero_shot"]
    assert all(row["loss"] is not None for row in result.verdicts)


exponents = st.fixed_dictionaries(
    {}, optional={"depth": st.floats(-2, 2), "width": st.floats(-2, 2)}
)
sizes = st.lists(st.integers(1, 99), min_size=3, max_size=5, unique=True)
rules = st.sampled_from(["zero_shot", "depth_mup"]) | st.one_of(
    st.fixed_dictionaries({"rule": st.just("exponents"), "weight_lr": exponents}),
    st.fixed_dictionaries({"rule": st.just("fitted"), "depths": sizes}, optional={"widths": sizes}),
)


def name_of(rule: Any) -> str:
    return rule if isinstance(rule, str) else str(rule["rule"])


@examples(200)
@given(st.lists(rules, min_size=1, max_size=4, unique_by=name_of))
def test_rules_round_trip_through_yaml(given_rules: list[Any]) -> None:
    experiment = Experiment.from_dict(law_spec(*given_rules))
    assert Experiment.from_yaml(experiment.to_yaml()) == experiment
    assert hash(experiment)
    assert [TRANSFER_RULES.name_of(rule) for rule in experiment.transfer.rules] == [
        name_of(rule) for rule in given_rules
    ]


def test_rules_given_in_python_equal_yaml() -> None:
    assert Experiment.from_dict(spec()).transfer.rules == (ZeroShot(),)
    experiment = Experiment.from_dict(law_spec(DepthMuP(), FittedExponents(depths=(3, 15))))
    assert experiment == Experiment.from_dict(law_spec("depth_mup", FITTED | {"depths": [3, 15]}))
    one = law_spec()
    one["transfer"]["rules"] = FITTED
    assert experiment.tuned == Experiment.from_dict(one).tuned
    assert experiment.tuned == tuple(Shape(width=8, depth=depth) for depth in (7, 3, 15))


def test_given_exponents_are_used() -> None:
    rule = {"rule": "exponents", "weight_lr": {"depth": -1.0}}
    experiment = Experiment.from_dict(law_spec(rule))
    (read,) = experiment.transfer.rules
    assert isinstance(read, GivenExponents)
    result, _, _ = run_formula(law_spec(rule))
    assert result.verdicts[0]["weight_lr"] == 0.025
    assert result.verdicts[0]["weight_lr_width_exponent"] == 0


def test_prediction_outside_a_range_has_octave_neighbours() -> None:
    tune = {"sampler": "random", "trials": 12, "weight_lr": {"low": 0.02, "high": 0.5}}
    rule = {"rule": "exponents", "weight_lr": {"depth": -2.0}}
    result, _, ledger = run_formula(law_spec(rule, tune=tune))
    (row,) = result.verdicts
    tuned = result.optima["mupc"].cell
    assert tuned is not None
    assert row["weight_lr"] == pytest.approx(tuned.weight_lr / 16, rel=1e-3)
    there = sorted({run["weight_lr"] for run in ledger.appended if run["depth"] == 31})
    expected = [row["weight_lr"] * factor for factor in (0.5, 1, 2)]
    assert there == pytest.approx(expected, rel=1e-3)
    assert row["verdict"] == "drifted"


def test_progress_counts_the_shapes_of_a_fitted_law() -> None:
    totals = []

    class Recorder(Progress):
        def phase(self, name: str, total_runs: int, already_done: int) -> None:
            totals.append((total_runs, already_done))

    experiment = Experiment.from_dict(law_spec("zero_shot", FITTED))
    run(experiment, MemoryLedger(), FormulaPool(falling), progress=Recorder())
    bound = (3 * len(ETAS) + 2 * 3) * 3
    assert totals[0] == (bound, 0)
    assert totals[-1] == (bound, bound)
