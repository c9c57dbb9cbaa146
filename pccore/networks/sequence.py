"""The general network: any sequence of Equinox layers, inference by automatic differentiation."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.losses import OUTPUTS, OutputEnergy
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.clamping import clamp
from pccore.networks.general import SequenceRelaxation
from pccore.validation import require_at_least

Layers = Sequence[Callable[[Array], Array]]


@dataclass(frozen=True)
class GeneralConfig(AbstractNetworkConfig):
    """A network of L layers of any kind: what they have in common. Its own are given by `layers`.

    The energy is that of `pccore.energy`: thesis eq. 5.1 with any functions f_l. A layer is all
    that lies between two nodes; activations, pooling and the like belong inside of one. Samples are
    flat vectors, as data sets have them, and reach the first layer in `input_shape`.

    Attributes:
        input_shape: of one sample, for example (C, H, W).
        output_size: K.
        output: the output energy, a name in `pccore.OUTPUTS`.
        precisions: p_1 .. p_L, the weight of each layer's energy (figure A.5); () stands for ones.
        activity_decay: alpha of the term alpha/2 ||z_l||^2 of every hidden node (C.3.3).

    Raises:
        ValueError: a size below 1, an unknown output energy, layers that do not fit one another,
            precisions that are not L positive numbers, or a negative decay.
    """

    input_shape: tuple[int, ...]
    output_size: int
    output: str = field(default="mse", kw_only=True)
    precisions: tuple[float, ...] = field(default=(), kw_only=True)
    activity_decay: float = field(default=0.0, kw_only=True)

    skip: ClassVar[int] = 1
    """Skips over several layers are for `NetworkConfig`; shorter ones are part of a layer."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "output_size")
        require_at_least(self, 0, "activity_decay")
        if not self.input_shape or min(self.input_shape) < 1:
            raise ValueError(f"input_shape must be sizes of at least 1, got {self.input_shape}")
        OUTPUTS[self.output]
        depth = len(_skeleton(self))
        if self.precisions and len(self.precisions) != depth:
            raise ValueError(
                f"precisions must be one per layer, {depth}, got {len(self.precisions)}"
            )
        if any(not p > 0 for p in self.precisions):
            raise ValueError(f"precisions must be positive, got {self.precisions}")

    @abstractmethod
    def layers(self, key: Array) -> Layers:
        """f_1 .. f_L, callables on ONE sample, with initial weights drawn from `key`."""

    @property
    def input_size(self) -> int:
        """D, numbers per sample."""
        return math.prod(self.input_shape)

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the clamped output."""
        return OUTPUTS[self.output]

    def build(self, key: Array) -> "SequenceNetwork":
        """A network with initial weights."""
        return SequenceNetwork(tuple(map(_arrays, self.layers(key))), self)


@dataclass(frozen=True)
class SequenceConfig(GeneralConfig):
    """A network of the layers that a function makes: Equinox modules, or any callables.

        def layers(key):
            first, second = jax.random.split(key)
            return [
                eqx.nn.Linear(64, 32, key=first),
                eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh), eqx.nn.Linear(32, 10, key=second)]),
            ]

        network = SequenceConfig((64,), 10, layers)

    All arrays in the layers learn; what their functions capture, and static fields, are constants.
    Configurations are equal when they have the same function, so define it once: another one
    compiles everything again.

    Attributes:
        make: from a key, the layers f_1 .. f_L, for ONE sample.

    Raises:
        ValueError: as `GeneralConfig`, naming the layer that does not fit; a layer with an array
            that is not floating-point, or with weights that only a function of its captures.
    """

    make: Callable[[Array], Layers]

    def layers(self, key: Array) -> Layers:
        return self.make(key)


class SequenceNetwork(AbstractNetwork):
    """Weights of a general network; also the shape that their gradients have.

    Attributes:
        weights: of every layer its arrays, in the order of its pytree.
        config: everything else (static).
    """

    weights: tuple[tuple[Array, ...], ...]
    config: GeneralConfig = eqx.field(static=True)

    def modules(self) -> list[Callable[[Array], Array]]:
        """f_1 .. f_L for one sample, as the configuration gave them, with this one's weights."""
        pairs = zip(_skeleton(self.config), self.weights, strict=True)
        return [_with_arrays(layer, arrays) for layer, arrays in pairs]

    def layers(self) -> list[Callable[[Array], Array]]:
        """f_1 .. f_L for a batch, the form that `pccore.energy` takes; the first takes (B, D)."""
        first, *others = map(jax.vmap, self.modules())
        shape = self.config.input_shape
        return [lambda x: first(x.reshape(len(x), *shape)), *others]

    def forward(self, x: Float[Array, "B D"]) -> tuple[Float[Array, "B *_"], ...]:
        """Activities of a forward pass, z_1 .. z_H."""
        return self._pass(x)[:-1]

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """The output of a forward pass."""
        return self._pass(x)[-1]

    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> SequenceRelaxation:
        """The energy of a batch, to be lowered by inference from the forward pass of `x`."""
        return clamp(self, {0: x, -1: y})

    def _pass(self, x: Array) -> tuple[Array, ...]:
        nodes = [x]
        for layer in self.layers():
            nodes.append(layer(nodes[-1]))
        return tuple(nodes[1:])


def _arrays(layer: Any) -> tuple[Array, ...]:
    return tuple(filter(eqx.is_array, jax.tree.leaves(layer)))


def _with_arrays(layer: Any, arrays: tuple[Array, ...]) -> Any:
    """A layer of a skeleton, with arrays in their places."""
    leaves, structure = jax.tree.flatten(layer)
    supply = iter(arrays)
    return jax.tree.unflatten(structure, [next(supply) if _is_place(x) else x for x in leaves])


def _is_place(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


@lru_cache(maxsize=256)
def _skeleton(config: GeneralConfig) -> tuple[Any, ...]:
    """The layers with the shapes of arrays in their places; checked, once per configuration.

    Activation functions and the like are kept here and not in the network, where those of another
    build would be other static values, and compile everything again.
    """

    def traced(key: Array) -> Layers:
        # Constants that layers capture stay values; what is captured and drawn from the key does
        # not, and `_after` finds it.
        with jax.ensure_compile_time_eval():
            return tuple(config.layers(key))

    layers: tuple[Any, ...] = eqx.filter_eval_shape(traced, jax.random.key(0))
    if not layers:
        raise ValueError("a network needs at least one layer, got none")
    shape, giver, name = config.input_shape, "the input", ""
    for place, layer in enumerate(layers, start=1):
        name = f"layer {place} ({getattr(layer, '__name__', type(layer).__name__)})"
        shape, giver = _after(layer, shape, name, giver), f"layer {place}"
    if shape != (config.output_size,):
        raise ValueError(
            f"{name}, the last, must give the shape ({config.output_size},), got {shape}"
        )
    return layers


def _after(layer: Any, shape: tuple[int, ...], name: str, giver: str) -> tuple[int, ...]:
    """The shape that a layer gives, from the one that it is given."""
    for leaf in filter(_is_place, jax.tree.leaves(layer)):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(
                f"{name} has an array of {leaf.dtype}: only floating-point arrays can learn"
            )
    call = eqx.filter_make_jaxpr(lambda layer, z: layer(z))
    try:
        jaxpr, given, _ = call(layer, jax.ShapeDtypeStruct(shape, jnp.zeros(()).dtype))
    except Exception as error:
        cause = str(error).partition("\n")[0]
        expected = _declared(layer)
        clash = f"expects {expected}, but {giver} gives" if expected else f"cannot take {giver}'s"
        raise ValueError(f"{name} {clash} shape {shape}: {cause}") from error
    if any(isinstance(constant, jax.core.Tracer) for constant in jaxpr.consts):
        raise ValueError(
            f"{name} captures weights, which learning would not find: make them fields of a module"
        )
    if not _is_place(given):
        raise ValueError(f"{name} must give one array, got {type(given).__name__}")
    return given.shape


def _declared(layer: Any) -> str:
    """The size that the first part of a layer with a declared input size expects."""
    sizes = ("in_features", "in_channels")
    parts = jax.tree.leaves(layer, is_leaf=lambda part: any(hasattr(part, size) for size in sizes))
    for part in parts:
        for size in sizes:
            if hasattr(part, size):
                return f"{size} = {getattr(part, size)}"
    return ""
