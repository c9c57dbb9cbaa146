"""Probes of the energy that inference reaches and of the norm of weight gradients."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore
from pccore.theory import NumericalEnergy, WeightGradientNorm

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
