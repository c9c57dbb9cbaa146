"""Gradient descent on the activities of a stacked network: two ways to the same numbers.

The start is a forward pass, whose hidden errors are exactly zero, and an error travels one layer a
step (or as far as a skip goes): after t steps only the topmost t layers have moved. Both ways do
the work of the moving layers only, about half of it when T = H.

- `by_waves`: all moving layers in one batched product, and their number grows in a few static
  blocks. Few large operations: for networks whose weights and activities fit the cache, for GPUs.
- `by_groups`: the moving layers from the top down, some at a time, each group's new activities
  written over the old ones, so that a group's weights and activities are in the cache for all that
  is done with them. For wide and deep networks on CPUs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pccore.networks.local import StackEnergy

# The moving top of the network is handled in at most this many static blocks, so that the time to
# compile does not grow with depth. Eight blocks do 9/16 of the full arithmetic when T = H.
MOST_BLOCKS = 8


def by_waves(relaxation: StackEnergy, rate: Float[Array, ""], steps: int) -> Float[Array, "m B N"]:
    """Departures of the topmost m layers, all that can have moved, after `steps` steps."""

    def step(_: int, departure: Array) -> Array:
        return departure - rate * relaxation.gradient(departure)

    departure, done = jnp.zeros_like(relaxation.start[:0]), 0
    for size, until in waves(relaxation, steps):
        departure = jnp.pad(departure, ((size - len(departure), 0), (0, 0), (0, 0)))
        departure = jax.lax.fori_loop(done, until, step, departure)
        done = until
    return departure


def waves(relaxation: StackEnergy, steps: int) -> list[tuple[int, int]]:
    """Pairs (size, step): until `step`, only the topmost `size` layers can have moved."""
    config = relaxation.network.config
    if config.activity_decay:  # all layers move at once
        return [(config.depth, steps)]
    most = reach(relaxation, steps)
    block = -(-most // MOST_BLOCKS)
    return [
        (size, steps if size == most else 1 + (size - 1) // config.stride)
        for size in [*range(block, most, block), most]
    ]


def reach(relaxation: StackEnergy, steps: int) -> int:
    """How many of the topmost layers `steps` steps can move; decay moves all at once."""
    config = relaxation.network.config
    if config.activity_decay:
        return config.depth
    return min(config.depth, 1 + (steps - 1) * config.stride)


class Above(NamedTuple):
    """What a group needs of the layer above it, at the activities before the step.

    Attributes:
        feedback: a W^T e, what that layer's error sends down through its weights.
        error: e, what it sends down through the skip connection.
    """

    feedback: Float[Array, "B N"]
    error: Float[Array, "B N"]


def by_groups(relaxation: StackEnergy, rate: Float[Array, ""], steps: int) -> Float[Array, "m B N"]:
    """The same as `by_waves`, `config.layers_per_product` layers at a time."""
    config, network, start = relaxation.network.config, relaxation.network, relaxation.start
    size, H = config.layers_per_product, config.depth
    groups = H // size
    # one more layer below the first, which has no weights, no activities, and never moves
    W = jnp.pad(config.scalings.hidden * network.hidden, ((1, 0), (0, 0), (0, 0)))
    zbar = jnp.pad(start, ((1, 0), (0, 0), (0, 0)))
    precisions = jnp.array(config.precisions[:-1] or (1.0,) * H, start.dtype)[:, None, None]

    def group(bottom: Array, departure: Array, above: Above) -> tuple[Array, Above]:
        """Departures of one group after a step, and what the group below needs."""
        d, z = _layers(departure, bottom, size + 1), _layers(zbar, bottom, size + 1)
        weights = _layers(W, bottom, size)
        change, slope = config.phi.respond(z, d)
        e = d[1:] - jnp.einsum("lbn,lmn->lbm", change[:-1], weights)
        if config.residual:
            e = e - d[:-1]
        if config.precisions:
            e = e * _layers(precisions, bottom, size)
        down = jnp.einsum("lbm,lmn->lbn", e, weights)
        gradient = e - slope[1:] * jnp.concatenate([down[1:], above.feedback[None]])
        if config.residual:
            gradient = gradient - jnp.concatenate([e[1:], above.error[None]])
        if config.activity_decay:
            gradient = gradient + config.activity_decay * (z[1:] + d[1:])
        return d[1:] - rate * gradient, Above(down[0], e[0])

    def step(t: Array, departure: Array) -> Array:
        """All groups that can have moved by step t, from the top down."""

        def next_group(done: Array, carry: tuple[Array, Above]) -> tuple[Array, Above]:
            departure, above = carry
            bottom = jnp.uint32((groups - 1 - done) * size)
            new, above = group(bottom, departure, above)
            at = (bottom + jnp.uint32(1), jnp.uint32(0), jnp.uint32(0))
            return jax.lax.dynamic_update_slice(departure, new, at), above

        # counted upwards: with an unsigned counter that falls to 0 XLA runs once (docs/log.md)
        moving = groups if config.activity_decay else jnp.minimum(groups, t // size + 1)
        feedback = relaxation.output_feedback(departure[-1:])
        above = Above(feedback, jnp.zeros_like(feedback))
        return jax.lax.fori_loop(0, moving, next_group, (departure, above))[0]

    departure = jax.lax.fori_loop(0, steps, step, jnp.zeros_like(zbar))
    return departure[H + 1 - reach(relaxation, steps) :]


def _layers(
    values: Float[Array, "layers *rest"], bottom: Int[Array, ""], count: int
) -> Float[Array, "count *rest"]:
    """`count` layers from `bottom` up."""
    # unsigned, so that JAX adds nothing to wrap negative indices around
    corner = (bottom, *(jnp.uint32(0) for _ in values.shape[1:]))
    return jax.lax.dynamic_slice(values, corner, (count, *values.shape[1:]))
