"""Networks of a family of one's own: a function that makes layers for every width and depth."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pccore.activations import ACTIVATIONS
from pccore.networks.base import SizedConfig
from pccore.networks.layered import Layers
from pccore.networks.operations import multiply_adds
from pccore.networks.sequence import GeneralConfig, skeleton
from pccore.own import Named
from pccore.parameterisations import PARAMETERISATIONS
from pccore.registry import kind_of
from pccore.validation import require_at_least

OWN = "own"
"""The activation and the parameterisation of layers that have their own."""

NEEDED = ("width", "depth", "key")
OFFERED = (
    *("input_size", "input_shape", "output_size"),
    *("activation", "parameterisation", "residual", "bias"),
)
"""What a function may take besides `NEEDED`, by the names of its parameters."""


@dataclass(frozen=True)
class NetworkFunction:
    """A function that makes the layers of a network, with its options.

        def network(width, depth, key, input_size, output_size):
            sizes = [input_size, *[width] * depth, output_size]
            keys = jax.random.split(key, depth + 1)
            layers = [eqx.nn.Linear(*pair, key=k) for pair, k in zip(pairwise(sizes), keys)]
            return [layers[0], *map(after_relu, layers[1:])]

    It is called with what it has parameters for: `width`, `depth` and `key` are needed; it may take
    `input_size` D, `output_size` K, `input_shape` (a sample is reshaped to it), `activation` (a
    function of an array), `parameterisation` (a name), `residual` and `bias`. Everything else that
    it takes is an option.

    It returns a list of layers f_1 .. f_L, or `equinox.nn.Sequential`: predictive coding has a node
    between every two of them. Or it returns one Equinox module, which has no nodes and which
    backpropagation trains. A layer takes one sample.

    Attributes:
        name: its name, with the digest of its code if that identifies it. Functions are equal if
            their names and options are.
        function: the function.
        options: the values of its options, by name.
    """

    name: str
    function: Callable[..., object] = field(compare=False, repr=False)
    options: tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        require_network_function(self.function)

    def takes(self, parameter: str) -> bool:
        """Return whether the function has this parameter."""
        return parameter in inspect.signature(self.function).parameters

    def __call__(self, given: Mapping[str, object]) -> Layers:
        """Return f_1 .. f_L.

        Args:
            given: values for `NEEDED` and `OFFERED`; the function gets those that it takes.

        Raises:
            ValueError: the function fails, or returns something else.
        """
        taken = {name: value for name, value in given.items() if self.takes(name)}
        try:
            made = self.function(**taken, **dict(self.options))
        except Exception as error:
            cause = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"the family {self.name} failed at width {given['width']} and depth "
                f"{given['depth']}: {type(error).__name__}: {cause}"
            ) from error
        return self._layers(made)

    def _layers(self, made: object) -> Layers:
        if isinstance(made, eqx.nn.Sequential):
            return made.layers
        if isinstance(made, list | tuple):
            for place, layer in enumerate(made, 1):
                if not callable(layer):
                    raise ValueError(
                        f"the family {self.name} must return layers that can be called with one "
                        f"sample; layer {place} is {_what(layer)}"
                    )
            return made
        if isinstance(made, eqx.Module) and callable(made):
            return (made,)
        raise ValueError(
            f"the family {self.name} must return a list of layers or an Equinox module that can be "
            f"called, {kind_of(made)}"
        )


def require_network_function(function: object) -> None:
    """Raise `ValueError` unless a thing is a function that `NetworkFunction` can call."""
    if not callable(function) or isinstance(function, eqx.Module):
        raise ValueError(
            "must be a function of width, depth and key that returns layers, or an Equinox module "
            f"that can be called, {kind_of(function)}"
        )
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ValueError("has parameters that Python does not know") from None
    missing = [name for name in NEEDED if name not in parameters]
    if missing:
        raise ValueError(
            "must have the parameters width, depth and key (for its random weights), and return "
            f"layers or an Equinox module; it has no {' and no '.join(missing)}"
        )


def _what(thing: object) -> str:
    return kind_of(thing).removeprefix("not ").replace("an object of type", "of type")


@dataclass(frozen=True)
class FamilyConfig(GeneralConfig, SizedConfig):
    """The network of a family of one's own at a width and a depth.

    The layers apply scalings and initial weights of their own, unless the function takes
    `parameterisation`.

    Attributes:
        input_shape: shape of one sample; (D,) unless the function takes it.
        output_size: K.
        make: the function that makes the layers.
        width: what the function takes as such.
        depth: what the function takes as such; inference with T = H steps has as many.
        activation: a name in `pccore.ACTIVATIONS`, or a function or `Activation` of your own, where
            the function takes it.
        parameterisation: a name in `pccore.PARAMETERISATIONS`, or one of your own, where the
            function takes it.
        residual: whether there are skip connections, where the function takes it.
        bias: whether there are biases, where the function takes it.

    Raises:
        ValueError: the errors of `GeneralConfig` and `NetworkFunction`, or a name is unknown.
    """

    make: NetworkFunction
    width: int
    depth: int
    activation: Named = OWN
    parameterisation: Named = OWN
    residual: bool | None = None
    bias: bool = False

    def __post_init__(self) -> None:
        require_at_least(self, 1, "width", "depth")
        for registry, name, usual in (
            (ACTIVATIONS, "activation", "relu"),
            (PARAMETERISATIONS, "parameterisation", "mupc"),
        ):
            given = getattr(self, name)
            known = registry.name(usual if given == OWN else given)
            object.__setattr__(self, name, known if self.make.takes(name) else OWN)
        object.__setattr__(self, "residual", self.residual if self.make.takes("residual") else None)
        object.__setattr__(self, "bias", self.make.takes("bias") and self.bias)
        super().__post_init__()

    def layers(self, key: Array) -> Layers:
        given = {
            "key": key,
            "width": self.width,
            "depth": self.depth,
            "input_size": self.input_size,
            "input_shape": self.input_shape,
            "output_size": self.output_size,
            "residual": self.residual,
            "bias": self.bias,
            "parameterisation": self.parameterisation,
        }
        if self.make.takes("activation"):
            given["activation"] = ACTIVATIONS[self.activation].phi
        return self.make(given)

    @property
    def kind(self) -> str:
        """The name of the function."""
        return self.make.name

    @property
    def hidden(self) -> int:
        """The number of nodes between layers, whose activities are inferred."""
        return len(skeleton(self)) - 1

    @property
    def takes_parameterisation(self) -> bool:
        """Whether the function takes a parameterisation."""
        return self.make.takes("parameterisation")

    @property
    def in_waves(self) -> bool:
        """False: every step differentiates the whole energy."""
        return False

    @property
    def weights(self) -> int:
        """The number of numbers in all arrays."""
        return sum(leaf.size for leaf in jax.tree.leaves(skeleton(self)) if hasattr(leaf, "size"))

    @property
    def products(self) -> tuple[int, int, int]:
        first, *others = _costs(self)[0]
        return max(1, first), sum(others[:-1]), sum(others[-1:])

    @property
    def hidden_products(self) -> int:
        return sum(_costs(self)[0][1:])

    @property
    def numbers(self) -> int:
        return _costs(self)[1]

    def description(self) -> dict[str, object]:
        return {
            "input_size": self.input_size,
            "input_shape": self.input_shape,
            "output_size": self.output_size,
            "width": self.width,
            "depth": self.depth,
            "activation": self.activation,
            "parameterisation": self.parameterisation,
            "output": self.output,
            "options": dict(self.make.options),
            "layers": [type(layer).__name__ for layer in skeleton(self)],
        }

    def own_settings(self) -> dict[str, object]:
        hidden = self.precisions[:-1]
        found: dict[str, object] = {"precisions": hidden} if any(p != 1 for p in hidden) else {}
        if self.make.takes("input_shape"):
            found["input_shape"] = self.input_shape
        return found | ({"options": dict(self.make.options)} if self.make.options else {})


@lru_cache(maxsize=256)
def _costs(config: FamilyConfig) -> tuple[Sequence[int], int]:
    """Return the multiply-adds of every layer, and the numbers in all nodes, for one sample."""
    node = jax.ShapeDtypeStruct(config.input_shape, jnp.zeros(()).dtype)
    products, numbers = [], config.input_size
    for layer in skeleton(config):
        traced = eqx.filter_make_jaxpr(lambda layer, z: layer(z))
        jaxpr, node, _ = traced(layer, node)
        products.append(multiply_adds(jaxpr.jaxpr))
        numbers += math.prod(node.shape)
    return tuple(products), numbers
