"""Abstract base classes of networks and network configurations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.losses import OutputEnergy
from pccore.relaxation import Relaxation


@dataclass(frozen=True)
class AbstractNetworkConfig(ABC):
    """The settings of a network of any kind; a frozen, hashable dataclass.

    Attributes:
        input_size: D, numbers per sample.
        output_size: K.
    """

    if TYPE_CHECKING:
        # Absent at run time, where a property would become the default of a dataclass field.
        @property
        def input_size(self) -> int: ...

        @property
        def output_size(self) -> int: ...

    @property
    @abstractmethod
    def output_energy(self) -> OutputEnergy:
        """The energy of the clamped output."""

    @abstractmethod
    def build(self, key: Array) -> "AbstractNetwork":
        """Return a network with initial weights drawn from `key`."""

    def parts(self) -> "Mapping[str, AbstractNetworkConfig]":
        """Return the networks that this one contains, by field name, the predicting one first."""
        return {}


class AbstractNetwork(eqx.Module):
    """The weights of a network of any kind; gradients of the weights have the same class."""

    if TYPE_CHECKING:

        @property
        def config(self) -> AbstractNetworkConfig: ...

    else:
        config: eqx.AbstractVar[AbstractNetworkConfig]

    def weight_matrices(self) -> list[Float[Array, "n *_"]]:
        """Return the weight matrices W_1 .. W_L in order, those of equal shape stacked.

        By default every array of two or more dimensions counts as one, in the order of the pytree.
        """
        return [leaf[None] for leaf in jax.tree.leaves(self) if jnp.ndim(leaf) > 1]

    @abstractmethod
    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Return the network's outputs."""

    @abstractmethod
    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> Relaxation[PyTree]:
        """Return the energy of a batch, a function of the activities that inference lowers."""
