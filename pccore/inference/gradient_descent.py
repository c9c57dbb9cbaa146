"""Gradient descent on all activities at once, restricted to the layers that can have moved."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference.base import Inference
from pccore.local import activity_gradients, errors
from pccore.networks import Network
from pccore.validation import require_at_least

# The moving top of the network is handled in at most this many static blocks, so that the time to
# compile does not grow with depth. Eight blocks do 9/16 of the full arithmetic when T = H.
MOST_BLOCKS = 8


@dataclass(frozen=True)
class GradientDescent:
    """z <- z - beta dF/dz, `steps` = T times, every layer from the same z (thesis 5.3.2).

    The start is a forward pass, whose hidden errors are exactly zero. An error travels one layer a
    step, so step t moves the top t layers only. The computation follows this wave, in blocks: about
    half the products when T = H, and the same numbers.

    Attributes:
        steps: T. The documents use T = H (thesis C.4).

    Raises:
        ValueError: fewer than one step.
    """

    steps: int

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")

    def infer(
        self,
        network: Network,
        start: Float[Array, "H B N"],
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> Inference:
        """T steps from the forward pass `start`; beta applies to the batch-mean energy."""
        H, rate = len(start), activity_lr / len(x)

        def step(top: Array, _: int, departure: Array) -> Array:
            return departure - rate * activity_gradients(network, top, departure, y)

        departure, done = start[H:], 0
        for size in _block_sizes(min(self.steps, H)):
            top = start[H - size :]
            departure = jnp.concatenate([jnp.zeros_like(top[len(departure) :]), departure])
            until = self.steps if size == H else size
            departure = jax.lax.fori_loop(done, until, partial(step, top), departure)
            done = until
        change, _ = network.config.phi.respond(top, departure)
        return Inference(
            activities=jnp.concatenate([start[: H - len(top)], top + departure]),
            errors=errors(network, departure, change),
        )


def _block_sizes(moved: int) -> list[int]:
    """Sizes of the growing block of moving layers, in about equal strides up to `moved`."""
    stride = -(-moved // MOST_BLOCKS)
    return [*range(stride, moved, stride), moved]
