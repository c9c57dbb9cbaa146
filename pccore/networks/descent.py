"""Gradient descent on the activities of a stacked network: two algorithms with equal results.

The start is a forward pass, whose hidden errors are exactly zero, and an error travels one layer
per step (or the length of a skip): after t steps only the topmost t layers have moved. Both
algorithms compute moving layers only, about half of all layers when T = H.

- `by_waves`: all moving layers in one batched product. Their number grows in a few static blocks.
  It has few large operations, which suits GPUs, and networks whose weights and activities fit the
  cache.
- `by_groups`: the moving layers from the top down, a group at a time. A group's new activities
  overwrite the old ones, so that its weights and activities stay in the cache. It suits wide and
  deep networks on CPUs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt

from pccore.networks.local import StackEnergy
from pccore.relaxation import Advance, Memory, Scalar

# Largest number of static blocks, so that compile time does not grow with depth. Eight blocks do
# 9/16 of the full arithmetic when T = H.
MOST_BLOCKS = 8


def by_waves(relaxation: StackEnergy, rate: Scalar, steps: int) -> Float[Array, "m B N"]:
    """Return the departures of the topmost m layers, those that `steps` steps can move."""

    def advance(layers: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
        (departure,) = layers
        return (departure - rate * relaxation.gradient(departure),), None

    (departure,), _ = in_waves(relaxation, advance, 1, None, steps)
    return departure


def in_waves(
    relaxation: StackEnergy,
    advance: Advance[Array, Memory],
    copies: int,
    memory: Memory,
    steps: int,
) -> tuple[tuple[Array, ...], Memory]:
    """Call `advance` `steps` times, each time on the topmost layers that can have moved.

    Args:
        relaxation: the energy.
        advance: one step on `copies` arrays (m, B, N), zero at first, and on `memory`.
        copies: number of arrays with one entry per layer.
        memory: other values that steps carry, of a fixed shape.
        steps: T.
    """

    def step(
        _: object, carry: tuple[tuple[Array, ...], Memory]
    ) -> tuple[tuple[Array, ...], Memory]:
        return advance(*carry)

    layers, done = (jnp.zeros_like(relaxation.start[:0]),) * copies, 0
    for size, until in waves(relaxation, steps):
        layers = tuple(jnp.pad(d, ((size - len(d), 0), (0, 0), (0, 0))) for d in layers)
        layers, memory = jax.lax.fori_loop(done, until, step, (layers, memory))
        done = until
    return layers, memory


def waves(relaxation: StackEnergy, steps: int) -> list[tuple[int, int]]:
    """Return pairs (size, step): until `step`, only the topmost `size` layers can have moved."""
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
    """Return the number of layers that `steps` steps can move; decay moves all at once."""
    config = relaxation.network.config
    if config.activity_decay:
        return config.depth
    return min(config.depth, 1 + (steps - 1) * config.stride)


class Above(NamedTuple):
    """The feedback to a group from the layer above it, at the activities before the step.

    Attributes:
        feedback: a W^T e, the feedback of that layer's error through its weights.
        error: e, the feedback through the skip connection.
    """

    feedback: Float[Array, "B N"]
    error: Float[Array, "B N"]


def by_groups(relaxation: StackEnergy, rate: Scalar, steps: int) -> Float[Array, "m B N"]:
    """Return the result of `by_waves`, from `config.layers_per_product` layers at a time."""
    config, network, start = relaxation.network.config, relaxation.network, relaxation.start
    size, H = config.layers_per_product, config.depth
    groups = H // size
    # padded with a layer below the first that has no weights and no activities and never moves
    W = jnp.pad(config.scalings.hidden * network.hidden, ((1, 0), (0, 0), (0, 0)))
    zbar = jnp.pad(start, ((1, 0), (0, 0), (0, 0)))
    precisions = jnp.array(config.precisions[:-1] or (1.0,) * H, start.dtype)[:, None, None]

    def group(bottom: Array, departure: Array, above: Above) -> tuple[Array, Above]:
        """Return the departures of one group after a step, and the feedback to the group below."""
        d, z = _layers(departure, bottom, size + 1), _layers(zbar, bottom, size + 1)
        weights = _layers(W, bottom, size)
        change, slope = config.phi.respond(z, d)
        e = d[1:] - config.maps.hidden.apply(weights, change[:-1])
        if config.residual:
            e = e - d[:-1]
        if config.precisions:
            e = e * _layers(precisions, bottom, size)
        down = config.maps.hidden.transpose(weights, e)
        gradient = e - slope[1:] * jnp.concatenate([down[1:], above.feedback[None]])
        if config.residual:
            gradient = gradient - jnp.concatenate([e[1:], above.error[None]])
        if config.activity_decay:
            gradient = gradient + config.activity_decay * (z[1:] + d[1:])
        return d[1:] - rate * gradient, Above(down[0], e[0])

    def step(t: Array, departure: Array) -> Array:
        """Update the groups that can have moved by step t, from the top down."""

        def next_group(done: Array, carry: tuple[Array, Above]) -> tuple[Array, Above]:
            departure, above = carry
            bottom = jnp.uint32((groups - 1 - done) * size)
            new, above = group(bottom, departure, above)
            at = (bottom + jnp.uint32(1), jnp.uint32(0), jnp.uint32(0))
            return jax.lax.dynamic_update_slice(departure, new, at), above

        # counted upwards: XLA runs a loop once if its unsigned counter falls to 0
        moving = groups if config.activity_decay else jnp.minimum(groups, t // size + 1)
        feedback = relaxation.output_feedback(departure[-1:])
        above = Above(feedback, jnp.zeros_like(feedback))
        return jax.lax.fori_loop(0, moving, next_group, (departure, above))[0]

    departure = jax.lax.fori_loop(0, steps, step, jnp.zeros_like(zbar))
    return departure[H + 1 - reach(relaxation, steps) :]


def _layers(
    values: Float[Array, "layers *rest"], bottom: UInt[Array, ""], count: int
) -> Float[Array, "count *rest"]:
    """Return `count` layers from `bottom` up."""
    # unsigned, so that JAX adds no code for negative indices
    corner = (bottom, *(jnp.uint32(0) for _ in values.shape[1:]))
    return jax.lax.dynamic_slice(values, corner, (count, *values.shape[1:]))
