"""Bidirectional predictive coding against automatic differentiation of its definition."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from pc_problems import (
    BATCH,
    accuracy_on_digits,
    assert_close,
    equilibrium,
    learn,
    problem,
    random_like,
)

import pccore
from pccore.inference import ExactSolution

FORWARD = pccore.NetworkConfig(
    input_size=4,
    output_size=3,
    width=5,
    depth=3,
    activation="tanh",
    output="cross_entropy",
    bias=True,
)
LINEAR = replace(FORWARD, activation="linear", output="mse")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def both(forward, alpha_f=1.0, alpha_b=1.0):
    return pccore.BidirectionalConfig(forward, pccore.mirror(forward), alpha_f, alpha_b)


def stated_energy(z, network, x, y):
    """Return the energy, with predictions from below by f and from above by g."""
    config, f, g = network.config, network.forward.layers(), network.backward.layers()[::-1]
    nodes = [x, *z, y]

    def squares(predictions):
        pairs = zip(z, predictions, strict=True)
        return sum(0.5 * jnp.sum((a - b) ** 2) for a, b in pairs) / BATCH

    upwards = [layer(node) for layer, node in zip(f, nodes[:-1], strict=True)]
    downwards = [layer(node) for layer, node in zip(g, nodes[1:], strict=True)]
    output = jnp.mean(config.output_energy.per_sample(y, upwards[-1]))
    reconstruction = 0.5 * jnp.sum((x - downwards[0]) ** 2) / BATCH
    return config.forward_weight * (squares(upwards[:-1]) + output) + config.backward_weight * (
        squares(downwards[1:]) + reconstruction
    )


@jax.jit
def said_at(network, x, y, departure):
    relaxation = network.relaxation(x, y)
    return (
        jnp.sum(relaxation.energies(departure)),
        relaxation.gradient(departure),
        relaxation.weight_gradients(departure),
    )


def test_energy_and_gradients_match_definition():
    network, x, y = problem(both(FORWARD, 0.7, 0.2))
    start = network.forward.forward(x)
    departure = random_like(start)
    F, slopes, gradients = said_at(network, x, y, departure)
    stated = jax.jit(jax.value_and_grad(stated_energy, argnums=(0, 1)))
    expected, (by_z, by_weights) = stated(start + departure, network, x, y)
    assert_close(F, expected)
    assert_close(slopes, BATCH * by_z)
    assert_close(gradients, by_weights)


def test_zero_backward_weight_gives_predictive_coding():
    network, x, y = problem(both(FORWARD, alpha_b=0.0))
    rule = pccore.PredictiveCoding(pccore.GradientDescent(6))
    loss, gradients = learn(rule, network, x, y, 0.2 * BATCH)
    expected_loss, expected = learn(rule, network.forward, x, y, 0.2 * BATCH)
    assert_close(loss, expected_loss)
    assert_close(gradients.forward, expected)
    assert not any(bool(jnp.any(g)) for g in jax.tree.leaves(gradients.backward))


def test_exact_solution_of_linear_networks():
    network, x, y = problem(both(LINEAR, 0.7, 0.2))
    relaxation = network.relaxation(x, y)
    exact = equilibrium(stated_energy, relaxation.upwards.start, network, x, y)
    _, gradients = learn(pccore.PredictiveCoding(ExactSolution()), network, x, y, 0.0)
    expected = jax.jit(jax.grad(stated_energy, argnums=1))(exact, network, x, y)
    assert_close(gradients, expected)


def test_rejects_invalid_weights_and_sizes():
    with pytest.raises(ValueError, match="backward_weight must be at least 0, got -1"):
        both(FORWARD, alpha_b=-1.0)
    with pytest.raises(ValueError, match="must not both be zero"):
        both(FORWARD, 0.0, 0.0)
    with pytest.raises(ValueError, match="forward and backward network must face each other"):
        pccore.BidirectionalConfig(FORWARD, FORWARD)


def test_learns_digits():
    forward = pccore.NetworkConfig(64, 10, width=16, depth=2)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(4))
    network = both(forward, alpha_b=0.01)
    assert accuracy_on_digits(network, rule, activity_lr=20.0) > 0.6
