"""Penalties on weights, whose gradients training adds to those of the learning rule."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.networks.base import AbstractNetwork
from pccore.networks.sequence import SequenceNetwork
from pccore.registry import Registry, subclass_of
from pccore.validation import PositiveFloat, require_bounds


class Penalty(ABC):
    """A cost of the weights themselves. Subclasses are frozen dataclasses."""

    @abstractmethod
    def __call__(self, network: AbstractNetwork) -> Float[Array, ""]:
        """Return the penalty of a network of any kind."""


@dataclass(frozen=True)
class WeightDecay(Penalty):
    """strength/2 sum_l ||W_l||^2, hence strength W_l in the gradient; biases do not decay.

    The penalty is part of the gradient that the optimiser receives: with Adam this is not decoupled
    decay (AdamW).

    Attributes:
        strength: lambda.

    Raises:
        ValueError: `strength` is not positive.
    """

    strength: PositiveFloat

    def __post_init__(self) -> None:
        require_bounds(self)

    def __call__(self, network: AbstractNetwork) -> Float[Array, ""]:
        squares = [jnp.sum(W**2) for W in weights(network)]
        return 0.5 * self.strength * jnp.sum(jnp.stack(squares))


@dataclass(frozen=True)
class Orthogonality(Penalty):
    """strength/2 sum_l ||W_l^T W_l - g^2 I||^2: keeps orthogonal weights orthogonal (thesis C.3.4).

    A wide W_l cannot have orthonormal columns. The gradient is the same with W_l W_l^T in place of
    W_l^T W_l, which pulls a wide W_l to orthonormal rows. A convolution counts as the matrix from
    its patches to its channels.

    Attributes:
        strength: lambda.
        gain: g, to match the `orthogonal` parameterisation: 1.05 for tanh, else 1.

    Raises:
        ValueError: `strength` or `gain` is not positive.
    """

    strength: PositiveFloat
    gain: PositiveFloat = 1.0

    def __post_init__(self) -> None:
        require_bounds(self)

    def __call__(self, network: AbstractNetwork) -> Float[Array, ""]:
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
    "penalty",
    {"weight_decay": WeightDecay, "orthogonality": Orthogonality},
    subclass_of(Penalty),
)
"""Penalties on weights by name."""


def weights(network: AbstractNetwork) -> list[Float[Array, "..."]]:
    """Return the weights of a network of any kind: its arrays except those named as biases.

    A `SequenceNetwork` stores its arrays without names; its `modules()` have them.
    """
    named = network.modules() if isinstance(network, SequenceNetwork) else network
    arrays = jax.tree_util.tree_leaves_with_path(eqx.filter(named, eqx.is_inexact_array))
    return [array for path, array in arrays if not _BIASES & {_name(key) for key in path}]


_BIASES = {"bias", "biases"}


def _name(key: object) -> str:
    return key.name if isinstance(key, jax.tree_util.GetAttrKey) else ""
