"""The conditioning of inference: extreme eigenvalues of the activity Hessian (thesis 5.4.1)."""

from typing import Any

from jaxtyping import Array, Float

from pccore.theory.activity_hessian import hessian_product, is_quadratic, relaxation_of
from pccore.theory.lanczos import lanczos


def largest_eigenvalue(
    network: Any,
    x: Float[Array, "B *D"] | None = None,
    y: Float[Array, "B *K"] | None = None,
    *,
    departure: Any = None,
    steps: int = 128,
    tolerance: float = 1e-3,
) -> Float[Array, ""]:
    """lambda_max of the activity Hessian, per sample B d2F/dz2; the largest over the samples.

    Gradient descent is stable for beta < 2 B / lambda_max (thesis 5.4.1). Lanczos' method comes
    from below, so that the true value may be larger, by less than `tolerance` as a rule.

    Args:
        network: a `Network`, or any that has a `relaxation`.
        x: the clamped inputs; with y, needed unless the network is linear, and then moot.
        y: the clamped outputs.
        departure: where, from the forward pass of x; None is the forward pass itself. Moot for a
            linear network.
        steps: the most Hessian products; memory is that of so many activities of the batch.
        tolerance: relative error at which to stop earlier.

    Raises:
        ValueError: no x and y for a network that is not linear, or fewer than one step.
    """
    relaxation = relaxation_of(network, x, y)
    product = hessian_product(relaxation, None if is_quadratic(network) else departure)
    return lanczos(product, relaxation.origin(), steps=steps, tolerance=tolerance).high
