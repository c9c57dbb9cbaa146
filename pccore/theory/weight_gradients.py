"""Weight gradients: their norm, which vanishes near saddles (figure B.5), and their direction."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.inference.base import norm
from pccore.jax_settings import PRNG
from pccore.networks.base import AbstractNetwork
from pccore.rules import Backpropagation, LearningRule
from pccore.training.probe import Probe


@dataclass(frozen=True)
class WeightGradientNorm(Probe[AbstractNetwork]):
    """Probe: ||g||, the Euclidean norm over all weights of the gradient of a learning rule.

    Attributes:
        rule: the learning rule. Backpropagation gives the gradient of the loss, predictive coding
            that of the energy at the end of inference.
    """

    rule: LearningRule
    source: ClassVar[str] = "thesis fig. B.5"

    def measure(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `weight_gradient_norm`. A random start always uses the same key."""
        _, gradients = self.rule.gradients(network, x, y, activity_lr, jax.random.key(0, impl=PRNG))
        return {"weight_gradient_norm": norm(gradients)}


@dataclass(frozen=True)
class GradientCosine(Probe[AbstractNetwork]):
    """Probe: the weight gradient of a learning rule against backpropagation's, layer by layer.

    For layer l, with g_l the rule's gradient of W_l and b_l that of the loss of the same batch,

        gradient_cosine        = <g_l, b_l> / (||g_l|| ||b_l||)
        relative_gradient_rms  = ||g_l|| / ||b_l||

    A layer that inference has not reached has g_l = 0, hence no cosine, and relative RMS 0. The
    first tends to 1 and so does the second where the rule's gradient tends to backpropagation's.
    Biases are left out.

    Attributes:
        rule: the learning rule.
    """

    rule: LearningRule
    source: ClassVar[str] = __name__

    def measure(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, " L"]]:
        """Return both by layer. A random start always uses the same key."""
        rules = self.rule, Backpropagation()
        gradients = [
            r.gradients(network, x, y, activity_lr, jax.random.key(0, impl=PRNG))[1] for r in rules
        ]
        pairs = zip(*(gradient.weight_matrices() for gradient in gradients), strict=True)
        cosines, ratios = zip(*(jax.vmap(_compared)(*pair) for pair in pairs), strict=True)
        return {
            "gradient_cosine": jnp.concatenate(cosines),
            "relative_gradient_rms": jnp.concatenate(ratios),
        }


def _compared(
    g: Float[Array, "*shape"], b: Float[Array, "*shape"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the cosine of two matrices, and the ratio of their norms; NaN where undefined."""
    # scaled to 1: squares of a deep network's small gradients underflow in float32
    largest_g, largest_b = jnp.max(jnp.abs(g)), jnp.max(jnp.abs(b))
    g, b = g / largest_g, b / largest_b
    norm_g, norm_b = jnp.linalg.norm(g), jnp.linalg.norm(b)
    ratio = largest_g / largest_b * jnp.where(largest_g > 0, norm_g, 0) / norm_b
    return jnp.sum(g * b) / (norm_g * norm_b), ratio
