"""Trust-region Newton, the second-order baseline for small networks."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.networks.base import NetworkT
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule
from pccore.validation import require_at_least


@dataclass(frozen=True)
class TrustRegionNewton(LearningRule):
    """(H + lambda I)^-1 g, with g and H gradient and Hessian of the loss (thesis 3.3.2, 3.4).

    With `SGD()` and a weight learning rate of 1 it is the step of figure 3.2. H is dense, over all
    weights and biases: a step takes O(n^2) memory and O(n^3) time. If lambda exceeds minus the
    smallest eigenvalue of H, the step solves a trust-region problem (eq. 3.3, with 1/alpha for
    lambda); otherwise it may ascend.

    Attributes:
        damping: lambda; 2 in figure 3.2.

    Raises:
        ValueError: the damping is negative; or, in `gradients`, the network has more than 3000
            weights.
    """

    damping: float = 2.0

    def __post_init__(self) -> None:
        require_at_least(self, 0, "damping")

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        weights, unravel = ravel_pytree(network)
        if len(weights) > lapack.MOST_WEIGHTS:
            raise ValueError(
                f"trust-region Newton inverts a dense Hessian: it takes networks of at most "
                f"{lapack.MOST_WEIGHTS} weights, got {len(weights)}"
            )

        def loss(weights: Array) -> Array:
            prediction = unravel(weights).predict(x)
            return jnp.mean(network.config.output_energy.per_sample(y, prediction))

        value, g = jax.value_and_grad(loss)(weights)
        damped = jax.hessian(loss)(weights) + self.damping * jnp.eye(len(weights), dtype=g.dtype)
        step = lapack.lu_solve(*lapack.lu_factor(damped), g[:, None])
        return value, unravel(step[:, 0])
