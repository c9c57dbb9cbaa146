"""Products with the activity Hessian, per sample B d2F/dz2 (thesis eqs. 5.5, C.19, C.20).

A batch's Hessian is block-diagonal, one block a sample: its extreme eigenvalues are those of the
most extreme samples. That of a linear network is the same whatever the data.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.networks import Network
from pccore.relaxation import Relaxation


def hessian_product(relaxation: Relaxation[Any], departure: Any = None) -> Callable[[Any], Any]:
    """v -> H_z v of every sample, at a departure (None: the start), for any network and any skips.

    Through the gradient, so that no matrix is formed: as much arithmetic as two gradients.
    """
    at = relaxation.origin() if departure is None else departure
    _, product = jax.linearize(relaxation.gradient, at)
    return product


def relaxation_of(
    network: Any, x: Float[Array, "B *D"] | None, y: Float[Array, "B *K"] | None
) -> Relaxation[Any]:
    """The relaxation whose Hessian is meant: a batch, or one blank sample where data is moot.

    Raises:
        ValueError: no x and y for a network whose Hessian depends on them.
    """
    if is_quadratic(network):
        config, dtype = network.config, network.last.dtype
        blank = (jnp.zeros((1, size), dtype) for size in (config.input_size, config.output_size))
        return network.relaxation(*blank)
    if x is None or y is None:
        raise ValueError("the activity Hessian of a network that is not linear needs x and y")
    return network.relaxation(x, y)


def is_quadratic(network: Any) -> bool:
    """Whether the energy is known to be quadratic in the activities: the Hessian is constant."""
    if not isinstance(network, Network):
        return False
    return network.config.activation == "linear" and network.config.output == "mse"
