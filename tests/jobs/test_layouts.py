"""Layouts change how arithmetic is laid out, never what is computed: rule, knobs, ids, losses."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccore
from jobs.pools.devices import Device
from jobs.pools.lanes import SMALL_CPU_LANES
from jobs.pools.layouts import KNOBS, Layout, default_layout, given_layout, has_choice
from transfer import Run
from transfer.engine.grouping import trained_together

CPU = Device("cpu", "cpu", None)
GPU = Device("gpu", "H100", 80 * 2**30)
DESCENT = pccore.PredictiveCoding(pccore.GradientDescent(4))
WANDERING = pccore.PredictiveCoding(pccore.GradientDescent(4), start=pccore.NormalStart(1.0))


def config(
    depth: int = 128, width: int = 128, rule: pccore.LearningRule = DESCENT, **network: object
) -> pccore.TrainingConfig:
    shape = pccore.NetworkConfig(784, 10, width, depth, **network)  # type: ignore[arg-type]
    return pccore.TrainingConfig(shape, rule, batch_size=64, steps=937)


@pytest.mark.parametrize(
    ("training", "layers"),
    [
        (config(8, 128), 0),  # 0.5 MB of hidden weights
        (config(32, 128), 0),  # 2 MB
        (config(128, 64), 0),  # 2 MB
        (config(128, 128), 2),  # 8.3 MB
        (config(32, 512), 2),  # 33 MB
        (config(127, 128), 0),  # 2 does not divide the depth
        (config(skip=2), 0),
        (config(rule=WANDERING), 0),  # all layers move at once
        (config(rule=pccore.PredictiveCoding(pccore.ErrorBased(4))), 0),
        (config(rule=pccore.Backpropagation()), 0),
    ],
)
def test_large_networks_take_two_layers_a_product_on_a_cpu(
    training: pccore.TrainingConfig, layers: int
) -> None:
    assert default_layout(training, CPU).layers_per_product == layers
    assert default_layout(training, GPU).layers_per_product == 0
    assert default_layout(training, CPU).batch_shards == 1


devices = st.sampled_from([CPU, replace(CPU, count=2), replace(CPU, count=3), GPU])
trainings = st.builds(
    config,
    depth=st.integers(1, 40),
    width=st.integers(1, 300),
    rule=st.sampled_from([DESCENT, WANDERING, pccore.Backpropagation()]),
    skip=st.integers(1, 2),
)


@given(training=trainings, device=devices)
def test_whatever_is_tried_suits_the_training(
    training: pccore.TrainingConfig, device: Device
) -> None:
    assert set(KNOBS) == {field.name for field in fields(Layout)}
    default = default_layout(training, device)
    default.apply(training)
    for knob, values in KNOBS.items():
        tried = values(training, device)
        assert len(set(tried)) == len(tried) <= 3
        for value in tried:
            laid_out = replace(default, **{knob: value}).apply(training)
            assert laid_out.batch_shards <= device.count


def test_a_layout_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layers_per_product must divide the depth, .* got 3"):
        Layout(layers_per_product=3).apply(config())
    with pytest.raises(ValueError, match="batch_shards must divide batch_size 64, got 5"):
        Layout(batch_shards=5).apply(config())


def test_applying_is_undone_by_applying_another() -> None:
    laid_out = Layout(4, 2, 2).apply(config())
    assert (laid_out.network.layers_per_product, laid_out.batch_shards) == (2, 2)
    assert Layout().apply(laid_out) == config()
    assert given_layout(laid_out) == Layout(1, 2, 2)
    assert given_layout(config()) is None


def test_batches_are_split_only_over_parts_of_a_cpu() -> None:
    shards = KNOBS["batch_shards"]
    assert shards(config(), CPU) == (1,)
    assert shards(config(), replace(CPU, count=2)) == (1, 2)
    assert shards(config(), replace(CPU, count=3)) == (1,)  # 3 does not divide 64
    assert shards(config(rule=WANDERING), replace(CPU, count=2)) == (1,)


def test_other_networks_and_rules_have_no_choice() -> None:
    network = pccore.NetworkConfig(64, 10, 8, 1, residual=False)
    equilibrium = pccore.TrainingConfig(
        pccore.HopfieldConfig(network),  # type: ignore[arg-type]
        pccore.EquilibriumPropagation(pccore.GradientDescent(4)),
    )
    for training in (equilibrium, config(rule=WANDERING)):
        assert not has_choice(training, CPU)
    assert default_layout(equilibrium, CPU) == Layout(SMALL_CPU_LANES)
    assert has_choice(config(), CPU)


def test_the_id_of_a_run_does_not_depend_on_its_layout() -> None:
    runs = [
        Run("digits", "abc", "mupc", layout.apply(config()), pccore.Lane(0.1, 1.0, 0))
        for layout in (Layout(), Layout(4, 2, 1), Layout(12, 4, 2))
    ]
    assert len({run.run_id for run in runs}) == 1
    assert len(trained_together(runs)) == 3  # the reason why groups carry their own config


def test_losses_do_not_depend_on_the_layout_beyond_rounding() -> None:
    digits = pccore.data.load("digits")
    network = pccore.NetworkConfig(64, 10, 16, 4, "tanh")
    training = pccore.TrainingConfig(network, DESCENT, batch_size=32, steps=12, eval_every=6)
    lane = pccore.Lane(0.05, 5.0, 0)
    whole, *others = (
        pccore.fit(Layout(1, layers).apply(training), digits, lane) for layers in (0, 1, 2, 4)
    )
    assert whole.status is pccore.Status.TRAINED
    for other in others:
        np.testing.assert_allclose(other.curve.train_loss, whole.curve.train_loss, rtol=1e-4)
        assert other.test_accuracy == pytest.approx(whole.test_accuracy, abs=0.01)
