"""Langevin inference against the Gaussian that it samples in linear networks, in closed form."""

from functools import partial

import inference_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pccore
from pccore.inference import GradientDescent, Langevin
from pccore.theory import equilibrated_energy, rescaling

LINEAR = pccore.NetworkConfig(3, 2, width=2, depth=2, activation="linear")
SAMPLES, TEMPERATURE = 4_000, 0.3
DEVIATIONS = 5  # from the mean, of a statistic whose standard deviation is known


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def one_sample():
    """Return a linear network and one sample, with its Hessian and its equilibrium."""
    network, x, y = problems.problem(LINEAR, batch=1)
    hessian, equilibrium = problems.dense_system(network, x, y)
    return network, x, y, hessian, equilibrium.ravel()


@partial(jax.jit, static_argnums=0)
def sampled(scheme, network, x, y, rate, key):
    """Return the activities of many copies of a sample, and the mean weight gradient."""
    many = jnp.repeat(x, SAMPLES, 0), jnp.repeat(y, SAMPLES, 0)
    relaxation = network.relaxation(*many)
    inferred = scheme.drawing(key).infer(relaxation, rate * SAMPLES)
    z = relaxation.activities(inferred.departure)
    return z.transpose(1, 0, 2).reshape(SAMPLES, -1), relaxation.weight_gradients(
        inferred.departure
    )


@pytest.mark.parametrize(("steps", "share"), [(1, 1.5), (20, 1.5), (50, 0.1)])
def test_samples_have_the_gaussian_of_the_docstring(one_sample, steps, share):
    """After few steps and many, with steps near the stable limit and small ones."""
    network, x, y, hessian, equilibrium = one_sample
    rate = share / np.linalg.eigvalsh(hessian).max()
    z, _ = sampled(Langevin(steps, TEMPERATURE), network, x, y, rate, jax.random.key(steps))
    identity = np.eye(len(hessian))
    decay = np.linalg.matrix_power(identity - rate * hessian, steps)
    limit = TEMPERATURE * np.linalg.inv(hessian @ (identity - rate / 2 * hessian))
    covariance = limit - decay @ limit @ decay
    mean = equilibrium + decay @ (
        np.asarray(problems.forward_pass(network, x)).ravel() - equilibrium
    )
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(z) - mean).T)
    assert np.abs(whitened.mean(1)).max() < DEVIATIONS / SAMPLES**0.5
    error = whitened @ whitened.T / SAMPLES - identity
    assert np.abs(error).max() < DEVIATIONS * (2 / SAMPLES) ** 0.5


@pytest.mark.slow
def test_weight_gradient_averages_to_that_of_the_free_energy(one_sample):
    """The gradient is quadratic in z, so that its mean over a Gaussian is that over sigma points.

    In the limit of small steps it is that of F* + (tau / 2) log det S, which is -tau log of the
    likelihood of y given x at tau = 1, since det H_z = det S.
    """
    network, x, y, hessian, equilibrium = one_sample
    n = len(hessian)

    def mean_slopes(covariance):
        spread = np.linalg.cholesky(covariance).T * n**0.5
        points = equilibrium + np.concatenate([spread, -spread])
        z = points.reshape(2 * n, LINEAR.depth, LINEAR.width).transpose(1, 0, 2)
        many = jnp.repeat(x, 2 * n, 0), jnp.repeat(y, 2 * n, 0)
        return jax.tree.leaves(problems.weight_slopes(network, jnp.asarray(z), *many))

    def free_energy(network):
        _, log_det = jnp.linalg.slogdet(rescaling(network))
        return equilibrated_energy(network, x, y) + 0.5 * TEMPERATURE * log_det

    limit = mean_slopes(TEMPERATURE * np.linalg.inv(hessian))
    for found, expected in zip(limit, jax.tree.leaves(jax.grad(free_energy)(network)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)

    rate = 0.5 / np.linalg.eigvalsh(hessian).max()
    inverse = np.linalg.inv(hessian @ (np.eye(n) - rate / 2 * hessian))
    exact = mean_slopes(TEMPERATURE * inverse)
    _, slopes = sampled(Langevin(50, TEMPERATURE), network, x, y, rate, jax.random.key(0))
    scale = max(float(jnp.abs(slope).max()) for slope in exact)
    for found, expected in zip(jax.tree.leaves(slopes), exact, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.06 * scale)


def test_noiseless_is_gradient_descent_to_the_last_bit():
    network, x, y = problems.problem(problems.TANH)
    relaxation, key = network.relaxation(x, y), jax.random.key(0)
    start = 0.1 * jnp.ones_like(relaxation.start)
    for departure, observe in ((None, None), (start, None), (None, lambda d: jnp.sum(d**2))):
        cold, usual = (
            scheme.infer(relaxation, 0.4, departure, observe)
            for scheme in (Langevin(4, 0.0).drawing(key), GradientDescent(4).drawing(key))
        )
        assert jax.tree.all(jax.tree.map(np.array_equal, cold, usual))


def test_noise_differs_with_the_key_the_sample_the_step_and_the_layer():
    network, x, y = problems.problem(problems.TANH)
    x, y = jnp.repeat(x[:1], 2, 0), jnp.repeat(y[:1], 2, 0)
    for relaxation in (network.relaxation(x, y), problems.TupleRelaxation.of(network, x, y)):

        @jax.jit
        def noise(number, relaxation=relaxation):
            scheme = Langevin(2, 1.0).drawing(jax.random.key(number))
            return jnp.stack(
                scheme.infer(relaxation, 1e-9, None, lambda d: jnp.stack([*d])).observed
            )

        first, again, other = (np.asarray(noise(number)) for number in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        steps = np.diff(np.concatenate([first, other]), axis=0)
        parts = [steps[step, layer, sample] for step in (0, 1, 3, 4) for layer in range(3)
                 for sample in range(2)]  # fmt: skip
        assert len({tuple(np.round(part / 1e-5, 3)) for part in parts}) == len(parts)


def test_lanes_match_single_runs():
    network, x, y = problems.problem(problems.TANH)

    def learn(beta, seed):
        rule = pccore.PredictiveCoding(Langevin(4, 0.1))
        return rule.gradients(network, x, y, beta, jax.random.key(seed))[1]

    betas, seeds = jnp.array([0.1, 0.4]), jnp.arange(2)
    together, alone = jax.jit(jax.vmap(learn))(betas, seeds), jax.jit(learn)
    for lane in range(2):
        one = jax.tree.map(lambda leaf, lane=lane: leaf[lane], together)
        problems.assert_close(one.hidden, alone(betas[lane], seeds[lane]).hidden, rtol=1e-9)


def test_trace_and_completion_take_a_key():
    network, x, y = problems.problem(problems.TANH)
    scheme = Langevin(3, 0.5)
    first, again, other = (
        pccore.trace(scheme, network, x, y, 0.4, key=jax.random.key(n)).energies for n in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.any(first[1:] == other[1:])
    drawn = [
        pccore.complete(network, {-1: y}, scheme, 0.4, key=jax.random.key(n)).activities[0]
        for n in (0, 1)
    ]
    assert not np.any(drawn[0] == drawn[1])


def test_refusals():
    network, x, y = problems.problem(problems.TANH)
    with pytest.raises(ValueError, match=r"langevin draws noise: infer by scheme.drawing\(key\)"):
        Langevin(3).infer(network.relaxation(x, y), 0.4)
    with pytest.raises(ValueError, match="temperature must be at least 0, got -1"):
        Langevin(3, -1.0)
    with pytest.raises(ValueError, match="two equilibria, which noise does not reach"):
        pccore.EquilibriumPropagation(Langevin(3))
    # the shards of a batch would draw other noise than the whole
    rule = pccore.PredictiveCoding(Langevin(3))
    with pytest.raises(ValueError, match="batch_shards 2 needs"):
        pccore.TrainingConfig(LINEAR, rule, batch_shards=2)
