"""Penalties on weights, added to what a learning rule descends."""

from dataclasses import dataclass
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.registry import Registry
from pccore.validation import require_positive


class Penalty(Protocol):
    """A cost of the weights themselves; training adds its gradient to that of the rule."""

    def __call__(self, network: Any) -> Float[Array, ""]:
        """The penalty of a network of any kind."""
        ...


@dataclass(frozen=True)
class WeightDecay:
    """strength/2 sum_l ||W_l||^2, hence strength W_l in the gradient; biases are spared.

    The optimiser sees it as part of the gradient: with Adam this is not decoupled decay (AdamW).

    Attributes:
        strength: lambda.

    Raises:
        ValueError: a strength that is not positive.
    """

    strength: float

    def __post_init__(self) -> None:
        require_positive(self, "strength")

    def __call__(self, network: Any) -> Float[Array, ""]:
        squares = [jnp.sum(W**2) for W in weights(network)]
        return 0.5 * self.strength * jnp.sum(jnp.stack(squares))


@dataclass(frozen=True)
class Orthogonality:
    """strength/2 sum_l ||W_l^T W_l - g^2 I||^2: keeps orthogonal weights so (thesis C.3.4).

    A wide W_l cannot have orthonormal columns; the gradient is the same with W_l W_l^T in the place
    of W_l^T W_l, so it is drawn to orthonormal rows. A convolution counts as the matrix
    from its patches to its channels.

    Attributes:
        strength: lambda.
        gain: g, to match the `orthogonal` parameterisation: 1.05 for tanh (figure C.30), else 1.

    Raises:
        ValueError: a strength or a gain that is not positive.
    """

    strength: float
    gain: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "strength", "gain")

    def __call__(self, network: Any) -> Float[Array, ""]:
        defects = [self._defect(W) for W in weights(network) if W.ndim > 1]
        return 0.5 * self.strength * jnp.sum(jnp.stack(defects))

    def _defect(self, W: Float[Array, "*stack N_out N_in"]) -> Float[Array, ""]:
        W = W.reshape(len(W), -1) if W.ndim > 3 else W
        rows, columns = W.shape[-2:]
        gram = W @ W.mT if rows < columns else W.mT @ W
        identity = self.gain**2 * jnp.eye(min(rows, columns), dtype=W.dtype)
        beyond_rank = self.gain**4 * max(0, columns - rows) * (W.size // (rows * columns))
        return jnp.sum((gram - identity) ** 2) + beyond_rank


PENALTIES: Registry[type[Penalty]] = Registry(
    "penalty", {"weight_decay": WeightDecay, "orthogonality": Orthogonality}
)


def weights(network: Any) -> list[Float[Array, "..."]]:
    """The weights of a network of any kind: its arrays, but for those that it calls biases.

    A network that keeps its arrays without their names has `modules()`, where they have them.
    """
    named = network.modules() if hasattr(network, "modules") else network
    arrays = jax.tree_util.tree_leaves_with_path(eqx.filter(named, eqx.is_inexact_array))
    return [array for path, array in arrays if not _BIASES & {_name(key) for key in path}]


_BIASES = {"bias", "biases"}


def _name(key: Any) -> str:
    return getattr(key, "name", "")
