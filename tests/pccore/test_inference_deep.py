"""Nesterov and augmented-Lagrangian inference against references in float64."""

from dataclasses import replace
from functools import partial

import hypothesis.strategies as st
import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fewer import cases, examples
from hypothesis import given
from inference_problems import (
    LINEAR,
    TANH,
    assert_close,
    dense_system,
    forward_pass,
    infer,
    problem,
)

import pccore
from pccore.inference import AugmentedLagrangian, GradientDescent, Nesterov
from pccore.networks.clamping import clamp

BOTH = [Nesterov, AugmentedLagrangian]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@jax.jit
def residuals(network, z, x):
    """r_l = z_l - f_l(z_{l-1}), by the layers themselves."""
    nodes = [x, *z]
    predictions = [f(below) for f, below in zip(network.layers()[:-1], nodes, strict=False)]
    return jnp.stack([*z]) - jnp.stack(predictions)


def lagrangian(network, z, multipliers, x, y):
    """L without its constant, by differentiable parts."""
    precisions = jnp.array(network.config.precisions[:-1] or (1.0,) * len(z))
    coupling = jnp.einsum("l,lbn,lbn->", precisions, multipliers, residuals(network, z, x))
    return problems.energy(network, z, x, y) + coupling / len(x)


lagrangian_slopes = jax.jit(jax.grad(lagrangian, argnums=1))
lagrangian_weight_slopes = jax.jit(jax.grad(lagrangian))


@jax.jit
def weight_gradients(inference, network, x, y):
    return inference.weight_gradients(network.relaxation(x, y))


@partial(jax.jit, static_argnums=0)
def by_both(scheme, network, x, y, beta):
    """Return activities and weight gradients of the wave, and of all layers at once."""
    results = []
    for relaxation in (network.relaxation(x, y), clamp(network, {0: x, -1: y})):
        inference = scheme.infer(relaxation, beta)
        activities = jnp.stack([*relaxation.activities(inference.departure)])
        slopes = jax.tree.leaves(inference.weight_gradients(relaxation))
        results.append((activities, slopes))
    return results


def augmented_reference(network, x, y, beta, steps):
    """The definition: a primal step, then a dual one, except after the last."""
    z = forward_pass(network, x)
    multipliers = jnp.zeros_like(z)
    for step in range(steps):
        z = z - beta * lagrangian_slopes(network, z, multipliers, x, y)
        if step < steps - 1:
            multipliers = multipliers + residuals(network, z, x)
    return z, multipliers


def nesterov_reference(network, x, y, beta, steps):
    """The definition in NumPy, one sample at a time."""
    found = []
    for sample in range(len(x)):
        one, target = x[sample : sample + 1], y[sample : sample + 1]
        z = probe = np.asarray(forward_pass(network, one))
        t = 1.0
        for _ in range(steps):
            slope = np.asarray(problems.activity_slopes(network, probe, one, target))
            moved = probe - beta / len(x) * slope
            if np.sum(slope * (moved - z)) > 0:
                t = 1.0
            faster = (1 + np.sqrt(1 + 4 * t**2)) / 2
            probe = moved + (t - 1) / faster * (moved - z)
            z, t = moved, faster
        found.append(z)
    return np.concatenate(found, axis=1)


NETWORKS = {
    "relu": replace(LINEAR, activation="relu", depth=5),
    "cross-entropy": replace(TANH, output="cross_entropy"),
    "all else": replace(
        TANH, residual=False, precisions=(0.5, 2.0, 1.5, 3.0), activity_decay=0.1, bias=True
    ),
    "skip of two": replace(TANH, depth=5, skip=2),
    "plain": replace(TANH, residual=False),
    "precisions": replace(TANH, precisions=(0.5, 2.0, 1.5, 3.0)),
    "decay": replace(TANH, activity_decay=0.1),
    "biases": replace(TANH, bias=True),
    "linear": LINEAR,
    "tanh": TANH,
}
SIMPLE_SKIPS = {name: config for name, config in NETWORKS.items() if name != "skip of two"}


@pytest.mark.parametrize("name", cases(NETWORKS, 4))
def test_nesterov_follows_its_definition(name):
    network, x, y = problem(NETWORKS[name])
    steps = 25
    _, z = infer(Nesterov(steps), network, x, y, jnp.asarray(0.9))
    assert_close(z, nesterov_reference(network, x, y, 0.9, steps), rtol=1e-7, atol=1e-10)


def test_nesterov_restarts_some_samples_and_not_others():
    """Otherwise the previous test would not see restarts."""
    network, x, y = problem(replace(LINEAR, depth=6))

    @jax.jit
    def moves(one, target):
        start, relaxation = network.forward(one), network.relaxation(one, target)

        def observe(d):
            return problems.energy(network, start + d, one, target)

        return Nesterov(60).infer(relaxation, jnp.asarray(0.2), observe=observe).observed

    samples = [slice(sample, sample + 1) for sample in range(len(x))]
    rises = [bool(np.any(np.diff(moves(x[one], y[one])) > 1e-9)) for one in samples]
    assert any(rises)


@pytest.mark.parametrize("name", cases(SIMPLE_SKIPS, 3))
def test_augmented_lagrangian_follows_its_definition(name):
    network, x, y = problem(SIMPLE_SKIPS[name])
    steps = 25
    inference, z = infer(AugmentedLagrangian(steps), network, x, y, jnp.asarray(0.9))
    expected, multipliers = augmented_reference(network, x, y, 0.9, steps)
    assert_close(z, expected, rtol=1e-7, atol=1e-10)
    learned = weight_gradients(inference, network, x, y)
    slopes = lagrangian_weight_slopes(network, expected, multipliers, x, y)
    for actual, wanted in zip(jax.tree.leaves(learned), jax.tree.leaves(slopes), strict=True):
        assert_close(actual, wanted, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("scheme", BOTH)
@examples(8)
@given(
    depth=st.integers(1, 12),
    steps=st.integers(1, 30),
    skip=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_the_wave_equals_all_layers_at_once(scheme, depth, steps, skip, seed):
    with jax.enable_x64(True):
        network, x, y = problem(replace(TANH, depth=depth, skip=min(skip, depth)), seed)
        wave, plain = by_both(scheme(steps), network, x, y, jnp.asarray(0.8))
        for actual, expected in zip(jax.tree.leaves(wave), jax.tree.leaves(plain), strict=True):
            assert_close(actual, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("scheme", BOTH)
def test_samples_do_not_see_each_other(scheme):
    network, x, y = problem(replace(TANH, depth=6))
    _, together = infer(scheme(25), network, x, y, jnp.asarray(1.5))
    for sample in range(len(x)):
        one = slice(sample, sample + 1)
        _, alone = infer(scheme(25), network, x[one], y[one], jnp.asarray(1.5 / len(x)))
        assert_close(together[:, one], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scheme", BOTH)
def test_observing_changes_nothing(scheme):
    network, x, y = problem(TANH)
    relaxation = network.relaxation(x, y)
    plain = scheme(9).infer(relaxation, jnp.asarray(0.7))
    seen = scheme(9).infer(relaxation, jnp.asarray(0.7), observe=lambda d: jnp.sum(d**2))
    assert_close(relaxation.activities(plain.departure), relaxation.activities(seen.departure))
    assert seen.observed.shape == (10,)
    assert np.isfinite(seen.observed).all()


def test_multipliers_start_at_zero_wherever_inference_starts():
    """One step from any start is one step of gradient descent."""
    network, x, y = problem(TANH)
    relaxation = network.relaxation(x, y)
    start = 0.3 * jax.random.normal(jax.random.key(9), relaxation.start.shape)
    augmented = AugmentedLagrangian(1).infer(relaxation, jnp.asarray(0.7), start)
    descended = GradientDescent(1).infer(relaxation, jnp.asarray(0.7), start)
    assert_close(augmented.departure, descended.departure)
    assert_close(augmented.multipliers, np.zeros_like(start))


@pytest.mark.parametrize("depth", cases([10, 3], 1))
def test_credit_tends_to_backpropagation_on_linear_networks(depth):
    """Layer by layer: a whole-network comparison is dominated by the output."""
    network, x, y = problem(replace(LINEAR, depth=depth))
    largest = np.linalg.eigvalsh(dense_system(network, x, y)[0])[-1]
    beta = jnp.asarray(len(x) / largest)

    def loss(network):
        prediction = network.predict(x)
        return 0.5 * jnp.mean(jnp.sum((y - prediction) ** 2, axis=1))

    true = jax.jit(jax.grad(loss))(network)

    def distances(steps):
        inference, _ = infer(AugmentedLagrangian(steps), network, x, y, beta)
        learned = weight_gradients(inference, network, x, y)
        pairs = [
            (learned.first, true.first),
            *zip(learned.hidden, true.hidden, strict=True),
            (learned.last, true.last),
        ]
        return np.array([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])

    late = distances(4000)
    assert late.max() < 1e-3
    assert np.all(late < 0.1 * distances(40))


@pytest.mark.parametrize(
    ("scheme", "limit"), [(GradientDescent, 2), (Nesterov, 4 / 3), (AugmentedLagrangian, 4 / 3)]
)
def test_bounded_only_below_the_stability_limit(scheme, limit):
    """beta lambda_max / B < 4/3 with momentum or multipliers, 2 without."""
    assert scheme.stability_limit == limit
    network, x, y = problem(replace(LINEAR, depth=6))
    largest = np.linalg.eigvalsh(dense_system(network, x, y)[0])[-1]

    def size(share):
        beta = jnp.asarray(share * scheme.stability_limit * len(x) / largest)
        return np.abs(infer(scheme(600), network, x, y, beta)[1]).max()

    assert size(0.96) < 1e3 < size(1.05)


def test_nesterov_ends_at_the_equilibrium_sooner_than_descent():
    network, x, y = problem(replace(LINEAR, depth=8))
    hessian, equilibrium = dense_system(network, x, y)
    beta = jnp.asarray(len(x) / np.linalg.eigvalsh(hessian)[-1])

    def distance(scheme):
        return np.linalg.norm(infer(scheme, network, x, y, beta)[1] - equilibrium)

    assert distance(Nesterov(200)) < 0.05 * distance(GradientDescent(200))
    assert distance(Nesterov(4000)) < 1e-8


@pytest.mark.parametrize("scheme", BOTH)
def test_needs_a_step(scheme):
    with pytest.raises(ValueError, match="steps must be at least 1"):
        scheme(0)


def test_augmented_lagrangian_refuses_networks_that_predict_twice():
    generator = pccore.NetworkConfig(4, 3, width=4, depth=2)
    amortiser = pccore.NetworkConfig(3, 4, width=4, depth=2)

    def inferred(key):
        network = pccore.HybridConfig(amortiser, generator).build(key)
        relaxation = network.relaxation(jnp.ones((2, 3)), jnp.ones((2, 4)))
        return AugmentedLagrangian(2).infer(relaxation, jnp.asarray(0.1))

    with pytest.raises(ValueError, match="predicted by the one below only"):
        jax.eval_shape(inferred, jax.random.key(0))
