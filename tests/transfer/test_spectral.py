"""Experiments in which beta is set from the spectrum, so that eta alone is searched."""

from pathlib import Path
from typing import Any

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, TrainingPool, spec

import results
from pccore import SpectralActivityLr, TrainingConfig
from transfer import Cell, Experiment, run
from transfer.engine.plan import Plan

MIXED = [
    "mupc",
    "bp",
    {"name": "sp", "activity_lr": [1, 10]},
    {"name": "ntp", "activity_lr": {"spectral": 0.5, "remeasure": 0}},
]
USUAL = SpectralActivityLr()


def spectral(**changes: Any) -> dict[str, Any]:
    values = spec(**changes)
    return {**values, "tune": {**values["tune"], "activity_lr": "spectral"}}


def test_each_variant_searches_its_own_rates() -> None:
    """A list and the spectrum can be compared; backpropagation has neither."""
    plan = Plan.of(Experiment.from_dict(spectral(variants=MIXED)))
    by_name = {arm.variant.name: arm for arm in plan.arms}
    shape = plan.experiment.tune.shape
    chosen = {name: plan.config(arm, shape).activity_lr for name, arm in by_name.items()}
    assert chosen == {"mupc": USUAL, "bp": None, "sp": None, "ntp": SpectralActivityLr(0.5, 0)}
    etas = (0.01, 0.1, 1.0)
    for name in ("mupc", "bp", "ntp"):
        assert by_name[name].space.cells == tuple(Cell(eta, None) for eta in etas)
    assert len(by_name["sp"].space.cells) == 6


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("spectral", USUAL),
        ({"spectral": 1.2}, SpectralActivityLr(1.2, USUAL.remeasure)),
        ({"spectral": 1, "remeasure": 0}, SpectralActivityLr(1.0, 0)),
    ],
)
def test_forms_in_a_spec(written: object, expected: SpectralActivityLr) -> None:
    experiment = Experiment.from_dict(spec(tune={"activity_lr": written}))
    assert experiment.tune.activity_lr == expected


def test_rules_transfer_eta_alone() -> None:
    """The optimum at eta 0.1 moves by the exponent -1/2 of Depth-muP at twice the layers."""

    def response(config: TrainingConfig, cell: Cell, seed: int) -> float:
        assert config.activity_lr == (None if config.rule.inference is None else USUAL)
        assert cell.activity_lr is None
        return 1 + abs(cell.weight_lr - 0.1) + seed / 100

    exponents = {"rule": "exponents", "weight_lr": {"depth": -1}}
    values = spectral(
        variants=["mupc", "bp"],
        tune={"depth": 3},
        transfer={"depths": [7], "rules": ["zero_shot", "depth_mup", exponents]},
    )
    result = run(Experiment.from_dict(values), MemoryLedger(), FormulaPool(response))
    assert result.optima["mupc"].cell == result.optima["bp"].cell == Cell(0.1, None)
    by_rule = {(row["variant"], row["rule"]): row for row in result.verdicts}
    assert len(by_rule) == 6
    for (_, rule), row in by_rule.items():
        expected = {"zero_shot": 0.1, "depth_mup": 0.1 * 2**-0.5, "exponents": 0.05}[rule]
        assert row["weight_lr"] == pytest.approx(expected, rel=1e-3)
        assert row["activity_lr"] is row["drift_activity_lr"] is None


@pytest.mark.slow
def test_experiment_from_tuning_to_report(tmp_path: Path) -> None:
    values = spectral(
        variants=["mupc", "bp"],
        training={"steps": 12, "inference": {"scheme": "nesterov", "steps": {"depth": 2}}},
        tune={"weight_lr": [0.05, 0.1], "seeds": 1},
        transfer={"depths": [3]},
    )
    ledger = results.open(tmp_path / "runs", create=True)
    result = run(Experiment.from_dict(values), ledger, TrainingPool())
    assert {row["variant"] for row in result.verdicts} == {"mupc", "bp"}
    runs = ledger.runs(variant="mupc")
    assert len(runs) == 4
    assert runs["activity_lr"].isna().all()
    assert set(runs["inference_options"]) == {'{"activity_lr": {"remeasure": 25, "spectral": 1.0}}'}
    measured = ledger.measurements(variant="mupc").pivot_table(
        index=["run_id", "step"], columns="quantity", values="value"
    )
    assert len(measured) == 5 * 4
    first = measured.xs(0, level="step")
    products = first["spectral_activity_lr"] * first["spectral_lambda_max"] / 64
    assert products.to_list() == pytest.approx([1.0] * 4, rel=1e-5)
    assert ledger.measurements(variant="bp").empty
    page = results.report(ledger, tmp_path / "report")
    assert "&#34;spectral&#34;: 1.0" in Path(page).read_text()
