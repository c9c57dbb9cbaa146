"""Run ids: equal for equal determinants, different for anything that changes the result."""

from dataclasses import replace

import pytest

import pccore
from pccore import (
    SGD,
    Adam,
    Backpropagation,
    GradientDescent,
    Lane,
    PredictiveCoding,
    TrainingConfig,
)
from transfer import Cell, Run

NETWORK = pccore.NetworkConfig(input_size=64, output_size=10, width=8, depth=4)
CONFIG = TrainingConfig(NETWORK, PredictiveCoding(GradientDescent(4)), steps=10)
RUN = Run("digits", "abc", "mupc", CONFIG, Lane(0.1, 1.0, 0))


def test_an_id_is_the_same_in_every_process() -> None:
    """It is a hash of names and numbers: Python's own hash would differ with every start."""
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
        }.items()
    ),
]


def test_whatever_determines_the_result_changes_the_id() -> None:
    ids = [RUN.run_id, *(run.run_id for run in OTHERS)]
    assert len(set(ids)) == len(ids) == 20


def test_the_version_of_the_numerics_changes_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = replace(RUN).run_id
    monkeypatch.setattr(pccore, "CONVENTIONS", pccore.CONVENTIONS + 1)
    assert replace(RUN).run_id != before


def test_the_name_of_the_variant_does_not() -> None:
    assert replace(RUN, variant="other").run_id == RUN.run_id


def test_a_cell_reads_well() -> None:
    assert str(Cell(0.1, 500.0)) == "eta 0.1, beta 500"
    assert str(Cell(0.001, None)) == "eta 0.001"
