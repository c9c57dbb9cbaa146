"""Hybrid predictive coding against automatic differentiation of its two losses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pc_problems import (
    BATCH,
    accuracy_on_digits,
    assert_close,
    energy,
    infer,
    learn,
    problem,
    random_like,
)

import pccore
from pccore.inference import ErrorBased, ExactSolution

AMORTISER = pccore.NetworkConfig(
    input_size=4,
    output_size=3,
    width=5,
    depth=3,
    activation="tanh",
    output="cross_entropy",
    bias=True,
)
LINEAR = replace(AMORTISER, activation="linear", output="mse")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def hybrid(amortiser):
    return pccore.HybridConfig(amortiser, pccore.mirror(amortiser))


def amortiser_loss(amortiser, target, x, y):
    """Return the loss of predicting each layer of the target from the fixed guess below it."""
    u, total = x, 0.0
    for layer, z in zip(amortiser.layers()[:-1], target, strict=True):
        prediction = layer(u)
        total += 0.5 * jnp.sum((z - prediction) ** 2) / BATCH
        u = jax.lax.stop_gradient(prediction)
    prediction = amortiser.layers()[-1](u)
    return total + jnp.mean(amortiser.config.output_energy.per_sample(y, prediction))


@jax.jit
def expected_at(network, z, x, y):
    """Return F, its gradients by activities and generator, and the gradient of the amortiser."""
    F, (by_generator, by_z) = jax.value_and_grad(energy, argnums=(0, 1))(network.generator, z, y, x)
    by_amortiser = jax.grad(amortiser_loss)(network.amortiser, z[::-1], x, y)
    return F, by_z, by_generator, by_amortiser


@jax.jit
def said_at(network, x, y, departure):
    relaxation = network.relaxation(x, y)
    return (
        relaxation.activities(departure),
        jnp.sum(relaxation.energies(departure)),
        relaxation.gradient(departure),
        relaxation.weight_gradients(departure),
        relaxation.loss(),
    )


def test_energy_and_both_gradients_match_definition():
    network, x, y = problem(hybrid(AMORTISER))
    guess = network.amortiser.forward(x)
    departure = random_like(guess)
    z, F, slopes, gradients, loss = said_at(network, x, y, departure)
    assert_close(z, guess[::-1] + departure)
    expected_F, by_z, by_generator, by_amortiser = expected_at(network, z, x, y)
    assert_close(F, expected_F)
    assert_close(slopes, BATCH * by_z)
    assert_close(gradients.generator, by_generator)
    assert_close(gradients.amortiser, by_amortiser)
    prediction = network.predict(x)
    assert_close(loss, jnp.mean(AMORTISER.output_energy.per_sample(y, prediction)))


def test_zero_amortiser_starts_at_zero():
    network, x, y = problem(hybrid(AMORTISER))
    network = replace(network, amortiser=jax.tree.map(jnp.zeros_like, network.amortiser))
    relaxation = network.relaxation(x, y)
    z = relaxation.activities(relaxation.origin())
    assert z.shape == (3, BATCH, 5)
    assert not np.any(z)


def test_amortiser_with_exact_guess_learns_last_layer_only():
    network, x, y = problem(hybrid(AMORTISER))
    *_, gradients, _ = said_at(network, x, y, jnp.zeros((3, BATCH, 5)))
    assert not np.any(gradients.amortiser.first)
    assert not np.any(gradients.amortiser.hidden)
    assert np.any(gradients.amortiser.last)


@pytest.mark.parametrize("scheme", [ExactSolution(), ErrorBased(400)], ids=["exact", "errors"])
def test_generator_gradients_at_equilibrium_do_not_depend_on_amortiser(scheme):
    network, x, y = problem(hybrid(LINEAR))
    rule = pccore.PredictiveCoding(scheme)
    _, gradients = learn(rule, network, x, y, 0.4 * BATCH)
    alone = pccore.PredictiveCoding(ExactSolution())
    _, expected = learn(alone, network.generator, y, x, 0.0)
    assert_close(gradients.generator, expected, rtol=1e-8, atol=1e-10)


def test_inference_lowers_generator_energy():
    network, x, y = problem(hybrid(AMORTISER))
    relaxation = network.relaxation(x, y)
    energies = jax.jit(lambda relaxation, d: jnp.sum(relaxation.energies(d)))
    before = energies(relaxation, relaxation.origin())
    z = infer(pccore.GradientDescent(20), relaxation, 0.3 * BATCH)
    assert float(energies(relaxation, z)) < 0.5 * float(before)


def test_rejects_networks_with_other_sizes():
    with pytest.raises(ValueError, match=r"amortiser and generator .* \(4, 5, 3, 3\).*\(4, 6,"):
        pccore.HybridConfig(AMORTISER, replace(pccore.mirror(AMORTISER), width=6))
    with pytest.raises(ValueError, match="no precisions and no activity decay"):
        hybrid(replace(AMORTISER, activity_decay=0.1))


def test_learns_digits():
    amortiser = pccore.NetworkConfig(64, 10, 16, 2, activation="tanh", parameterisation="sp")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(4))
    assert accuracy_on_digits(hybrid(amortiser), rule, activity_lr=0.6) > 0.7
