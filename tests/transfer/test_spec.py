"""Reading and writing specs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transfer_fakes import spec

import pccore
import transfer
from results.shapes import Shape
from transfer import Cell, Experiment

DESIGN = """
name: mnist-relu
dataset: mnist
network: {activation: relu, residual: true}
variants: [mupc, sp]                 # also bp
training:
  {batch_size: 64, epochs: 1, optimiser: adam, inference: {scheme: gradient_descent, steps: depth}}
tune:
  width: 128
  depth: 8
  weight_lr: [0.5, 0.1, 0.05, 0.01]
  activity_lr: [1000, 500, 100, 50, 10, 5, 1, 0.5, 0.1, 0.05, 0.01]
  sampler: grid                      # grid | tpe | random | cmaes | ...
  seeds: 3
transfer:
  depths: [16, 32, 64, 128]
  widths: [128]
  neighbourhood: 1
"""


def shapes(*pairs: tuple[int, int]) -> tuple[Shape, ...]:
    return tuple(Shape(width=width, depth=depth) for width, depth in pairs)


def test_reads_the_spec_of_the_design() -> None:
    experiment = Experiment.from_yaml(DESIGN)
    assert experiment.steps == 60_000 // 64
    assert experiment.tune.seeds == (0, 1, 2)
    assert experiment.targets == shapes((128, 16), (128, 32), (128, 64), (128, 128))
    assert experiment.training.optimiser == pccore.Adam()
    assert experiment.training.inference.build(16) == pccore.GradientDescent(16)
    assert [variant.name for variant in experiment.variants] == ["mupc", "sp"]
    assert len(experiment.space(experiment.variants[0]).cells) == 44


@pytest.mark.parametrize(
    ("given_shapes", "targets"),
    [
        ({"depths": [4, 8]}, shapes((8, 4), (8, 8))),
        ({"depths": None, "widths": [16, 32]}, shapes((16, 2), (32, 2))),
        ({"depths": [4, 8], "widths": [16, 32]}, shapes((16, 4), (16, 8), (32, 4), (32, 8))),
        ({"depths": None, "targets": [{"width": 3, "depth": 5}]}, shapes((3, 5))),
    ],
)
def test_targets_are_a_product_or_a_list(given_shapes: Any, targets: Any) -> None:
    assert Experiment.from_dict(spec(transfer=given_shapes)).targets == targets


@pytest.mark.parametrize(
    ("training", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 1}, 22),
        ({"epochs": 2.5}, 55),
        ({"epochs": 1, "batch_size": 1442}, 1),
    ],
)
def test_epochs_count_whole_batches(training: dict[str, Any], steps: int) -> None:
    """digits has 1,442 training samples, hence 22 batches of 64 (`pccore.data.info`)."""
    values = spec(training={"steps": None, **training})
    assert pccore.data.info("digits").train_size == 1442
    assert Experiment.from_dict(values).steps == steps


def test_variant_may_have_its_own_rates() -> None:
    values = spec(variants=["mupc", {"name": "bp", "weight_lr": [1e-2, 1e-3]}])
    mupc, bp = (Experiment.from_dict(values), Experiment.from_dict(values).variants)
    assert len(mupc.space(bp[0]).cells) == 12
    assert mupc.space(bp[1]).cells == (Cell(1e-3, None), Cell(1e-2, None))


def test_experiment_is_immutable_and_hashable() -> None:
    experiment = Experiment.from_dict(spec())
    with pytest.raises(ValueError, match="frozen"):
        experiment.name = "other"
    assert hash(experiment) == hash(Experiment.from_dict(spec()))


rates = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=4, unique=True)
ranges = st.tuples(st.floats(1e-9, 1e-3), st.floats(1e-2, 1e6), st.booleans()).map(
    lambda parts: {"low": parts[0], "high": parts[1], "log": parts[2]}
)
spectral = st.just("spectral") | st.fixed_dictionaries(
    {"spectral": st.floats(0.1, 2)}, optional={"remeasure": st.integers(0, 99)}
)
sizes = st.integers(1, 256)
sampled = st.fixed_dictionaries(
    {
        "width": sizes,
        "depth": sizes,
        "weight_lr": rates | ranges,
        "activity_lr": rates | ranges | spectral,
        "sampler": st.sampled_from(["tpe", "random", "qmc", "cmaes", "gp"]),
        "trials": st.integers(1, 99),
        "seeds": st.integers(1, 5) | st.lists(st.integers(0, 99), min_size=1, unique=True),
    },
    optional={"in_flight": st.integers(1, 9)},
)
gridded = st.fixed_dictionaries(
    {"width": sizes, "depth": sizes, "weight_lr": rates, "activity_lr": rates | spectral}
)
trained = st.fixed_dictionaries(
    {"batch_size": st.integers(1, 64)},
    optional={
        "eval_every": st.integers(1, 500),
        "optimiser": st.sampled_from(
            ["adam", {"name": "adam", "eps": 1e-12}, {"name": "sgd", "momentum": 0.9}]
        ),
        "inference": st.sampled_from([{"steps": 3}, {"steps": "depth"}]),
    },
)
length = st.fixed_dictionaries({"epochs": st.floats(1, 10)}) | st.fixed_dictionaries(
    {"steps": st.integers(1, 999)}
)
somewhere = (
    st.fixed_dictionaries({"depths": st.lists(sizes, min_size=1, max_size=3, unique=True)})
    | st.fixed_dictionaries({"widths": st.lists(sizes, min_size=1, max_size=3, unique=True)})
    | st.just({"targets": [{"width": 5, "depth": 6}]})
)
experiments = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True),
        "dataset": st.sampled_from(["digits", "mnist", "toy_sine"]),
        "variants": st.sampled_from([["mupc"], ["sp", "bp"], [{"name": "sp", "weight_lr": [2]}]]),
        "training": st.tuples(trained, length).map(lambda parts: parts[0] | parts[1]),
        "tune": sampled | gridded,
        "transfer": somewhere,
    },
    optional={
        "network": st.sampled_from(
            [{"activation": "tanh"}, {"activation": ["relu", "tanh"], "residual": False}]
        )
    },
)


@given(experiments)
def test_spec_round_trips(values: dict[str, Any]) -> None:
    experiment = Experiment.from_dict(values)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert Experiment.from_yaml(experiment.to_yaml()) == experiment


def test_loads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(DESIGN)
    assert transfer.load(path) == transfer.load(str(path)) == Experiment.from_yaml(DESIGN)


def test_reading_a_spec_imports_neither_optuna_nor_pandas() -> None:
    script = (
        "import sys, transfer.spec.model; print({'optuna', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
