"""Helpers of the tests of inference: small problems in float64, oracles by differentiation."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pccore
from pccore.relaxation import gradient_steps

BATCH = 5
LINEAR = pccore.NetworkConfig(7, 3, width=4, depth=3, activation="linear")
TANH = replace(LINEAR, activation="tanh")


def problem(config, seed=0, batch=BATCH):
    """Return a network, an input and a target, in JAX's default precision."""
    keys = jax.random.split(jax.random.key(seed), 4)
    network = jax.tree.map(lambda w: w.astype(float), pccore.Network.create(config, keys[0]))
    if config.bias:  # initial biases are zero; random ones make a difference
        biases = jax.tree.map(lambda b: jax.random.normal(keys[3], b.shape), network.biases)
        network = replace(network, biases=biases)
    x = jax.random.normal(keys[1], (batch, config.input_size))
    y = jax.random.normal(keys[2], (batch, config.output_size))
    return network, x, y


def settings(config):
    """Return the arguments of `pccore.energy` other than layers and data."""
    return {
        "output": config.output_energy,
        "precisions": config.precisions,
        "activity_decay": config.activity_decay,
        "skip": config.skip if config.skip > 1 else None,
    }


def energy(network, z, x, y):
    """Return F from the reference."""
    return pccore.energy(network.layers(), list(z), x, y, **settings(network.config))


@jax.jit
def layer_energies(network, z, x, y):
    return pccore.layer_energies(network.layers(), list(z), x, y, **settings(network.config))


# An eager scan over layers compiles at every call.
forward_pass = jax.jit(lambda network, x: network.forward(x))
predict = jax.jit(lambda network, x: network.predict(x))
activity_slopes = jax.jit(jax.grad(energy, argnums=1))
weight_slopes = jax.jit(jax.grad(energy))


class TupleRelaxation(eqx.Module):
    """A `Relaxation` by automatic differentiation, with one array a layer."""

    network: pccore.Network
    start: tuple
    x: jax.Array
    y: jax.Array

    @classmethod
    def of(cls, network, x, y):
        return cls(network, tuple(network.forward(x)), x, y)

    @property
    def batch_size(self):
        return len(self.x)

    def origin(self):
        return jax.tree.map(jnp.zeros_like, self.start)

    def loss(self):
        prediction = self.network.predict(self.x)
        return jnp.mean(self.network.config.output_energy.per_sample(self.y, prediction))

    def weight_gradients(self, departure):
        return jax.grad(energy)(self.network, self.activities(departure), self.x, self.y)

    def gradient(self, departure):
        z = self.activities(departure)
        slopes = jax.grad(energy, argnums=1)(self.network, z, self.x, self.y)
        return jax.tree.map(lambda g: self.batch_size * g, slopes)

    def energies(self, departure):
        return energy(self.network, self.activities(departure), self.x, self.y)[None]

    def activities(self, departure):
        return jax.tree.map(jnp.add, self.start, departure)

    def descent(self, rate, steps):
        return gradient_steps(self, self.origin(), rate, steps)


@partial(jax.jit, static_argnums=0)
def infer(scheme, network, x, y, beta):
    """Return the inference and its activities."""
    relaxation = network.relaxation(x, y)
    inference = scheme.infer(relaxation, beta)
    return inference, relaxation.activities(inference.departure)


def dense_system(network, x, y):
    """Return the Hessian of one sample's energy and the equilibrium of the batch.

    The energy of a linear network is quadratic, so that columns of the Hessian are differences of
    gradients. One sample of a batch gives each column.
    """
    z = np.asarray(forward_pass(network, x))
    H, B, N = z.shape
    basis = np.eye(H * N).reshape(H * N, H, N).transpose(1, 0, 2)
    zeros = np.zeros_like(basis[:, :1])
    count = B + 1 + H * N
    # without input and target a sample's gradient is a product with the Hessian plus the effect of
    # biases, which the gradient at zero removes
    blank_x, blank_y = np.zeros((count, x.shape[1])), np.zeros((count, y.shape[1]))
    blank_x[:B], blank_y[:B] = x, y
    at = np.concatenate([z, zeros, basis], axis=1)
    slopes = count * np.asarray(activity_slopes(network, at, blank_x, blank_y))
    flat = slopes.transpose(1, 0, 2).reshape(count, H * N)
    hessian = flat[B + 1 :] - flat[B]
    step = np.linalg.solve(hessian, flat[:B].T).T
    return hessian, z - step.reshape(B, H, N).transpose(1, 0, 2)


def descent(network, z, x, y, beta, steps):
    """Take T steps of gradient descent by automatic differentiation."""
    for _ in range(steps):
        z = z - beta * activity_slopes(network, z, x, y)
    return z


def assert_close(actual, expected, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
