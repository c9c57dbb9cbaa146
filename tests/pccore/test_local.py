"""Closed-form local gradients and the wave against automatic differentiation of the energy."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import own_functions
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st
from pc_problems import energy as reference_energy

import pccore

CONFIG = pccore.NetworkConfig(input_size=7, output_size=3, width=6, depth=4)
BATCH = 5


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def problem(config, seed=0, batch=BATCH):
    """Return a network, inputs and one-hot targets, in float64."""
    keys = jax.random.split(jax.random.key(seed), 4)
    network = pccore.Network.create(config, keys[0])
    network = jax.tree.map(lambda w: w.astype(jnp.float64), network)
    if config.bias:  # zero by default; random here, to have an effect
        biases = jax.tree.map(lambda b: jax.random.normal(keys[3], b.shape), network.biases)
        network = replace(network, biases=biases)
    x = jax.random.normal(keys[1], (batch, config.input_size), jnp.float64)
    labels = jax.random.randint(keys[2], (batch,), 0, config.output_size)
    y = jax.nn.one_hot(labels, config.output_size, dtype=jnp.float64)
    return network, x, y


# An eager scan over layers compiles at every call.
forward = jax.jit(pccore.Network.forward)
predict = jax.jit(pccore.Network.predict)
energy_and_slopes = jax.jit(jax.value_and_grad(reference_energy, argnums=1))
weight_slopes = jax.jit(jax.grad(reference_energy))


@jax.jit
def closed_forms(network, x, y, departure):
    """Return activities, their gradient and the energy."""
    relaxation = network.relaxation(x, y)
    energy = jnp.sum(relaxation.energies(departure))
    return relaxation.activities(departure), relaxation.gradient(departure), energy


@partial(jax.jit, static_argnums=0)
def infer_and_learn(scheme, network, x, y, beta):
    """Return weight gradients and activities after inference."""
    relaxation = network.relaxation(x, y)
    departure = scheme.infer(relaxation, beta).departure
    return relaxation.weight_gradients(departure), relaxation.activities(departure)


@partial(jax.jit, static_argnums=0)
def learn(rule, network, x, y, beta):
    return rule.gradients(network, x, y, beta, jax.random.key(0))


def reference_descent(network, z, x, y, beta, steps):
    """Take T steps of gradient descent on the energy by automatic differentiation."""
    for _ in range(steps):
        z = z - beta * energy_and_slopes(network, z, x, y)[1]
    return z


def settings_of_layers():
    """Yield what changes the recursion from layer to layer, and so what training repeats.

    Premultipliers, skips and output energies enter it independently: every parameterisation has
    both skips and both energies, and one has all four pairs.
    """
    tanh = replace(CONFIG, activation="tanh")
    for parameterisation in pccore.PARAMETERISATIONS:
        named = replace(tanh, parameterisation=parameterisation)
        yield named
        yield replace(named, residual=False, output="cross_entropy")
    yield replace(tanh, residual=False)
    yield replace(tanh, output="cross_entropy")
    yield replace(tanh, bias=True, precisions=(2.0, 0.5, 1.0, 3.0, 0.25), activity_decay=0.3)
    yield replace(tanh, skip=3, depth=8, bias=True, precisions=(0.5,) * 8 + (2.0,))
    yield replace(tanh, skip=2, activity_decay=0.1, output="cross_entropy", bias=True)
    yield from one_by_one()


def one_by_one():
    """Yield settings alone that others have together."""
    tanh = replace(CONFIG, activation="tanh")
    yield replace(tanh, bias=True)
    yield replace(tanh, precisions=(2.0, 0.5, 1.0, 3.0, 0.25))
    yield replace(tanh, activity_decay=0.3)
    yield replace(tanh, skip=2)
    yield replace(tanh, skip=6)


def variants():
    """Yield these and a kinked, a saturating and an unbounded activation without symmetry.

    test_activations.py compares the derivatives of all of them.
    """
    for activation in ("relu", "hard_tanh", "gelu"):
        yield replace(CONFIG, activation=activation)
    yield replace(CONFIG, activation=own_functions.gelu)
    yield replace(CONFIG, activation=own_functions.hard_tanh, output="cross_entropy")
    yield from settings_of_layers()


def name(config):
    skip = f"{config.skip}-skip" if config.residual else "plain"
    extras = [
        "bias" * config.bias,
        "precisions" * bool(config.precisions),
        "decay" * bool(config.activity_decay),
    ]
    parts = [config.parameterisation, config.activation, skip, config.output, *filter(None, extras)]
    return "-".join(parts)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-13)


def few(configs, also=()):
    """Leave to `make check-all` what differs from others in premultipliers or in one setting."""
    later = [*one_by_one(), *(replace(CONFIG, activation=name) for name in ("hard_tanh", "gelu"))]

    def marks(config):
        seldom = config.parameterisation not in ("mupc", "sp_gaussian")
        return [pytest.mark.slow] if seldom or config in (*later, *also) else []

    return [pytest.param(config, marks=marks(config)) for config in configs]


@pytest.mark.parametrize("config", few(variants()), ids=name)
class TestAgainstAutodiff:
    def test_forward_pass_equals_layers(self, config):
        network, x, _ = problem(config)
        z = forward(network, x)
        expected, skip = x, config.skip
        for index, layer in enumerate(network.layers()[:-1]):
            expected = layer(expected)
            if skip > 1 and index >= skip:
                expected = expected + z[index - skip]
            assert_close(z[index], expected)
        assert_close(predict(network, x), network.layers()[-1](expected))

    def test_activity_gradients_at_random_activities(self, config):
        network, x, y = problem(config)
        z = forward(network, x)
        departure = 0.3 * jax.random.normal(jax.random.key(9), z.shape, z.dtype)
        z = z + departure
        energy, slopes = energy_and_slopes(network, z, x, y)
        found, gradient, total = closed_forms(network, x, y, departure)
        assert_close(found, z)
        assert_close(gradient, BATCH * slopes)
        assert_close(total, energy)

    def test_inference_and_weight_gradients(self, config):
        network, x, y = problem(config)
        beta = jnp.asarray(0.5)
        z, done = forward(network, x), 0
        before, after = 2, 5  # before and after the wave has reached the first layer
        for steps in (before, after) if config == CONFIG else (after,):
            actual, found = infer_and_learn(pccore.GradientDescent(steps), network, x, y, beta)
            z, done = reference_descent(network, z, x, y, beta, steps - done), steps
            assert_close(found, z)
            slopes = weight_slopes(network, z, x, y)
            jax.tree.map(assert_close, actual, slopes)


def test_dual_step_follows_the_gradient_of_the_lagrangian():
    """L = F + sum p_l lambda_l r_l / B, with the residuals r by the layers themselves."""
    config = replace(CONFIG, activation="tanh", precisions=(2.0, 0.5, 1.0, 3.0, 0.25))
    network, x, y = problem(config)
    relaxation = network.relaxation(x, y)
    shape = relaxation.start.shape
    draws = 0.3 * np.random.default_rng(0).normal(size=(3, *shape))
    departure, before, other = map(jnp.asarray, draws)
    p = np.array(config.precisions[:-1])[:, None, None]

    def residuals(z):
        below = [x, *z[:-1]]
        return z - jnp.stack([f(at) for f, at in zip(network.layers(), below, strict=False)])

    def lagrangian(z, multipliers):
        coupling = jnp.sum(p * multipliers * residuals(z)) / BATCH
        return reference_energy(network, z, x, y) + coupling

    @jax.jit
    def both(relaxation):
        z = relaxation.start + departure
        after = before + residuals(z)
        return relaxation.dual_step(departure, before), (after, jax.grad(lagrangian)(z, after))

    (multipliers, slopes), (after, expected) = both(relaxation)
    assert_close(multipliers, after)
    assert_close(slopes, BATCH * expected)
    assert_close(relaxation.inner(before, other), np.einsum("lbn,lbn->b", before, other))
    factors = jnp.arange(1.0, BATCH + 1)
    assert_close(relaxation.scaled(before, factors), np.einsum("lbn,b->lbn", before, factors))


SCALED = [config for config in settings_of_layers() if config.parameterisation == "mupc"]
PAIRS = [
    replace(CONFIG, activation="tanh", **change)
    for change in ({"residual": False}, {"output": "cross_entropy"})
]
"""Pairs of a skip and an energy; the networks with neither and with both are trained often."""


@pytest.mark.parametrize("config", few(SCALED, PAIRS), ids=name)
class TestTraining:
    def test_weights_after_several_training_steps(self, config):
        network, x, y = problem(config)
        reference, rule = network, pccore.PredictiveCoding(pccore.GradientDescent(config.depth))
        adam = pccore.Adam().transformation()
        ours, theirs = adam.init(network), adam.init(network)
        for _ in range(3):
            loss, gradients = learn(rule, network, x, y, jnp.asarray(0.5))
            step, ours = adam.update(gradients, ours)
            z = reference_descent(reference, forward(reference, x), x, y, 0.5, config.depth)
            slopes = weight_slopes(reference, z, x, y)
            expected_step, theirs = adam.update(slopes, theirs)
            prediction = predict(reference, x)
            energies = config.output_energy.per_sample(y, prediction)
            assert_close(loss, jnp.mean(energies))
            network = jax.tree.map(lambda w, d: w - 0.01 * d, network, step)
            reference = jax.tree.map(lambda w, d: w - 0.01 * d, reference, expected_step)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), network, reference
        )


@examples(8)
@given(
    depth=st.integers(1, 20),
    width=st.integers(1, 5),
    steps=st.integers(1, 25),
    skip=st.integers(0, 4),
    batch=st.integers(1, 4),
)
def test_waves_equal_full_descent_for_any_shape(depth, width, steps, skip, batch):
    config = replace(
        CONFIG, depth=depth, width=width, residual=skip > 0, skip=max(skip, 1), activation="tanh"
    )
    with jax.enable_x64(True):
        network, x, y = problem(config, seed=depth, batch=batch)
        scheme = pccore.GradientDescent(steps)
        _, z = infer_and_learn(scheme, network, x, y, jnp.asarray(0.4))
        assert_close(z, reference_descent(network, forward(network, x), x, y, 0.4, steps))


def test_unreached_layers_have_zero_gradients():
    config = replace(CONFIG, depth=10, activation="tanh")
    network, x, y = problem(config)
    gradients, _ = infer_and_learn(pccore.GradientDescent(3), network, x, y, jnp.asarray(1.0))
    touched = np.abs(np.asarray(gradients.hidden)).max(axis=(1, 2)) > 0
    # W_l has a gradient when z_l moved; W_L always. Hidden index i holds W_{i+2}.
    assert list(touched) == [False] * 6 + [True] * 3
    assert not np.any(gradients.first)


def test_backpropagation_equals_loss_gradient():
    network, x, y = problem(CONFIG)

    def loss(network):
        z = x
        for layer in network.layers():
            z = layer(z)
        return 0.5 * jnp.mean(jnp.sum((y - z) ** 2, axis=-1))

    found = learn(pccore.Backpropagation(), network, x, y, jnp.asarray(0.0))
    jax.tree.map(assert_close, found, jax.jit(jax.value_and_grad(loss))(network))


@pytest.mark.slow
def test_float32_resolves_gradients_below_rounding_of_plain_descent():
    """Plain descent recomputes errors that are zero, with rounding noise of 1e-7. In the lower half
    of a deep network, exact errors are far smaller."""
    config = replace(CONFIG, depth=20, width=8, activation="tanh")
    exact_problem, scheme = problem(config), pccore.GradientDescent(20)

    def lower_half(gradients):
        return np.asarray(gradients.hidden[:9], np.float64)

    exact = lower_half(infer_and_learn(scheme, *exact_problem, jnp.asarray(0.3))[0])
    with jax.enable_x64(False):
        network, x, y = jax.tree.map(lambda w: w.astype(jnp.float32), exact_problem)
        ours = lower_half(infer_and_learn(scheme, network, x, y, jnp.float32(0.3))[0])
        z = reference_descent(network, forward(network, x), x, y, jnp.float32(0.3), 20)
        full = lower_half(weight_slopes(network, z, x, y))
    assert np.linalg.norm(ours - exact) < 1e-3 * np.linalg.norm(full - exact)
    assert np.linalg.norm(ours - exact) < 1e-4 * np.linalg.norm(exact)
