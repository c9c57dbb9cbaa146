"""The largest eigenvalue of an energy's Hessian in the variables of inference, B d2F/dz2."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from pccore.linalg.lanczos import largest_ritz_value
from pccore.relaxation import Departure, Relaxation


def hessian_product(
    relaxation: Relaxation[Departure], departure: Departure | None = None
) -> Callable[[Departure], Departure]:
    """Return v -> H_z v of every sample, for any network and any skips.

    The product differentiates the gradient and forms no matrix. It costs about two gradients.

    Args:
        relaxation: the energy of the batch.
        departure: the point of the Hessian; None is the start.
    """
    at = relaxation.origin() if departure is None else departure
    _, product = jax.linearize(relaxation.gradient, at)
    return product


def lambda_max(relaxation: Relaxation[Departure], products: int) -> Float[Array, ""]:
    """Estimate the largest eigenvalue of H_z at the start, a lower bound.

    The Hessian of a batch has one block per sample and is treated as one operator, so the result is
    the maximum over samples. `pccore.theory.largest_eigenvalue` takes longer and has a tolerance.

    Args:
        relaxation: the energy of the batch.
        products: number of Hessian products.
    """
    return largest_ritz_value(hessian_product(relaxation), relaxation.origin(), products)
