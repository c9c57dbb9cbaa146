"""How runs are cut into groups, and what they are thought to cost."""

from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccore
from pccore import (
    Backpropagation,
    GradientDescent,
    Lane,
    NetworkConfig,
    PredictiveCoding,
    TrainingConfig,
)
from transfer import Run
from transfer.grouping import cut, trained_together, work


def config(depth: int = 4, width: int = 8, **changes: object) -> TrainingConfig:
    network = NetworkConfig(input_size=10, output_size=2, width=width, depth=depth)
    rule = PredictiveCoding(GradientDescent(depth))
    return TrainingConfig(**{"network": network, "rule": rule, "steps": 5, **changes})


def runs(count: int, shared: TrainingConfig | None = None) -> list[Run]:
    shared = shared or config()
    return [Run("digits", "", "mupc", shared, Lane(0.1, 1.0, seed)) for seed in range(count)]


@given(st.integers(1, 200), st.integers(1, 140), st.floats(0.1, 1000))
def test_every_run_is_in_one_group_of_the_allowed_size(count: int, most: int, share: float) -> None:
    all_runs = runs(count)
    groups = cut(all_runs, most, share * work(all_runs[0].config))
    assert list(chain(*groups)) == all_runs
    sizes = [len(group) for group in groups]
    assert 1 <= min(sizes) <= max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("count", "most", "slots", "groups"),
    [(132, 200, 1, 1), (27, 64, 2, 2), (3, 64, 8, 3), (17, 4, 2, 5)],
)
def test_work_is_spread_over_all_slots(count: int, most: int, slots: int, groups: int) -> None:
    share = count * work(config()) / slots
    assert len(cut(runs(count), most, share)) == groups


@pytest.mark.parametrize(("count", "most", "size"), [(132, 64, 44), (18, 4, 3), (27, 4, 3)])
def test_groups_are_of_one_size_if_they_can(count: int, most: int, size: int) -> None:
    share = count * work(config())
    assert {len(group) for group in cut(runs(count), most, share)} == {size}


def test_runs_that_differ_in_rates_and_seeds_share_a_program() -> None:
    shallow, deep = runs(3), runs(2, config(depth=8))
    assert trained_together([*shallow, *deep]) == [shallow, deep]


def test_lanes_of_a_program_learn_the_same_data() -> None:
    """Two data sets of one shape have the same config."""
    mnist, fashion = (
        [Run(name, digest, "mupc", config(), Lane(0.1, 1.0, seed)) for seed in range(2)]
        for name, digest in (("mnist", "a"), ("fashion_mnist", "b"))
    )
    assert trained_together([*mnist, *fashion]) == [mnist, fashion]


def test_work_is_what_gradient_descent_multiplies() -> None:
    """T = H steps move 1 + 2 + ... + H layers, at two products each; learning takes three."""
    parameters = 10 * 8 + 3 * 8 * 8 + 8 * 2
    batches = 64 * 5
    assert work(config()) == pytest.approx(parameters * batches * (3 + 2 * (1 + 2 + 3 + 4) / 4))
    longer = config(rule=PredictiveCoding(GradientDescent(6)))
    assert work(longer) == pytest.approx(parameters * batches * (3 + 2 * (10 + 2 * 4) / 4))
    assert work(config(rule=Backpropagation())) == pytest.approx(parameters * batches * 3)


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        (pccore.ErrorBased(3), 3),
        (pccore.ToConvergence(max_steps=20), 20),
        (pccore.AdaptiveFlow(max_steps=30), 30),
        (pccore.ExactEquilibrium(), 1),
    ],
)
def test_work_of_other_schemes_is_all_layers_in_every_step(
    scheme: pccore.InferenceScheme, steps: int
) -> None:
    trained = work(config(rule=Backpropagation())) / 3
    assert work(config(rule=PredictiveCoding(scheme))) == pytest.approx(trained * (3 + 2 * steps))


@pytest.mark.parametrize(
    ("scheme", "sweeps"),
    [
        (pccore.Equilibrium(), 2 + 1 + 2),
        (pccore.Equilibrium(3), 3 * (2 + 1 + 2)),
        (pccore.Equilibrium(direct_outputs=1), 2 * 3 + 2),
        (pccore.Equilibrium(direct_outputs=1, conjugate_steps=2), 2 * 2 + 2),
    ],
)
def test_work_of_equilibrium_inference_is_its_sweeps(
    scheme: pccore.Equilibrium, sweeps: int
) -> None:
    """K + 1 downwards, or two a conjugate gradient; two for the line search, however long it takes.

    The network has K = 2.
    """
    trained = work(config(rule=Backpropagation())) / 3
    assert work(config(rule=PredictiveCoding(scheme))) == pytest.approx(trained * (3 + sweeps))


def test_two_networks_are_twice_the_work() -> None:
    alone = config()
    both = replace(alone, network=pccore.HybridConfig(alone.network, pccore.mirror(alone.network)))
    assert work(both) == pytest.approx(2 * work(alone))
