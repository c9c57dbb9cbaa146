"""Probes of the energy that inference reaches and of the norm of weight gradients."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore
from pccore.theory import GradientCosine, NumericalEnergy, WeightGradientNorm

LINEAR = pccore.NetworkConfig(
    5, 3, width=4, depth=3, activation="linear", parameterisation="sp", residual=False
)
RULES = [
    pccore.Backpropagation(),
    pccore.PredictiveCoding(pccore.ExactSolution()),
]


def problem(config=LINEAR, batch=6):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(batch, config.input_size)), random.normal(size=(batch, 3))
    return config.build(jax.random.key(1)), jnp.asarray(x, float), jnp.asarray(y, float)


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True])
def test_inference_flow_ends_at_the_equilibrated_energy(residual):
    """Stopped early, F is above F*, the minimum over activities (theorem 3.1)."""
    network, x, y = problem(replace(LINEAR, residual=residual))
    beta = jnp.array(float(len(x)))
    late = NumericalEnergy(pccore.AdaptiveFlow(time=2000, rtol=1e-5, atol=1e-5))
    late = late.measure(network, x, y, beta)
    np.testing.assert_allclose(late["numerical_energy"], late["equilibrated_energy"], rtol=1e-4)
    assert late["inference_residual"] < 1e-3
    early = NumericalEnergy(pccore.GradientDescent(2)).measure(network, x, y, 0.01 * beta)
    assert early["numerical_energy"] > 1.001 * early["equilibrated_energy"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=["loss", "energy"])
def test_weight_gradient_norm_matches_autodiff(rule):
    network, x, y = problem()

    def loss(network):
        return 0.5 * jnp.mean(jnp.sum((y - network.predict(x)) ** 2, axis=-1))

    def energy(network):
        return NumericalEnergy(pccore.ExactSolution()).measure(network, x, y, jnp.array(1.0))[
            "equilibrated_energy"
        ]

    landscape = loss if isinstance(rule, pccore.Backpropagation) else energy
    gradient = jax.tree.leaves(jax.grad(landscape)(network))
    expected = np.sqrt(sum(float(jnp.sum(g**2)) for g in gradient))
    found = WeightGradientNorm(rule).measure(network, x, y, jnp.array(1.0))
    np.testing.assert_allclose(found["weight_gradient_norm"], expected, rtol=1e-4)


DEEP = pccore.NetworkConfig(5, 3, width=4, depth=5, activation="linear")


@partial(jax.jit, static_argnums=0)
def against_backpropagation(probe, network, x, y, beta):
    found = probe.measure(network, x, y, beta)
    return found["gradient_cosine"], found["relative_gradient_rms"]


@pytest.mark.slow
def test_gradients_tend_to_backpropagation_in_every_layer():
    """At the end of augmented-Lagrangian inference; plain inference has other gradients."""
    network, x, y = problem(DEEP)
    beta = jnp.array(len(x) / 4.5)
    probe = GradientCosine(pccore.PredictiveCoding(pccore.AugmentedLagrangian(3000)))
    cosine, ratio = against_backpropagation(probe, network, x, y, beta)
    assert cosine.shape == ratio.shape == (DEEP.depth + 1,)
    np.testing.assert_allclose(cosine, 1, atol=1e-3)
    np.testing.assert_allclose(ratio, 1, atol=1e-2)
    plain = GradientCosine(pccore.PredictiveCoding(pccore.GradientDescent(3000)))
    assert max(against_backpropagation(plain, network, x, y, beta)[1]) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3, DEEP.depth])
def test_gradients_of_few_small_steps_fade_towards_the_input(steps):
    """j layers below the output, T steps of size s reach C(T, j) s^j of backpropagation's error.

    The squares of these gradients underflow in float32.
    """
    network, x, y = problem(DEEP)
    share = 1e-5
    probe = GradientCosine(pccore.PredictiveCoding(pccore.GradientDescent(steps)))
    cosine, ratio = against_backpropagation(probe, network, x, y, jnp.array(share * len(x)))
    expected = [math.comb(steps, j) * share**j for j in range(DEEP.depth, -1, -1)]
    reached = np.array(expected) > 0
    np.testing.assert_allclose(ratio, expected, rtol=1e-3)
    np.testing.assert_allclose(cosine[reached], 1, rtol=1e-5)
    assert np.isnan(cosine[~reached]).all()


def test_gradient_cosine_compares_matrix_by_matrix():
    network, x, y = problem(replace(DEEP, activation="tanh", bias=True))
    rule, beta = pccore.PredictiveCoding(pccore.GradientDescent(6)), jnp.array(3.0)

    def loss(network):
        return 0.5 * jnp.mean(jnp.sum((y - network.predict(x)) ** 2, axis=-1))

    _, learned = rule.gradients(network, x, y, beta, jax.random.key(0))
    matrices = [[g.first, *g.hidden, g.last] for g in (learned, jax.grad(loss)(network))]
    pairs = [
        tuple(np.asarray(matrix, np.float64).ravel() for matrix in pair)
        for pair in zip(*matrices, strict=True)
    ]
    norms = [(np.linalg.norm(g), np.linalg.norm(b)) for g, b in pairs]
    cosines = [g @ b / (n * m) for (g, b), (n, m) in zip(pairs, norms, strict=True)]
    found = against_backpropagation(GradientCosine(rule), network, x, y, beta)
    np.testing.assert_allclose(found[0], cosines, rtol=1e-4)
    np.testing.assert_allclose(found[1], [n / m for n, m in norms], rtol=1e-4)
    assert np.ptp(cosines) > 1e-3


def test_layer_without_a_gradient_to_compare_with_has_neither_number():
    """An amortiser's prediction does not depend on the generator."""
    amortiser = pccore.NetworkConfig(5, 3, width=4, depth=2)
    network, x, y = problem(
        pccore.HybridConfig(amortiser, replace(amortiser, input_size=3, output_size=5))
    )
    probe = GradientCosine(pccore.PredictiveCoding(pccore.GradientDescent(2)))
    cosine, ratio = against_backpropagation(probe, network, x, y, jnp.array(3.0))
    for numbers in (cosine, ratio):  # the amortiser's three matrices, then the generator's
        assert np.isfinite(numbers).tolist() == [True] * 3 + [False] * 3
