"""Trust-region Newton on networks whose Hessian is known in closed form."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pc_problems import accuracy_on_digits, assert_close, learn, problem

import pccore

CHAIN = pccore.NetworkConfig(
    1, 1, width=1, depth=1, activation="linear", residual=False, parameterisation="sp"
)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("damping", [2.0, 0.5])
@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.7, -1.2)])
def test_step_of_the_one_unit_network(weights, damping):
    """L = 1/2 (y - w_2 w_1 x)^2; at the origin its Hessian is that of thesis eq. A.7."""
    (w1, w2), x, y = weights, 1.3, -1.3
    network, _, _ = problem(CHAIN)
    network = replace(network, first=jnp.array([[w1]]), last=jnp.array([[w2]]))
    r = y - w2 * w1 * x
    g = np.array([-r * w2 * x, -r * w1 * x])
    mixed = w1 * w2 * x**2 - r * x
    H = np.array([[(w2 * x) ** 2, mixed], [mixed, (w1 * x) ** 2]])
    expected = np.linalg.solve(H + damping * np.eye(2), g)
    rule = pccore.TrustRegionNewton(damping)
    loss, step = learn(rule, network, jnp.array([[x]]), jnp.array([[y]]), 0.0)
    assert_close(loss, 0.5 * r**2)
    assert_close(np.array([step.first.item(), step.last.item()]), expected)


def test_large_damping_gives_scaled_gradient():
    config = pccore.NetworkConfig(3, 2, width=3, depth=2, activation="tanh", bias=True)
    network, x, y = problem(config)
    _, step = learn(pccore.TrustRegionNewton(1e8), network, x, y, 0.0)
    _, gradients = learn(pccore.Backpropagation(), network, x, y, 0.0)
    assert_close(jax.tree.map(lambda s: 1e8 * s, step), gradients, rtol=1e-5, atol=1e-7)


def test_rejects_large_networks_and_negative_damping():
    network, x, y = problem(pccore.NetworkConfig(64, 10, width=64, depth=2))
    with pytest.raises(ValueError, match="at most 3000 weights, got 8832"):
        learn(pccore.TrustRegionNewton(), network, x, y, 0.0)
    with pytest.raises(ValueError, match="damping must be at least 0, got -1"):
        pccore.TrustRegionNewton(-1.0)


def test_learns_digits():
    network = pccore.NetworkConfig(64, 10, 3, 1, activation="tanh", parameterisation="sp")
    rule, sgd = pccore.TrustRegionNewton(), pccore.SGD()
    assert accuracy_on_digits(network, rule, weight_lr=1.0, steps=60, optimiser=sgd) > 0.4
