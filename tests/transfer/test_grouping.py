"""The estimated cost of runs, and cutting them into groups."""

from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from fewer import cases
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
from results.shapes import Shape
from transfer import Run
from transfer.engine.grouping import (
    OPERATIONS,
    TARGET_BYTES,
    cut,
    evaluation_work,
    evaluations,
    interval,
    resumed,
    sizes,
    steps,
    trained_together,
    updates,
    weight_bytes,
    work,
    work_between,
)
from transfer.engine.pool import Group, failed_group
from transfer.functions import FunctionConfig


def config(depth: int = 4, width: int = 8, **changes: object) -> TrainingConfig:
    network = NetworkConfig(input_size=10, output_size=2, width=width, depth=depth)
    rule = PredictiveCoding(GradientDescent(depth))
    return TrainingConfig(**{"network": network, "rule": rule, "steps": 5, **changes})


def runs(count: int, shared: TrainingConfig | None = None) -> list[Run]:
    shared = shared or config()
    return [Run("digits", "", "mupc", shared, Lane(0.1, 1.0, seed)) for seed in range(count)]


@given(st.integers(1, 200), st.integers(1, 140), st.floats(0.1, 1000))
def test_cut_puts_every_run_in_one_group_of_allowed_size(
    count: int, most: int, share: float
) -> None:
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
def test_cut_spreads_work_over_all_slots(count: int, most: int, slots: int, groups: int) -> None:
    share = count * work(config()) / slots
    assert len(cut(runs(count), most, share)) == groups


@pytest.mark.parametrize(("count", "most", "size"), [(132, 64, 44), (18, 4, 3), (27, 4, 3)])
def test_cut_makes_groups_of_one_size_if_possible(count: int, most: int, size: int) -> None:
    share = count * work(config())
    assert {len(group) for group in cut(runs(count), most, share)} == {size}


def test_runs_of_one_config_train_together() -> None:
    shallow, deep = runs(3), runs(2, config(depth=8))
    assert trained_together([*shallow, *deep]) == [shallow, deep]


def test_runs_of_different_data_sets_train_apart() -> None:
    """Data sets of equal sizes lead to the same config."""
    mnist, fashion = (
        [Run(name, digest, "mupc", config(), Lane(0.1, 1.0, seed)) for seed in range(2)]
        for name, digest in (("mnist", "a"), ("fashion_mnist", "b"))
    )
    assert trained_together([*mnist, *fashion]) == [mnist, fashion]


FIRST, OTHERS, SAMPLES = 10 * 8, 3 * 8 * 8 + 8 * 2, 64 * 5


def products(shared: TrainingConfig) -> float:
    """Return the weights that a sample is multiplied with."""
    return work(shared) / SAMPLES


def test_work_of_gradient_descent() -> None:
    """T = H steps move 1 + 2 + ... + H layers with two products each, the first layer excluded.

    Prediction and learning take one product each.
    """
    both = 2 * (FIRST + OTHERS)
    assert products(config()) == pytest.approx(both + 2 * (1 + 2 + 3 + 4) / 4 * OTHERS)
    longer = config(rule=PredictiveCoding(GradientDescent(6)))
    assert products(longer) == pytest.approx(both + 2 * (10 + 2 * 4) / 4 * OTHERS)
    shorter = config(rule=PredictiveCoding(GradientDescent(2)))
    learned = OTHERS / 2  # two of four layers have moved
    expected = FIRST + OTHERS + learned + 2 * (1 + 2) / 4 * OTHERS
    assert products(shorter) == pytest.approx(expected)
    backpropagation = config(rule=Backpropagation())
    assert products(backpropagation) == pytest.approx(2 * FIRST + 3 * OTHERS)


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        (pccore.ToConvergence(max_steps=20), 20),
        (pccore.AdaptiveFlow(max_steps=30), 30),
        (pccore.ExactSolution(), 1),
    ],
)
def test_work_of_other_schemes_counts_all_layers_in_every_step(
    scheme: pccore.InferenceScheme, steps: int
) -> None:
    expected = 2 * (FIRST + OTHERS) + 2 * steps * OTHERS
    assert products(config(rule=PredictiveCoding(scheme))) == pytest.approx(expected)


def test_work_of_error_based_inference_counts_all_weights() -> None:
    found = products(config(rule=PredictiveCoding(pccore.ErrorBased(3))))
    assert found == pytest.approx((2 + 2 * 3) * (FIRST + OTHERS))


@pytest.mark.parametrize(
    ("scheme", "sweeps"),
    [
        (pccore.GaussNewton(), 2 + 1 + 2),
        (pccore.GaussNewton(3), 3 * (2 + 1 + 2)),
        (pccore.GaussNewton(direct_outputs=1), 2 * 3 + 2),
        (pccore.GaussNewton(direct_outputs=1, conjugate_steps=2), 2 * 2 + 2),
    ],
)
def test_work_of_linear_solution_counts_its_sweeps(scheme: pccore.GaussNewton, sweeps: int) -> None:
    """K + 1 sweeps downwards, or two per conjugate gradient step; two for the line search.

    The network has K = 2.
    """
    expected = 2 * (FIRST + OTHERS) + sweeps * OTHERS
    assert products(config(rule=PredictiveCoding(scheme))) == pytest.approx(expected)


@pytest.mark.parametrize(
    "rule",
    cases(
        [
            PredictiveCoding(GradientDescent(3)),
            Backpropagation(),
            PredictiveCoding(pccore.ErrorBased(3)),
            PredictiveCoding(GradientDescent(8)),
        ],
        2,
    ),
)
def test_work_agrees_with_xla(rule: pccore.LearningRule, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA counts the body of a loop once, so that the loops of the update are unrolled here.

    XLA also counts elementwise arithmetic, and products that the top of the network does not need.
    """
    monkeypatch.setenv("MUPC_NATIVE", "0")
    network = NetworkConfig(input_size=784, output_size=10, width=128, depth=8)
    shared = TrainingConfig(network, rule, steps=1)
    assert xla_operations(shared) == pytest.approx(2 * work(shared), rel=0.15)


@pytest.mark.parametrize(
    "rule", cases([PredictiveCoding(pccore.Nesterov(3)), Backpropagation()], 1)
)
def test_work_of_convolutions_agrees_with_xla(rule: pccore.LearningRule) -> None:
    network = pccore.ConvolutionalStackConfig(784, 10, width=32, depth=4, patch=7)
    shared = TrainingConfig(network, rule, steps=1)
    assert xla_operations(shared) == pytest.approx(2 * work(shared), rel=0.15)


def xla_operations(shared: TrainingConfig) -> float:
    """Return the floating-point operations of one gradient, counted by XLA."""
    B, D, K = shared.batch_size, shared.network.input_size, shared.network.output_size
    network = shared.network.build(jax.random.key(0))
    leaves, structure = jax.tree.flatten(network)

    def gradients(leaves: list[jax.Array], x: jax.Array, y: jax.Array) -> Any:
        network = jax.tree.unflatten(structure, leaves)
        return shared.rule.gradients(network, x, y, jnp.ones(()), jax.random.key(0))

    batch = jnp.ones((B, D)), jnp.ones((B, K))
    with jax.disable_jit():  # Python runs the loops
        unrolled = jax.make_jaxpr(gradients)(leaves, *batch)
    program = partial(jax.core.eval_jaxpr, unrolled.jaxpr, unrolled.consts)
    compiled = jax.jit(program).lower(*leaves, *batch).compile()
    return float(compiled.cost_analysis()["flops"])


def test_evaluation_work_counts_forward_passes_of_the_test_set() -> None:
    shared = config(steps=5, eval_every=2)
    assert evaluations(shared) == 3
    assert evaluation_work(shared, 100) == 3 * 100 * (FIRST + OTHERS)
    assert evaluations(replace(shared, steps=0)) == 1


def test_work_of_two_networks_is_their_sum() -> None:
    alone = config()
    mirrored = pccore.mirror(alone.network)
    both = replace(alone, network=pccore.HybridConfig(alone.network, mirrored))
    assert work(both) == pytest.approx(work(alone) + work(replace(alone, network=mirrored)))


def test_multiply_add_is_two_operations() -> None:
    assert OPERATIONS == 2


def test_work_of_trust_region_steps_is_that_of_a_hessian_and_its_factors() -> None:
    """A gradient per weight, and n^3 / 3 multiply-adds for the LU factors of n rows."""
    n, gradient = FIRST + OTHERS, 2 * FIRST + 3 * OTHERS
    found = work(config(rule=pccore.TrustRegionNewton(), batch_size=16))
    assert found == pytest.approx(5 * (n * gradient * 16 + n**3 / 3))


def test_work_between_updates_is_their_share() -> None:
    shared = config(steps=5)
    assert work_between(shared) == pytest.approx(work(shared))
    assert work_between(shared, 2) == pytest.approx(3 / 5 * work(shared))
    assert work_between(shared, 1, 3) == pytest.approx(2 / 5 * work(shared))
    untrained = replace(shared, steps=0)
    assert work_between(untrained) == work(untrained) == work(replace(shared, steps=1))


def test_kept_weights_take_four_bytes_each() -> None:
    assert weight_bytes(config()) == 4 * (FIRST + OTHERS)
    assert TARGET_BYTES == 64 * 1024**2  # docs/networks.md


def test_run_of_a_function_is_one_update() -> None:
    function = FunctionConfig("train", Shape(width=8, depth=3))
    assert work(function) == 8**2 * 4
    assert (steps(function), interval(function), weight_bytes(function)) == (1, 1, 1)
    longer = config(steps=6, eval_every=2)
    assert (steps(longer), interval(longer)) == (6, 2)


def test_updates_of_a_group_are_those_since_it_began() -> None:
    """A run that failed has made none; one that stopped before adds to what it had."""
    lanes = tuple(Lane(0.1, 1.0, seed) for seed in range(3))
    group = Group("digits", None, config(), lanes, ("a", "b", "c"), begun=2)
    done = [pccore.Outcome(pccore.Status.TRAINED, steps=made) for made in (5, 3)]
    failed = pccore.Outcome.failed("lost")
    result = replace(failed_group(group, "lost"), outcomes=(*done, failed))
    assert updates(result) == (5 - 2) + (3 - 2)
    function = FunctionConfig("train", Shape(width=8, depth=3))
    assert updates(replace(result, group=replace(group, config=function))) == 2


@pytest.mark.parametrize(
    ("count", "most", "share", "expected"),
    [
        (15, 8, 15.0, [5, 5, 5]),  # two groups would have two sizes
        (25, 8, 6.25, [5, 5, 5, 5, 5]),  # the share asks for as many groups as `most`
        (9, 6, 9.0, [4, 5]),  # one size would be 3, at most half of the largest
    ],
)
def test_prefers_groups_of_one_size(
    count: int, most: int, share: float, expected: list[int]
) -> None:
    assert sizes(count, 1.0, most, share) == expected


def test_resumes_groups_as_they_were_cut() -> None:
    first, second, third = runs(3)
    checkpointed = [
        (first.run_id, second.run_id),
        ("of another experiment",),
        (third.run_id, first.run_id),  # its first run is in another group already
    ]
    groups, rest = resumed([first, second, third], checkpointed)
    assert groups == [[first, second]]
    assert rest == [third]
