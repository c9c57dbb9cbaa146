"""Equilibrium propagation against its energy and the gradient of the loss at equilibrium."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pc_problems import BATCH, accuracy_on_digits, assert_close, learn, problem, random_like

import pccore

NETWORK = pccore.NetworkConfig(
    input_size=4,
    output_size=2,
    width=3,
    depth=2,
    activation="tanh",
    residual=False,
    parameterisation="sp",
)
LINEAR = replace(NETWORK, activation="linear")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def small(network, scale=0.3):
    """Return weights small enough for E to be convex."""
    return jax.tree.map(lambda w: scale * w, network)


def stated_energy(hidden, output, weights, x, y, nudge):
    """Return thesis eq. C.21 with activations, layer by layer."""
    config = weights.config
    biases = weights.biases
    a = config.scalings
    matrices = [a.first * weights.first, *(a.hidden * weights.hidden), a.last * weights.last]
    shifts = [0.0] * 3 if biases is None else [*biases.hidden, biases.last]
    s = [x, *config.phi.phi(hidden), output]
    total = 0.5 * jnp.sum(hidden**2) + 0.5 * jnp.sum(output**2)
    for place, (W, b) in enumerate(zip(matrices, shifts, strict=True)):
        total -= jnp.sum(s[place + 1] * (s[place] @ W.T + b))
    return total / BATCH + nudge * jnp.mean(config.output_energy.per_sample(y, output))


@jax.jit
def said_at(relaxation, departure):
    return (
        relaxation.activities(departure),
        jnp.sum(relaxation.energies(departure)),
        relaxation.gradient(departure),
        relaxation.weight_gradients(departure).weights,
    )


@pytest.mark.parametrize("bias", [False, True])
def test_energy_and_gradients_match_definition(bias):
    config = replace(NETWORK, bias=bias, output="cross_entropy" if bias else "mse")
    network, x, y = problem(pccore.HopfieldConfig(config))
    relaxation = network.relaxation(x, y, 0.7)
    departure = jax.tree.map(random_like, relaxation.start)
    z, E, slopes, by_weights = said_at(relaxation, departure)
    stated = jax.jit(jax.value_and_grad(stated_energy, argnums=(0, 1, 2)))
    expected, (by_hidden, by_output, expected_by_weights) = stated(*z, network.weights, x, y, 0.7)
    assert_close(E, expected)
    assert_close(slopes, (BATCH * by_hidden, BATCH * by_output))
    assert_close(by_weights, expected_by_weights)


@pytest.mark.slow
@pytest.mark.parametrize("nudge", [0.0, 0.5])
def test_hessian_of_a_linear_network_and_its_equilibrium(nudge):
    network, x, y = problem(pccore.HopfieldConfig(LINEAR))
    H, N, K = LINEAR.depth, LINEAR.width, LINEAR.output_size
    weights = small(network.weights)

    def of_one(flat):
        hidden, output = flat[: H * N].reshape(H, N), flat[H * N :]
        rows = hidden[:, None], output[None], weights, x[1:2], y[1:2]
        return BATCH * stated_energy(*rows, 0.0) + nudge * 0.5 * jnp.sum((y[1] - output) ** 2)

    expected = jax.jit(jax.hessian(of_one))(jnp.zeros(H * N + K))
    network = replace(network, weights=weights)
    hessian = network.hessian(nudge)
    assert_close(hessian, expected)
    b = jnp.concatenate([weights.drive(x[1:2])[0], jnp.zeros((H - 1) * N), nudge * y[1]])
    z = jnp.linalg.solve(hessian, b)  # eq. C.24
    relaxation = network.relaxation(x, y, nudge)
    at = jnp.tile(z[: H * N].reshape(H, 1, N), (1, BATCH, 1)), jnp.tile(z[H * N :], (BATCH, 1))
    departure = jax.tree.map(jnp.subtract, at, relaxation.start)
    _, _, slopes, _ = said_at(relaxation, departure)
    assert_close((slopes[0][:, 1], slopes[1][1]), (jnp.zeros((H, N)), jnp.zeros(K)))


def test_hessian_can_be_indefinite():
    """A chain of two layers with w_2 > 1 (thesis C.2.5)."""
    chain = replace(LINEAR, width=1, depth=1, input_size=1, output_size=1)
    network, _, _ = problem(pccore.HopfieldConfig(chain))
    for w, sign in ((0.9, 1), (1.1, -1)):
        weights = replace(network.weights, last=jnp.array([[w]]))
        eigenvalues = jnp.linalg.eigvalsh(replace(network, weights=weights).hessian())
        assert_close(eigenvalues, jnp.array([1 - w, 1 + w]))
        assert np.sign(eigenvalues[0]) == sign


def loss_at_equilibrium(weights, z, x, y):
    """Return C at the free equilibrium z(weights) by one Newton step from the equilibrium z, whose
    derivative is that of the implicit function."""
    shapes = [part.shape for part in z]

    def flat(z, weights):
        hidden = z[: np.prod(shapes[0])].reshape(shapes[0])
        return stated_energy(hidden, z[hidden.size :].reshape(shapes[1]), weights, x, y, 0.0)

    z = jnp.concatenate([part.ravel() for part in z])
    H = jax.hessian(flat)(z, jax.lax.stop_gradient(weights))
    moved = z - jnp.linalg.solve(H, jax.grad(flat)(z, weights))
    output = moved[np.prod(shapes[0]) :].reshape(shapes[1])
    return jnp.mean(weights.config.output_energy.per_sample(y, output))


def test_gradient_converges_to_loss_gradient():
    config = replace(NETWORK, bias=True)
    network, x, y = problem(pccore.HopfieldConfig(config, steps=100))
    network = small(network)
    descent, beta = pccore.GradientDescent(100), 0.5 * BATCH
    free = network.relaxation(x, y, 0.0)
    settle = jax.jit(lambda free: free.activities(descent.infer(free, beta).departure))
    exact = jax.jit(jax.value_and_grad(loss_at_equilibrium))
    expected_loss, expected = exact(network.weights, settle(free), x, y)

    def deviation(nudge, symmetric):
        rule = pccore.EquilibriumPropagation(descent, nudge, symmetric)
        loss, gradients = learn(rule, network, x, y, beta)
        assert_close(loss, expected_loss)
        pairs = zip(jax.tree.leaves(gradients.weights), jax.tree.leaves(expected), strict=True)
        return np.array([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])

    one_sided = deviation(0.02, False), deviation(0.01, False)
    symmetric = deviation(0.02, True), deviation(0.01, True)
    np.testing.assert_allclose(one_sided[0] / one_sided[1], 2, rtol=0.05)  # O(nudge)
    np.testing.assert_allclose(symmetric[0] / symmetric[1], 4, rtol=0.05)  # O(nudge^2)
    assert symmetric[1].max() < 1e-2
    prediction = jax.jit(lambda network: network.predict(x))(network)
    assert_close(jnp.mean(config.output_energy.per_sample(y, prediction)), expected_loss)


def test_rejects_invalid_use():
    with pytest.raises(ValueError, match="residual must be false"):
        pccore.HopfieldConfig(replace(NETWORK, residual=True))
    with pytest.raises(ValueError, match="nudge must be positive, got 0"):
        pccore.EquilibriumPropagation(pccore.GradientDescent(1), nudge=0.0)
    descent = pccore.GradientDescent(1)
    network, x, y = problem(NETWORK)
    with pytest.raises(ValueError, match="trains the network of a HopfieldConfig, got Network"):
        learn(pccore.EquilibriumPropagation(descent), network, x, y, 1.0)
    network, x, y = problem(pccore.HopfieldConfig(NETWORK))
    with pytest.raises(ValueError, match="train it with EquilibriumPropagation"):
        learn(pccore.PredictiveCoding(descent), network, x, y, 1.0)
    with pytest.raises(ValueError, match="linear networks with mse output only, got tanh"):
        network.hessian()


@pytest.mark.slow
def test_learns_digits():
    network = pccore.NetworkConfig(
        64, 10, width=16, depth=1, activation="tanh", residual=False, parameterisation="sp"
    )
    rule = pccore.EquilibriumPropagation(pccore.GradientDescent(10))
    config = pccore.HopfieldConfig(network, steps=20)
    assert accuracy_on_digits(config, rule, activity_lr=0.4 * 64) > 0.6
