"""The layout of arithmetic: the rule, what takes precedence over it, and that results agree."""

from collections.abc import Callable

import numpy as np
import pytest
from pool_trainers import SMALL, group

import jobs
import pccore
from jobs.errors import SettingError
from jobs.pools.devices import Device, default_device, describe
from jobs.pools.layouts import (
    MAX_LANES,
    SMALL_CPU_LANES,
    Layout,
    choose_layout,
    default_layout,
    lane_bytes,
    save_layout,
)
from jobs.pools.settings import LayoutPolicy, layout_policy
from jobs.pools.worker import train_group
from transfer import Run
from transfer.engine.grouping import trained_together

CPU = Device("cpu", "cpu", None)
GPU = Device("gpu", "H100", 80 * 2**30)
DESCENT = pccore.PredictiveCoding(pccore.GradientDescent(4))
RANDOM_START = pccore.PredictiveCoding(pccore.GradientDescent(4), start=pccore.NormalStart(1.0))
SetPolicy = Callable[[str], None]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MUPC_LAYOUTS", raising=False)


@pytest.fixture
def set_policy(monkeypatch: pytest.MonkeyPatch) -> SetPolicy:
    return lambda policy: monkeypatch.setenv("MUPC_LAYOUTS", policy)


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
        (config(order="weights_first"), 0),
        (config(rule=RANDOM_START), 0),  # all layers move at once
        (config(rule=pccore.PredictiveCoding(pccore.ErrorBased(4))), 0),
        (config(rule=pccore.Backpropagation()), 0),
    ],
)
def test_large_networks_take_two_layers_per_product_on_cpu(
    training: pccore.TrainingConfig, layers: int
) -> None:
    assert default_layout(training, CPU).layers_per_product == layers
    assert default_layout(training, GPU).layers_per_product == 0
    assert default_layout(training, CPU).batch_shards == 1


@pytest.mark.parametrize(
    ("width", "depth", "lanes"), [(16, 8, SMALL_CPU_LANES), (33, 8, 1), (128, 128, 1)]
)
def test_cpu_takes_several_small_networks_or_one_large(width: int, depth: int, lanes: int) -> None:
    assert default_layout(config(depth, width), CPU).lanes == lanes


@pytest.mark.parametrize(
    ("gib", "width", "depth", "lanes"),
    [
        (80, 128, 8, MAX_LANES),  # small: the whole grid in one program
        (16, 512, 128, 15),  # 33.5 M weights x 5 + 4.2 M activities x 6 numbers = 0.78 GB each
        (0.1, 1024, 128, 1),  # never less than one
    ],
)
def test_gpu_takes_as_many_lanes_as_fit(gib: float, width: int, depth: int, lanes: int) -> None:
    training = config(depth, width)
    found = default_layout(training, Device("gpu", "H100", int(gib * 2**30))).lanes
    assert abs(found - lanes) <= 3
    assert found == 1 or found * lane_bytes(training) <= gib * 2**30


def test_gpu_of_unknown_memory_takes_lanes() -> None:
    assert 1 <= default_layout(config(128, 512), Device("gpu", "?", None)).lanes <= MAX_LANES


@pytest.mark.parametrize("policy", LayoutPolicy)
def test_networks_of_other_kinds_follow_rule(set_policy: SetPolicy, policy: str) -> None:
    set_policy(policy)
    network = pccore.NetworkConfig(64, 10, 8, 1, residual=False)
    hopfield = pccore.TrainingConfig(
        pccore.HopfieldConfig(network),  # type: ignore[arg-type]
        pccore.EquilibriumPropagation(pccore.GradientDescent(4)),
    )
    assert default_layout(hopfield, CPU) == Layout(SMALL_CPU_LANES)
    assert choose_layout(hopfield, CPU).apply(hopfield) == hopfield


@pytest.mark.parametrize("values", [{"lanes": 0}, {"layers_per_product": -1}, {"batch_shards": 0}])
def test_rejects_values_that_are_too_small(values: dict[str, int]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
        Layout(**values)


def test_rejects_layout_that_does_not_suit_training() -> None:
    with pytest.raises(ValueError, match=r"layers_per_product must divide the depth, .* got 3"):
        Layout(layers_per_product=3).apply(config())
    with pytest.raises(ValueError, match="batch_shards must divide batch_size 64, got 5"):
        Layout(batch_shards=5).apply(config())


def test_another_layout_replaces_the_first() -> None:
    laid_out = Layout(4, 2, 2).apply(config())
    assert (laid_out.network.layers_per_product, laid_out.batch_shards) == (2, 2)
    assert Layout().apply(laid_out) == config()


def test_default_policy_ignores_measured_layouts() -> None:
    save_layout(SMALL, CPU, Layout(1, 2, 1))
    assert layout_policy() is LayoutPolicy.DEFAULT
    assert choose_layout(SMALL, CPU) == default_layout(SMALL, CPU)


def test_measured_policy_uses_measured_layouts_and_else_the_rule(set_policy: SetPolicy) -> None:
    set_policy("measured")
    assert choose_layout(SMALL, CPU) == default_layout(SMALL, CPU)
    save_layout(SMALL, CPU, Layout(1, 2, 1))
    assert choose_layout(SMALL, CPU) == Layout(1, 2, 1)


@pytest.mark.parametrize("policy", LayoutPolicy)
def test_config_with_a_layout_keeps_it(set_policy: SetPolicy, policy: str) -> None:
    set_policy(policy)
    save_layout(SMALL, CPU, Layout(12, 2, 1))
    laid_out = Layout(1, 1, 2).apply(SMALL)
    layout = choose_layout(laid_out, CPU)
    assert layout.apply(laid_out) == laid_out
    assert layout.lanes == default_layout(SMALL, CPU).lanes


@pytest.mark.parametrize("policy", ["fast", "auto", "measure"])
def test_rejects_unknown_policy(set_policy: SetPolicy, policy: str) -> None:
    set_policy(policy)
    message = f"MUPC_LAYOUTS must be default or measured, got '{policy}'"
    with pytest.raises(SettingError, match=message):
        jobs.LocalPool(1)
    set_policy("")
    assert layout_policy() is LayoutPolicy.DEFAULT


def test_worker_trains_in_chosen_layout(
    monkeypatch: pytest.MonkeyPatch, set_policy: SetPolicy
) -> None:
    set_policy("measured")
    save_layout(SMALL, describe(default_device()), Layout(3, 2, 1))
    seen: list[pccore.TrainingConfig] = []

    def fit_many(config: pccore.TrainingConfig, *_: object, **__: object) -> list[pccore.Outcome]:
        seen.append(config)
        return [pccore.Outcome(pccore.Status.TRAINED)]

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    submitted = group("g")
    result = train_group(submitted)
    assert seen == [Layout(1, 2, 1).apply(SMALL)]
    assert result.group == submitted


def test_run_id_does_not_depend_on_layout() -> None:
    runs = [
        Run("digits", "abc", "mupc", layout.apply(config()), pccore.Lane(0.1, 1.0, 0))
        for layout in (Layout(), Layout(4, 2, 1), Layout(12, 4, 2))
    ]
    assert len({run.run_id for run in runs}) == 1
    assert len(trained_together(runs)) == 3  # the reason why groups carry their own config


def test_losses_do_not_depend_on_layout_beyond_rounding() -> None:
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
