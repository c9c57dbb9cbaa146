"""Gradient descent on the activities of small stacked networks, as one Pallas kernel for GPUs.

XLA's steps (`pccore.networks.descent`) write and read all activities in every elementwise pass. A
program of this kernel takes all T steps of one tile of samples of one lane alone, as samples never
meet. What stays on its multiprocessor between steps is the tile's activities, start and departure
of all layers, as values of the loop, hence in registers: 2 H S N numbers, of which 128 KB (half of
a multiprocessor's registers) set the number S of samples. Weights do not stay: 8 x 128 has 459 KB
of hidden weights, more than the 228 KB of shared memory. A step reads the matrix of each moving
layer once, for prediction and feedback, from the L2 cache, where the tiles of a lane share it.

The formulas are those of `pccore.networks.local`. The order is from the top down: the error of a
layer needs only activities that this step has not overwritten. A layer that no error has reached
takes no product, so that the wave is exact.

No GPU has run this kernel yet, so it is off: `MUPC_PALLAS=1` turns it on where there is a GPU, and
`MUPC_PALLAS=interpret` has JAX interpret it on any device, for tests. Pallas is imported when it
runs.
"""

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.networks import descent
from pccore.networks.local import StackEnergy
from pccore.networks.stack import StackConfig
from pccore.relaxation import Scalar

VARIABLE = "MUPC_PALLAS"
PATH = "pallas"
"""What ledgers record as the arithmetic of runs that it trained."""

ACTIVATIONS = ("linear", "relu", "leaky_relu", "tanh")
OUTPUTS = ("mse", "cross_entropy")
RESIDENT = 128 * 1024
"""Bytes of activities that a program holds in registers, of the 256 KB of a multiprocessor."""

LEAST = 16
"""Smallest side of a matrix product in Triton, whose arrays also have sides of powers of two."""

MOST_SAMPLES = 64
MOST_WIDTH = 128
"""A matrix of 128 x 128 takes 64 KB of shared memory as an operand."""

WARPS = 8  # 256 threads of at most 255 registers: the whole file of a multiprocessor


def enabled() -> bool:
    """Return whether the environment asks for the kernel, and this process can run it."""
    value = os.environ.get(VARIABLE, "0").strip().lower()
    return value == "interpret" or (
        value in ("1", "yes", "true") and jax.default_backend() == "gpu"
    )


def path(config: object) -> str | None:
    """Return `PATH` if gradient descent of this network from a forward pass takes the kernel."""
    return PATH if enabled() and isinstance(config, StackConfig) and covers(config) else None


def covers(config: StackConfig) -> bool:
    """Return whether the kernel computes gradient descent of this network from a forward pass."""
    return (
        config.kind == "stacked"
        and config.in_waves
        and config.depth > 1
        and config.activation in ACTIVATIONS
        and config.output in OUTPUTS
        and config.skip == 1
        and not config.activity_decay
        and config.width <= MOST_WIDTH
        and samples(config) >= LEAST
    )


def samples(config: StackConfig) -> int:
    """Return S, the number of samples of a tile: a power of two."""
    fit = RESIDENT // (2 * 4 * config.depth * _side(config.width))
    return min(MOST_SAMPLES, 1 << fit.bit_length() - 1) if fit else 0


def takes(relaxation: StackEnergy) -> bool:
    """Return whether `by_lanes` is used here: it is enabled, and covers network and numbers."""
    network = relaxation.network
    arrays = [*jax.tree.leaves(network), relaxation.start, relaxation.y]
    return (
        enabled() and covers(network.config) and all(array.dtype == jnp.float32 for array in arrays)
    )


def by_lanes(relaxation: StackEnergy, rate: Scalar, steps: int) -> Float[Array, "m B N"]:
    """Return the result of `descent.by_waves`; differentiation takes its form.

    Under `jax.vmap`, lanes become an axis of the kernel's grid.
    """

    @jax.custom_jvp
    def by_kernel(relaxation: StackEnergy, rate: Array) -> Array:
        return _call(relaxation, rate, steps, interpret=jax.default_backend() != "gpu")

    by_kernel.defjvp(partial(jax.jvp, partial(descent.by_waves, steps=steps)))
    rate = jnp.asarray(rate, relaxation.start.dtype)
    departure = by_kernel(relaxation, rate)
    return departure[len(departure) - descent.reach(relaxation, steps) :]


def _call(
    relaxation: StackEnergy, rate: Float[Array, ""], steps: int, *, interpret: bool
) -> Float[Array, "H B N"]:
    """Pad the arrays to powers of two and call the kernel on every tile of samples.

    Padding is zero and stays zero: weights from and to units that do not exist are zero. Outputs
    that do not exist get logits of -1e30 from their bias, so that no probability is theirs.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    network, config = relaxation.network, relaxation.network.config
    H, B, N = relaxation.start.shape
    K = config.output_size
    S, units, outputs = samples(config), _side(N), _side(K)
    tiles = -(-B // S)
    wide, tall, more = (0, units - N), (0, outputs - K), (0, tiles * S - B)
    start = jnp.pad(relaxation.start, ((0, 0), more, wide))
    hidden = jnp.pad(network.hidden, ((0, 0), wide, wide))
    last = jnp.pad(network.last, (tall, wide))
    bias = jnp.zeros(K, start.dtype) if network.biases is None else network.biases.last
    missing = -1e30 if config.output == "cross_entropy" else 0.0
    bias = jnp.pad(bias, tall, constant_values=missing)
    y = jnp.pad(relaxation.y, (more, tall))

    activities = pl.BlockSpec((H, S, units), lambda tile: (0, tile, 0))
    call = pl.pallas_call(
        partial(_kernel, config, steps),
        grid=(tiles,),
        in_specs=[
            activities,
            pl.BlockSpec((H - 1, units, units), lambda tile: (0, 0, 0)),
            pl.BlockSpec((outputs, units), lambda tile: (0, 0)),
            pl.BlockSpec((outputs,), lambda tile: (0,)),
            pl.BlockSpec((S, outputs), lambda tile: (tile, 0)),
            pl.BlockSpec((1,), lambda tile: (0,)),
        ],
        out_specs=activities,
        out_shape=jax.ShapeDtypeStruct(start.shape, start.dtype),
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
        interpret=interpret,
        name="mupc_descent",
    )
    return call(start, hidden, last, bias, y, rate[None])[:, :B, :N]


def _kernel(
    config: StackConfig,
    steps: int,
    start: Any,
    hidden: Any,
    last: Any,
    bias: Any,
    y: Any,
    rate: Any,
    departure: Any,
) -> None:
    """Take all steps of one tile: references to arrays in, `departure` out."""
    H, a, respond = config.depth, config.scalings, config.phi.respond
    p = config.precisions or (1.0,) * (H + 1)
    z = [start[layer] for layer in range(H)]
    beta, shift, target = rate[0], bias[:][None, :], y[:, :]

    def step(t: Array, d: tuple[Array, ...]) -> tuple[Array, ...]:
        moved = list(d)
        W = last[:, :]
        prediction = a.last * _times_transposed(config.phi.phi(z[-1] + d[-1]), W) + shift
        error = p[-1] * config.output_energy.error(target, prediction)
        feedback, above = a.last * jnp.dot(error, W), jnp.zeros_like(z[-1])
        slope = respond(z[-1], d[-1]).slope
        for layer in reversed(range(1, H)):
            change, slope_below = respond(z[layer - 1], d[layer - 1])
            e, feedback_below = jax.lax.cond(
                layer > H - 1 - t,
                partial(errors, layer),
                lambda d_here, d_below, change: (jnp.zeros_like(d_here),) * 2,
                *(d[layer], d[layer - 1], change),
            )
            moved[layer] = updated(d[layer], e, slope * feedback, above)
            slope, feedback, above = slope_below, feedback_below, e
        moved[0] = updated(d[0], p[0] * d[0], slope * feedback, above)
        return tuple(moved)

    def errors(layer: int, here: Array, below: Array, change: Array) -> tuple[Array, Array]:
        """Return e of a layer, and its feedback to the layer below before phi'."""
        W = hidden[layer - 1]
        e = here - a.hidden * _times_transposed(change, W)
        if config.residual:
            e = e - below
        e = p[layer] * e
        return e, a.hidden * jnp.dot(e, W)

    def updated(d: Array, e: Array, feedback: Array, above: Array) -> Array:
        gradient = e - feedback
        return d - beta * (gradient - above if config.residual else gradient)

    found = jax.lax.fori_loop(0, steps, step, tuple(jnp.zeros_like(zbar) for zbar in z))
    for layer, values in enumerate(found):
        departure[layer] = values


def _times_transposed(x: Float[Array, "S n"], W: Float[Array, "m n"]) -> Float[Array, "S m"]:
    """Return x W^T."""
    return jax.lax.dot_general(x, W, (((1,), (1,)), ((), ())))


def _side(size: int) -> int:
    """Return the power of two, at least `LEAST`, that holds `size`."""
    return max(LEAST, 1 << (size - 1).bit_length())
