"""Helpers of the tests of learning: tiny problems in float64 and operations on them.

All operations are compiled; op-by-op execution takes far longer.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import pccore
from pccore.networks.stack import Stack

BATCH = 5


def problem(config):
    """Return a network with random weights and biases, inputs and one-hot targets.

    The first input is zero, where activations have their kinks.
    """
    draw = np.random.default_rng(1)
    network = jax.tree.map(
        partial(_drawn, draw),
        jax.eval_shape(config.build, jax.random.key(0)),
        is_leaf=lambda node: isinstance(node, Stack),
    )
    x = draw.normal(size=(BATCH, config.input_size))
    x[0] = 0
    labels = draw.integers(config.output_size, size=BATCH)
    return network, jnp.asarray(x), jnp.asarray(np.eye(config.output_size)[labels])


def _drawn(draw, network):
    """Draw weights of unit variance, or 1 / fan_in if a_l = 1, in NumPy, which compiles nothing."""
    unit = network.config.parameterisation in ("mupc", "ntp")

    def fill(array):
        scale = 1 if unit else array.shape[-1] ** -0.5
        return jnp.asarray(scale * draw.normal(size=array.shape))

    return jax.tree.map(fill, network)


def energy(network, z, x, y):
    """Return the reference energy of a stacked network."""
    config = network.config
    return pccore.energy(
        network.layers(),
        list(z),
        x,
        y,
        config.output_energy,
        precisions=config.precisions,
        activity_decay=config.activity_decay,
        skip=config.skip if config.skip > 1 else None,
    )


@partial(jax.jit, static_argnums=0)
def equilibrium(of_activities, z, *given):
    """Return the minimum over z of a quadratic energy, from its dense Hessian."""

    def flat(vector):
        return of_activities(vector.reshape(z.shape), *given)

    zero = jnp.zeros(z.size)
    return -jnp.linalg.solve(jax.hessian(flat)(zero), jax.grad(flat)(zero)).reshape(z.shape)


@partial(jax.jit, static_argnums=0)
def learn(rule, network, x, y, beta):
    """Return the loss and the weight gradients of a batch."""
    return rule.gradients(network, x, y, beta, jax.random.key(0))


@partial(jax.jit, static_argnums=0)
def infer(scheme, relaxation, beta, departure=None):
    """Return the inferred departure."""
    return scheme.infer(relaxation, beta, departure).departure


def random_like(array, size=0.3):
    return jnp.asarray(size * np.random.default_rng(2).normal(size=array.shape))


def assert_close(actual, expected, rtol=1e-10, atol=1e-12):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), actual, expected
    )


def accuracy_on_digits(network, rule, *, weight_lr=0.01, activity_lr=None, steps=150, **options):
    """Return the test accuracy after a few updates; chance is 0.1."""
    data = pccore.data.load("digits")
    config = pccore.TrainingConfig(network, rule, steps=steps, eval_every=steps, **options)
    with jax.enable_x64(False):
        outcome = pccore.fit(config, data, pccore.Lane(weight_lr, activity_lr, seed=0))
    assert outcome.status is pccore.Status.TRAINED
    return outcome.test_accuracy
