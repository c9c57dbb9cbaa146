"""The conditioning of inference: extreme eigenvalues of the activity Hessian (thesis 5.4.1).

    kappa(H_z) = max |lambda| / min |lambda|

per sample, H_z = B d2F/dz2; kappa does not depend on B. The largest eigenvalue comes from products
with H_z, the one nearest to zero from products with its inverse (`pccore.theory.activity_hessian`):
Lanczos' method on H_z itself resolves small eigenvalues to a fraction of the largest only.

The documents take the first sample of a batch, at initialisation at the forward pass (C.4).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg.lanczos import Extremes, lanczos
from pccore.networks.stacked import Network
from pccore.theory.activity_hessian import (
    ShiftedInverse,
    hessian_product,
    is_quadratic,
    relaxation_of,
    shifted_inverse,
)
from pccore.validation import require_at_least


class Conditioning(NamedTuple):
    """Extreme eigenvalues of an activity Hessian.

    Attributes:
        smallest: lambda_min, negative where the energy is not convex.
        largest: lambda_max.
        condition_number: max |lambda| / min |lambda|; NaN where the Hessian is indefinite and has
            no known factorisation.
        smallest_error: an eigenvalue is within this distance of `smallest`.
        largest_error: likewise of `largest`.
    """

    smallest: Float[Array, ""]
    largest: Float[Array, ""]
    condition_number: Float[Array, ""]
    smallest_error: Float[Array, ""]
    largest_error: Float[Array, ""]


def conditioning(
    network: Any,
    x: Float[Array, "B *D"] | None = None,
    y: Float[Array, "B *K"] | None = None,
    *,
    departure: Any = None,
    steps: int = 128,
    tolerance: float = 1e-3,
) -> Conditioning:
    """Of the first sample's activity Hessian; of every sample's, where the network is linear.

    Exact to rounding but for Lanczos' own error, by shift and invert, for every `Network`, save
    smooth activations with skips over several layers. There, and for other networks, `smallest` is
    from above by H_z's own Krylov space: read `smallest_error`.

    Args:
        network: a `Network`, or any that has a `relaxation`.
        x: the clamped inputs; with y, needed unless the network is linear, and then moot.
        y: the clamped outputs.
        departure: where, from the forward pass of x; None is the forward pass itself. Moot for a
            linear network.
        steps: the most products with H_z, and with its inverse; memory is that of so many vectors.
        tolerance: relative error of an eigenvalue of H_z, or of its inverse, at which to stop.

    Raises:
        ValueError: no x and y for a network that is not linear, or fewer than one step.
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


def _first_sample(network: Any, departure: Any) -> Any:
    if departure is None:
        return None
    if isinstance(network, Network):
        return departure[:, :1]
    return jax.tree.map(lambda node: node[:1], departure)


def _combined(outer: Extremes, inner: Extremes, inverse: ShiftedInverse) -> Conditioning:
    """An eigenvalue theta of the inverse stands for shift + 1 / theta, a negative one, too."""
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
    from below, so that the true value may be larger, by less than `tolerance` as a rule. A batch's
    Hessian is block-diagonal, one block a sample, and is taken as one operator.

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


@dataclass(frozen=True)
class ActivityConditioning:
    """Probe: the first sample's `conditioning` at its forward pass (figs. 5.3, C.9, C.13, C.14).

    While training, the documents measure at the activities that inference has reached instead. It
    is the same for linear networks, and for piecewise linear ones but for units that switch.

    Attributes:
        steps: the most products with H_z, and with its inverse; they bound the cost.

    Raises:
        ValueError: fewer than one step.
    """

    steps: int = 64
    source: ClassVar[str] = "thesis 5.4.1, C.4"

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")

    def measure(
        self,
        network: Any,
        x: Float[Array, "B *D"],
        y: Float[Array, "B *K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """The eigenvalues per sample, their error bounds and their ratio; beta plays no part."""
        found = conditioning(network, x, y, steps=self.steps)
        return {
            "activity_hessian_largest_eigenvalue": found.largest,
            "activity_hessian_smallest_eigenvalue": found.smallest,
            "activity_hessian_condition_number": found.condition_number,
        }
