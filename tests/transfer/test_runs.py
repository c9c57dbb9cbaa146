"""Run ids: equal for equal determinants, different for anything that changes the result."""

import json
from dataclasses import replace

import pytest

import pccore
import results
from pccore import (
    SGD,
    ActivityOptimiser,
    Adam,
    Backpropagation,
    BidirectionalConfig,
    ConvolutionalStackConfig,
    EquilibriumPropagation,
    ErrorBased,
    ExactSolution,
    GaussNewton,
    GradientDescent,
    HopfieldConfig,
    HybridConfig,
    Lane,
    NormalStart,
    Orthogonality,
    PredictiveCoding,
    SpectralActivityLr,
    ToConvergence,
    TrainingConfig,
    WeightDecay,
    mirror,
)
from transfer import Cell, Run
from transfer.engine.rebuilding import run_of
from transfer.engine.runs import SETTINGS

NETWORK = pccore.NetworkConfig(input_size=64, output_size=10, width=8, depth=4)
CONFIG = TrainingConfig(NETWORK, PredictiveCoding(GradientDescent(4)), steps=10)
RUN = Run("digits", "abc", "mupc", CONFIG, Lane(0.1, 1.0, 0))


def test_run_id_is_deterministic() -> None:
    """Run ids hash names and numbers; Python's own hash would differ between processes."""
    assert RUN.run_id == Run("digits", "abc", "mupc", CONFIG, Lane(0.1, 1.0, 0)).run_id
    assert len(RUN.run_id) == 20
    assert int(RUN.run_id, 16) >= 0


OTHERS = [
    replace(RUN, dataset="mnist"),
    replace(RUN, digest="abd"),
    replace(RUN, lane=Lane(0.1, 1.0, 1)),
    replace(RUN, lane=Lane(0.1, 1.0000001, 0)),
    replace(RUN, lane=Lane(0.1000001, 1.0, 0)),
    replace(RUN, lane=Lane(0.1, None, 0)),
    *(
        replace(RUN, config=replace(CONFIG, **{name: value}))
        for name, value in {
            "batch_size": 32,
            "steps": 11,
            "eval_every": 5,
            "divergence_factor": None,
            "optimiser": Adam(eps=1e-6),
            "rule": PredictiveCoding(GradientDescent(5)),
        }.items()
    ),
    replace(RUN, config=replace(CONFIG, optimiser=SGD())),
    replace(RUN, config=replace(CONFIG, rule=Backpropagation())),
    *(
        replace(RUN, config=replace(CONFIG, network=replace(NETWORK, **{name: value})))
        for name, value in {
            "width": 9,
            "depth": 5,
            "activation": "tanh",
            "residual": False,
            "parameterisation": "sp",
            "output": "cross_entropy",
            "skip": 2,
            "bias": True,
            "order": "weights_first",
            "activity_decay": 0.1,
            "precisions": (1.0, 1.0, 1.0, 1.0, 2.0),
        }.items()
    ),
    replace(RUN, config=replace(CONFIG, network=replace(NETWORK, precisions=(2.0,) + (1.0,) * 4))),
    *(
        replace(RUN, config=replace(CONFIG, activity_lr=SpectralActivityLr(*spectral)))
        for spectral in ((1.0, 25), (1.2, 25), (1.0, 0))
    ),
    replace(RUN, config=replace(CONFIG, penalties=(WeightDecay(1e-4),))),
    replace(RUN, config=replace(CONFIG, penalties=(WeightDecay(1e-3),))),
    replace(RUN, config=replace(CONFIG, penalties=(Orthogonality(1e-4),))),
    *(
        replace(RUN, config=replace(CONFIG, rule=rule))
        for rule in (
            PredictiveCoding(GradientDescent(4), NormalStart(1.0)),
            PredictiveCoding(GradientDescent(4), NormalStart(0.1)),
            PredictiveCoding(ErrorBased(4)),
            PredictiveCoding(ExactSolution()),
            PredictiveCoding(GaussNewton()),
            PredictiveCoding(GaussNewton(2)),
            PredictiveCoding(ActivityOptimiser(4)),
            PredictiveCoding(ActivityOptimiser(4, "sgd")),
            PredictiveCoding(ToConvergence(4)),
            PredictiveCoding(ToConvergence(5)),
            EquilibriumPropagation(GradientDescent(4)),
            EquilibriumPropagation(GradientDescent(4), nudge=0.1),
        )
    ),
    *(
        replace(RUN, config=replace(CONFIG, network=network))
        for network in (
            HybridConfig(NETWORK, mirror(NETWORK)),
            HybridConfig(NETWORK, replace(mirror(NETWORK), activation="tanh")),
            BidirectionalConfig(NETWORK, mirror(NETWORK)),
            BidirectionalConfig(NETWORK, mirror(NETWORK), backward_weight=0.1),
            HopfieldConfig(replace(NETWORK, residual=False)),
            HopfieldConfig(replace(NETWORK, residual=False), steps=5),
        )
    ),
]


def test_every_setting_changes_the_run_id() -> None:
    ids = [RUN.run_id, *(run.run_id for run in OTHERS)]
    assert len(set(ids)) == len(ids) == 51


def test_run_ids_match_golden_values(usual_compiler: None) -> None:
    """Runs in ledgers written by earlier versions are not trained again.

    The values were computed by commit bca1ef5, the last before the settings of schema version 2.
    """
    assert replace(RUN).run_id == "4a4fcc14bd6539296c07"
    by_backpropagation = replace(CONFIG, rule=Backpropagation())
    bp = replace(RUN, config=by_backpropagation, lane=Lane(0.1, None, 0))
    assert bp.run_id == "f0260630e0517c850814"


def test_records_how_beta_is_set_with_the_inference() -> None:
    config = replace(CONFIG, activity_lr=SpectralActivityLr(0.8, remeasure=50))
    found = replace(RUN, config=config, lane=Lane(0.1, None, 0)).determinants
    assert found["activity_lr"] is None
    options = json.loads(str(found["inference_options"]))
    assert options == {"activity_lr": {"spectral": 0.8, "remeasure": 50}}


def test_records_when_a_run_has_diverged_with_the_rule_unless_usual() -> None:
    assert "rule_options" not in RUN.determinants
    run = replace(RUN, config=replace(CONFIG, divergence_factor=None))
    assert json.loads(str(run.determinants["rule_options"])) == {"divergence_factor": None}
    assert run_of({**run.determinants, "variant": "mupc"}, 64, 10) == run


def test_layout_of_arithmetic_keeps_the_run_id() -> None:
    laid_out = replace(CONFIG, network=replace(NETWORK, layers_per_product=2), batch_shards=2)
    assert replace(RUN, config=laid_out).run_id == RUN.run_id


def test_every_determinant_has_a_column_of_its_type() -> None:
    columns = {row.name: row.type for row in results.columns("runs").itertuples()}
    types = {"string": str, "int64": int, "float64": float, "bool": bool}
    for run in OTHERS:
        for name, value in run.determinants.items():
            assert value is None or type(value) is types[columns[name]]


def test_every_setting_has_a_column() -> None:
    assert set(SETTINGS) <= set(results.columns("runs")["name"])


def test_determinants_describe_the_network_that_predicts() -> None:
    hybrid = replace(CONFIG, network=HybridConfig(NETWORK, mirror(NETWORK)))
    run = replace(RUN, config=hybrid)
    assert run.network is NETWORK
    assert {key: run.determinants[key] for key in ("width", "depth", "rule", "network")} == {
        "width": 8,
        "depth": 4,
        "rule": "pc",
        "network": "hybrid",
    }
    sizes = {"generator": {"input_size": 10, "output_size": 64}}
    assert json.loads(run.determinants["network_options"]) == sizes


def test_determinants_describe_a_convolutional_network() -> None:
    network = ConvolutionalStackConfig(64, 10, 8, 4, image=(1, 8, 8), patch=2)
    run = replace(RUN, config=replace(CONFIG, network=network))
    assert {key: run.determinants[key] for key in ("width", "depth", "network")} == {
        "width": 8,
        "depth": 4,
        "network": "convolutional",
    }
    options = {"image": [1, 8, 8], "patch": 2, "kernel": 3}
    assert json.loads(run.determinants["network_options"]) == options
    other = replace(RUN, config=replace(CONFIG, network=replace(network, patch=4)))
    assert len({RUN.run_id, run.run_id, other.run_id}) == 3


def test_version_of_the_numerics_changes_the_run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = replace(RUN).run_id
    monkeypatch.setattr(pccore, "CONVENTIONS", pccore.CONVENTIONS + 1)
    assert replace(RUN).run_id != before


def test_name_of_the_variant_keeps_the_run_id() -> None:
    assert replace(RUN, variant="other").run_id == RUN.run_id


def test_cell_as_text() -> None:
    assert str(Cell(0.1, 500.0)) == "eta 0.1, beta 500"
    assert str(Cell(0.001, None)) == "eta 0.001"
