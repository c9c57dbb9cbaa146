"""Abstract base classes of networks and network configurations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.losses import OutputEnergy
from pccore.relaxation import Relaxation

Sized = TypeVar("Sized", bound="SizedConfig")
"""The class of a network; the type checks of the tests do not know `typing.Self`."""


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

    @property
    def kind(self) -> str:
        """What ledgers and exported files call this kind of network."""
        return type(self).__name__

    def parts(self) -> "Mapping[str, AbstractNetworkConfig]":
        """Return the networks that this one contains, by field name, the predicting one first."""
        return {}

    def sized_parts(self) -> "tuple[SizedConfig, ...]":
        """Return the networks in this one that have a width and a depth, the predicting one first.

        A network without parts that has them itself is its only part.
        """
        return tuple(sized for part in self.parts().values() for sized in part.sized_parts())

    def description(self) -> dict[str, object]:
        """Return what a forward pass needs besides the arrays of `to_arrays`; JSON can hold it.

        Of a network of several: its own settings, and a description of each part by the name of its
        field, the predicting one first.
        """
        parts = self.parts()
        own = {name: value for name, value in vars(self).items() if name not in parts}
        sizes = {"input_size": self.input_size, "output_size": self.output_size}
        return own | sizes | {name: part.description() for name, part in parts.items()}

    def own_settings(self) -> dict[str, object]:
        """Return the settings that not every network with a width and a depth has.

        Of a network of several: those of the predicting part, its own, and what differs between the
        predicting part and the others, by the names of their fields.
        """
        parts = self.parts()
        first = next(iter(parts.values()))
        usual = asdict(first)
        found = first.own_settings()
        found |= {name: value for name, value in vars(self).items() if name not in parts}
        for name, part in parts.items():
            if part is not first:
                settings = asdict(part)
                found[name] = {k: v for k, v in settings.items() if v != usual[k]}
        return found


@dataclass(frozen=True)
class SizedConfig(AbstractNetworkConfig):
    """A network for every width and depth, with one path from the input to the output.

    Attributes:
        width: N, what the family of networks takes as the size of a layer.
        depth: H, what it takes as the number of hidden layers.
        activation: name of the activation; "own" where the layers have their own.
        parameterisation: name of the parameterisation; "own" where the layers have their own.
        residual: whether hidden layers have skip connections; None where that is up to the layers.
        bias: whether all layers have biases.
        skip: the number of layers that a skip connection spans.
        output: name of the output energy.
        precisions: p_1 .. p_L, or () for ones.
        activity_decay: alpha of the term alpha/2 ||z||^2 of hidden activities.
    """

    if TYPE_CHECKING:

        @property
        def width(self) -> int: ...

        @property
        def depth(self) -> int: ...

        @property
        def activation(self) -> str: ...

        @property
        def parameterisation(self) -> str: ...

        @property
        def residual(self) -> bool | None: ...

        @property
        def bias(self) -> bool: ...

        @property
        def skip(self) -> int: ...

        @property
        def output(self) -> str: ...

        @property
        def precisions(self) -> tuple[float, ...]: ...

        @property
        def activity_decay(self) -> float: ...

    @property
    def output_precision(self) -> float:
        """p_L."""
        return self.precisions[-1] if self.precisions else 1.0

    @property
    def takes_parameterisation(self) -> bool:
        """Whether the layers take their scalings and initial weights from a parameterisation."""
        return True

    @property
    def in_waves(self) -> bool:
        """Whether inference computes only the layers that an error can have reached."""
        return True

    @property
    @abstractmethod
    def hidden(self) -> int:
        """The number of nodes between layers, whose activities are inferred."""

    @property
    @abstractmethod
    def weights(self) -> int:
        """The number of weights; layers of one's own count their biases too."""

    @property
    @abstractmethod
    def products(self) -> tuple[int, int, int]:
        """Multiply-adds of f_1, f_2 .. f_H and f_L in the forward pass of one sample."""

    @property
    @abstractmethod
    def hidden_products(self) -> int:
        """Multiply-adds between hidden layers, up to those of one layer."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Numbers that a forward pass of one sample has in memory, weights not counted."""

    def sized_parts(self) -> "tuple[SizedConfig, ...]":
        return (self,)

    def under(self: Sized, parameterisation: str) -> Sized:
        """Return the network under a parameterisation.

        Raises:
            ValueError: the layers have scalings of their own.
        """
        if not self.takes_parameterisation:
            raise ValueError(
                f"the layers of {self.kind} have scalings and initial weights of their own: choose "
                "the variant pc or bp, or give the function the parameter parameterisation"
            )
        return self._with(parameterisation=parameterisation)

    def without_energy(self: Sized) -> Sized:
        """Return the network without the settings of an energy, which backpropagation has not."""
        return self._with(precisions=(), activity_decay=0.0)

    def _with(self: Sized, **settings: object) -> Sized:
        return cast(Sized, replace(cast(Any, self), **settings))  # of fields that subclasses have


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


NetworkT = TypeVar("NetworkT", bound=AbstractNetwork)


def describe(config: AbstractNetworkConfig) -> dict[str, object]:
    """Return what a forward pass needs besides the arrays of `to_arrays`; JSON can hold it.

    Of a stack: its sizes, `activation`, the premultipliers `scalings` (a_1 as `first`, a_2 .. a_H
    as `hidden`, a_L as `last`), `skip` (hidden layers that a skip connection spans, None without
    them), `bias`, the output energy `output`, and what only this kind of stack has, as `kernel`. Of
    a network of stacks: its own settings, and a description of each stack by the name of its field,
    the predicting one first. Of layers of your own: the name of the function that makes them, with
    the digest of its code, and what it is called with.
    """
    return config.description()
