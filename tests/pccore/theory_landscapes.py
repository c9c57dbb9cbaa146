"""Small deep linear networks, and F* by minimisation over the activities instead of eq. 4.5."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import pccore

BATCH = 4


def draw(widths, seed=0, scale=1.0):
    """Draw matrices, inputs and targets for the widths D, N_1 .. N_H, K."""
    random = np.random.default_rng(seed)
    pairs = zip(widths[1:], widths, strict=False)
    matrices = [jnp.asarray(scale * random.normal(size=pair)) for pair in pairs]
    x = random.normal(size=(BATCH, widths[0]))
    y = random.normal(size=(BATCH, widths[-1]))
    return matrices, jnp.asarray(x), jnp.asarray(y)


def loss(matrices, x, y):
    """Return the reference energy at zero hidden errors."""
    z = [x]
    for W in matrices[:-1]:
        z.append(z[-1] @ W.T)
    return _energy(matrices, z[1:], x, y)


def energy(matrices, x, y, precisions=()):
    """Return the reference energy at the activities that minimise it, by least squares."""
    weigh = np.sqrt(precisions or np.ones(len(matrices)))
    sizes = [len(W) for W in matrices]
    rows = [
        [
            p * (jnp.eye(out) if at == row else -W if at == row - 1 else jnp.zeros((out, size)))
            for at, size in enumerate(sizes[:-1])
        ]
        for row, (out, W, p) in enumerate(zip(sizes, matrices, weigh, strict=True))
    ]
    E = jnp.block(rows)
    first, last = weigh[0] * x @ matrices[0].T, -weigh[-1] * y
    between = jnp.zeros((len(x), sum(sizes[1:-1])))
    right = jnp.concatenate([first, between, last], axis=1)
    z = jnp.linalg.solve(E.T @ E, E.T @ right.T).T
    return _energy(matrices, jnp.split(z, np.cumsum(sizes[:-2]), axis=1), x, y, precisions)


def _energy(matrices, z, x, y, precisions=()):
    layers = [partial(lambda W, z: z @ W.T, W) for W in matrices]
    return pccore.energy(layers, z, x, y, precisions=precisions)


@partial(jax.jit, static_argnums=0)
def derivatives(objective, matrices, x, y):
    """Return value, gradient and Hessian, by automatic differentiation."""
    weights, unravel = ravel_pytree(list(matrices))

    def slope(weights):
        value, g = jax.value_and_grad(lambda weights: objective(unravel(weights), x, y))(weights)
        return g, (value, g)

    hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(weights)
    return value, gradient, hessian


def flat(matrices):
    return np.asarray(ravel_pytree(list(matrices))[0])
