"""Error-based inference: its energy, and inference on activities."""

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
    equilibrium,
    infer,
    learn,
    problem,
    random_like,
)

import pccore
from pccore.inference import ErrorBased, ErrorRelaxation, ToConvergence

CONFIG = pccore.NetworkConfig(input_size=4, output_size=3, width=5, depth=3, activation="tanh")
LINEAR = replace(CONFIG, activation="linear")
VARIANTS = {
    "mupc": CONFIG,
    "sp-plain-relu": replace(CONFIG, parameterisation="sp", residual=False, activation="relu"),
    "all-else": replace(
        CONFIG,
        depth=5,
        skip=3,
        activity_decay=0.3,
        output="cross_entropy",
        precisions=(2.0, 0.5, 3.0, 1.5, 0.8, 0.25),
        bias=True,
    ),
}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def activities(network, errors, x):
    """Return z_l = f_l(z_{l-1}) + e_l, layer by layer."""
    below, skip = [x], network.config.skip
    for place, (layer, e) in enumerate(zip(network.layers()[:-1], errors, strict=True)):
        z = layer(below[-1]) + e
        below.append(z + below[place + 1 - skip] if 1 < skip <= place else z)
    return jnp.stack(below[1:])


def energy_of_errors(errors, network, x, y):
    z = activities(network, errors, x)
    return energy(network, z, x, y), z


def energy_of_activities(z, network, x, y):
    return energy(network, z, x, y)


slopes_by_errors = jax.jit(jax.grad(energy_of_errors, has_aux=True))


@jax.jit
def sweeps(relaxation, errors):
    """Return the results of a relaxation at these errors."""
    departure = relaxation.departure_of(errors)
    return (
        relaxation.error_gradient(errors),
        relaxation.activities(departure),
        relaxation.errors_of(departure),
    )


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_sweeps_match_the_energy_and_its_derivatives(config):
    network, x, y = problem(config)
    relaxation = network.relaxation(x, y)
    some = random_like(relaxation.start)
    for errors in (some, jnp.zeros_like(some)):
        gradient, z, inverted = sweeps(relaxation, errors)
        expected, expected_z = slopes_by_errors(errors, network, x, y)
        assert_close(gradient, BATCH * expected)
        assert_close(z, expected_z)
        assert_close(inverted, errors)


@jax.jit
def largest_eigenvalue(relaxation):
    """Return that of S = I + J J' (thesis eq. 4.5), J = d prediction / d errors."""

    def prediction(errors):
        departure = relaxation.departure_of(errors)
        return relaxation.network.readout(relaxation.activities(departure)[-1])[0]

    J = jax.jacobian(prediction)(jnp.zeros_like(relaxation.start))
    J = J.reshape(len(J), -1)
    return jnp.linalg.eigvalsh(jnp.eye(len(J)) + J @ J.T)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("parameterisation", ["mupc", "sp"])
def test_errors_and_activities_share_equilibrium_and_gradients(parameterisation):
    network, x, y = problem(replace(LINEAR, parameterisation=parameterisation))
    relaxation = network.relaxation(x, y)
    exact = equilibrium(energy_of_activities, relaxation.start, network, x, y)
    rate = BATCH / largest_eigenvalue(relaxation)
    _, gradients = learn(pccore.PredictiveCoding(ErrorBased(300)), network, x, y, rate)
    expected = jax.jit(jax.grad(energy))(network, exact, x, y)
    assert_close(gradients, expected, rtol=1e-8, atol=1e-10)


def test_nonlinear_networks_share_the_equilibrium():
    network, x, y = problem(CONFIG)
    relaxation = network.relaxation(x, y)
    departure = infer(ErrorBased(300), relaxation, 0.5 * BATCH)
    slopes = jax.jit(lambda relaxation, d: relaxation.gradient(d))(relaxation, departure)
    assert float(jnp.abs(departure).max()) > 1e-2
    assert float(jnp.abs(slopes).max()) < 1e-10


def test_descent_converges_below_two_over_the_largest_eigenvalue():
    network, x, y = problem(replace(LINEAR, parameterisation="ntp"))
    relaxation = network.relaxation(x, y)
    exact = equilibrium(energy_of_activities, relaxation.start, network, x, y)
    limit = 2 * BATCH / largest_eigenvalue(relaxation)
    below, above = (
        relaxation.start + infer(ErrorBased(300), relaxation, factor * limit)
        for factor in (0.95, 1.05)
    )
    assert_close(below, exact, rtol=1e-6, atol=1e-8)
    assert float(jnp.abs(above - exact).max()) > 1e3


def test_one_step_gives_errors_of_backpropagation():
    network, x, y = problem(VARIANTS["mupc"])
    relaxation, beta = network.relaxation(x, y), 0.1
    departure = infer(ErrorBased(1), relaxation, beta)
    errors = jax.jit(lambda relaxation, d: relaxation.errors_of(d))(relaxation, departure)
    # without errors the energy is the loss
    backpropagated, _ = slopes_by_errors(jnp.zeros_like(errors), network, x, y)
    assert_close(errors, -beta * backpropagated)
    assert np.abs(errors).max(axis=(1, 2)).min() > 0


def test_given_start_and_observed_steps():
    network, x, y = problem(CONFIG)
    relaxation = network.relaxation(x, y)
    given = random_like(relaxation.start)

    @jax.jit
    def observed(relaxation):
        beta = jnp.asarray(0.5)
        one = ErrorBased(1).infer(relaxation, beta, given).departure
        two = ErrorBased(1).infer(relaxation, beta, one).departure
        return ErrorBased(2).infer(relaxation, beta, given, lambda d: d).observed, (one, two)

    seen, (one, two) = observed(relaxation)
    assert_close(seen, jnp.stack([given, one, two]))


def test_program_size_does_not_grow_with_depth():
    def size(depth):
        network, x, y = problem(replace(CONFIG, depth=depth))

        def gradient(network, x, y):
            relaxation = network.relaxation(x, y)
            return relaxation.error_gradient(relaxation.start)

        return len(str(jax.make_jaxpr(gradient)(network, x, y)).split("\n"))

    assert size(4) == size(40)


def test_other_schemes_descend_in_errors():
    network, x, y = problem(LINEAR)
    relaxation = network.relaxation(x, y)

    @jax.jit
    def converge(relaxation):
        in_errors = ErrorRelaxation(relaxation)
        inferred = ToConvergence(500, 1e-10).infer(in_errors, jnp.asarray(2.0))
        e = inferred.departure
        return inferred.converged, in_errors.activities(e), jnp.sum(in_errors.energies(e))

    exact = equilibrium(energy_of_activities, relaxation.start, network, x, y)
    converged, z, total = converge(relaxation)
    assert bool(converged)
    assert_close(z, exact, rtol=1e-8, atol=1e-8)
    assert_close(total, jax.jit(energy)(network, exact, x, y))


def test_rejects_networks_without_sweeps():
    config = pccore.BidirectionalConfig(CONFIG, pccore.mirror(CONFIG))
    network, x, y = problem(config)
    with pytest.raises(ValueError, match="error_gradient, got BidirectionalRelaxation"):
        infer(ErrorBased(1), network.relaxation(x, y), 1.0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        ErrorBased(0)


def test_high_hidden_precision_recovers_backpropagation():
    """Thesis figure A.5: large hidden precisions keep the activities at the forward pass.

    The gradient is then that of the loss, up to O(1 / ratio).
    """

    def deviation(ratio):
        config = replace(CONFIG, precisions=(ratio,) * CONFIG.depth + (1.0,))
        network, x, y = problem(config)
        rule = pccore.PredictiveCoding(ErrorBased(50))
        _, gradients = learn(rule, network, x, y, BATCH / ratio)
        plain = replace(network, config=CONFIG)
        _, expected = learn(pccore.Backpropagation(), plain, x, y, 0.0)
        pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(expected), strict=True)
        return np.array([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])

    coarse, fine = deviation(1e2), deviation(1e4)
    assert coarse.max() < 0.1
    np.testing.assert_allclose(coarse / fine, 100, rtol=0.05)


@pytest.mark.slow
def test_trains_digits():
    network = pccore.NetworkConfig(64, 10, width=16, depth=4)
    rule = pccore.PredictiveCoding(ErrorBased(4))
    assert accuracy_on_digits(network, rule, activity_lr=20.0) > 0.6
