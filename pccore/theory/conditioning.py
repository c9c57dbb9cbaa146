"""The conditioning of inference: extreme eigenvalues of the activity Hessian (thesis 5.4.1).

    kappa(H_z) = max |lambda| / min |lambda|

per sample, H_z = B d2F/dz2; kappa does not depend on B. The largest eigenvalue comes from products
with H_z, the one nearest to zero from products with its inverse (`pccore.theory.activity_hessian`).
Lanczos' method on H_z itself resolves small eigenvalues only to a fraction of the largest.

The thesis measures the first sample of a batch, at initialisation at the forward pass (C.4).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.linalg.lanczos import Extremes, lanczos
from pccore.networks.base import AbstractNetwork
from pccore.networks.stacked import Network
from pccore.spectrum import hessian_product
from pccore.theory.activity_hessian import (
    ShiftedInverse,
    is_quadratic,
    relaxation_of,
    shifted_inverse,
)
from pccore.training.probe import Probe
from pccore.validation import require_at_least


class Conditioning(NamedTuple):
    """Extreme eigenvalues of an activity Hessian.

    Attributes:
        smallest: lambda_min, negative if the energy is not convex.
        largest: lambda_max.
        condition_number: max |lambda| / min |lambda|; NaN if the Hessian is indefinite and has no
            known factorisation.
        smallest_error: an eigenvalue is within this distance of `smallest`.
        largest_error: an eigenvalue is within this distance of `largest`.
    """

    smallest: Float[Array, ""]
    largest: Float[Array, ""]
    condition_number: Float[Array, ""]
    smallest_error: Float[Array, ""]
    largest_error: Float[Array, ""]


def conditioning(
    network: AbstractNetwork,
    x: Float[Array, "B *D"] | None = None,
    y: Float[Array, "B *K"] | None = None,
    *,
    departure: PyTree[Array] | None = None,
    steps: int = 128,
    tolerance: float = 1e-3,
) -> Conditioning:
    """Estimate the conditioning of the first sample's activity Hessian.

    In a linear network all samples have the same Hessian.

    Shift and invert gives eigenvalues up to rounding and the error of Lanczos' method, for every
    `Network` except smooth activations with skips over several layers. For those and for other
    networks `smallest` is an upper estimate from H_z's own Krylov space: see `smallest_error`.

    Args:
        network: a `Network`, or any network with a `relaxation`.
        x: the clamped inputs; x and y are required for nonlinear networks and ignored for linear.
        y: the clamped outputs.
        departure: the point of the Hessian, from the forward pass of x; None is the forward pass.
            Ignored for a linear network.
        steps: maximum number of products with H_z and with its inverse; one vector is stored for
            each.
        tolerance: relative error of an eigenvalue of H_z, or of its inverse, at which to stop.

    Raises:
        ValueError: x or y is missing for a nonlinear network, or `steps` is below one.
    """
    one = [None if data is None else data[:1] for data in (x, y)]
    relaxation = relaxation_of(network, *one)
    at = None if is_quadratic(network) else _first_sample(network, departure)
    outer = lanczos(
        hessian_product(relaxation, at), relaxation.origin(), steps=steps, tolerance=tolerance
    )
    inverse = shifted_inverse(relaxation, at)
    if inverse is None:
        nearest = jnp.where(outer.low > 0, outer.low, jnp.nan)
        kappa = outer.magnitude / nearest
        return Conditioning(outer.low, outer.high, kappa, outer.low_error, outer.high_error)
    inner = lanczos(inverse.solve, relaxation.origin(), steps=steps, tolerance=tolerance)
    return _combined(outer, inner, inverse)


def _first_sample(
    network: AbstractNetwork, departure: PyTree[Array] | None
) -> PyTree[Array] | None:
    if departure is None:
        return None
    if isinstance(network, Network):
        return departure[:, :1]
    return jax.tree.map(lambda node: node[:1], departure)


def _combined(outer: Extremes, inner: Extremes, inverse: ShiftedInverse) -> Conditioning:
    """Combine the extremes of H_z and of its inverse, whose theta stands for shift + 1 / theta."""
    rounding = 10 * jnp.finfo(outer.high.dtype).eps
    size, reach = outer.magnitude, inner.magnitude
    indefinite = (inner.low < -rounding * reach) | (outer.low < -rounding * size)
    nearest = jnp.where(indefinite, 1 / reach, inverse.shift + 1 / inner.high)
    below = jnp.where(inner.low < 0, 1 / inner.low, 0)
    by_inverse = jnp.where(indefinite, below, nearest)
    from_inverse = ~indefinite | (below < outer.low)
    theta, error = (
        jnp.where(indefinite, low, high)
        for low, high in ((inner.low, inner.high), (inner.low_error, inner.high_error))
    )
    inverse_error = error / theta**2 + inverse.rounding * size
    return Conditioning(
        smallest=jnp.where(from_inverse, by_inverse, outer.low),
        largest=outer.high,
        condition_number=size / nearest,
        smallest_error=jnp.where(from_inverse, inverse_error, outer.low_error),
        largest_error=outer.high_error,
    )


def largest_eigenvalue(
    network: AbstractNetwork,
    x: Float[Array, "B *D"] | None = None,
    y: Float[Array, "B *K"] | None = None,
    *,
    departure: PyTree[Array] | None = None,
    steps: int = 128,
    tolerance: float = 1e-3,
) -> Float[Array, ""]:
    """Estimate lambda_max of the activity Hessian, per sample B d2F/dz2: the maximum over samples.

    Gradient descent is stable for beta < 2 B / lambda_max (thesis 5.4.1). Lanczos' method gives a
    lower bound; the true value is larger, usually by less than `tolerance`. The Hessian of a batch
    is block-diagonal, with one block per sample, and is treated as one operator.

    Args:
        network: a `Network`, or any network with a `relaxation`.
        x: the clamped inputs; x and y are required for nonlinear networks and ignored for linear.
        y: the clamped outputs.
        departure: the point of the Hessian, from the forward pass of x; None is the forward pass.
            Ignored for a linear network.
        steps: maximum number of Hessian products; each stores activities of the batch.
        tolerance: relative error at which to stop earlier.

    Raises:
        ValueError: x or y is missing for a nonlinear network, or `steps` is below one.
    """
    relaxation = relaxation_of(network, x, y)
    product = hessian_product(relaxation, None if is_quadratic(network) else departure)
    return lanczos(product, relaxation.origin(), steps=steps, tolerance=tolerance).high


@dataclass(frozen=True)
class ActivityConditioning(Probe[AbstractNetwork]):
    """Probe: the first sample's `conditioning` at its forward pass (figs. 5.3, C.9, C.13, C.14).

    During training, the thesis measures at the inferred activities instead. The result is the same
    for linear networks, and for piecewise linear ones except for units that switch.

    Attributes:
        steps: maximum number of products with H_z and with its inverse, which bounds the cost.

    Raises:
        ValueError: `steps` is below one.
    """

    steps: int = 64
    source: ClassVar[str] = "thesis 5.4.1, C.4"

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")

    def measure(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B *D"],
        y: Float[Array, "B *K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return the extreme eigenvalues per sample and their ratio; beta is not used."""
        found = conditioning(network, x, y, steps=self.steps)
        return {
            "activity_hessian_largest_eigenvalue": found.largest,
            "activity_hessian_smallest_eigenvalue": found.smallest,
            "activity_hessian_condition_number": found.condition_number,
        }
