"""Networks of any sequence of Equinox layers, with inference by automatic differentiation."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pccore.losses import OUTPUTS, OutputEnergy
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.clamping import clamp
from pccore.networks.general import SequenceRelaxation, prediction_of
from pccore.networks.layered import Layers
from pccore.validation import require_at_least


class Skip(eqx.Module):
    """A layer with a skip connection over several layers: z_l is predicted as f(z_{l-1}) + z_{l-n}.

    Without n - 1 nodes in between, for n = 1, write a layer that returns f(z) + z.

    Attributes:
        layer: f, a callable on ONE sample, whose output has the shape of the activities of node
            l - n.
        span: n, at least 1; at most l, where z_0 is the input in its shape.
    """

    layer: Callable[[Array], Array]
    span: int = eqx.field(static=True, default=2)

    def __call__(self, z: Array) -> Array:
        """Return f(z); a network adds the activities below."""
        return self.layer(z)


@dataclass(frozen=True)
class GeneralConfig(AbstractNetworkConfig):
    """The settings of a network of L layers of any kind; subclasses define `layers`.

    The energy is `pccore.energy`: thesis eq. 5.1 with any functions f_l. A layer is everything
    between two nodes, including activation and pooling. Samples are flat vectors, as in data sets,
    and are reshaped to `input_shape` for the first layer.

    Attributes:
        input_shape: shape of one sample, for example (C, H, W).
        output_size: K.
        output: the output energy, a name in `pccore.OUTPUTS`.
        precisions: p_1 .. p_L, the weight of each layer's energy (figure A.5); () means all ones.
        activity_decay: alpha of the term alpha/2 ||z_l||^2 of every hidden node (C.3.3).

    Raises:
        ValueError: a size is below 1, the output energy is unknown, the layers do not fit one
            another, precisions are not L positive numbers, or the decay is negative.
    """

    input_shape: tuple[int, ...]
    output_size: int
    output: str = field(default="mse", kw_only=True)
    precisions: tuple[float, ...] = field(default=(), kw_only=True)
    activity_decay: float = field(default=0.0, kw_only=True)

    skip: ClassVar[int] = 1
    """Always 1: skips are inside layers, or those of `Skip`."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "output_size")
        require_at_least(self, 0, "activity_decay")
        if not self.input_shape or min(self.input_shape) < 1:
            raise ValueError(f"input_shape must be sizes of at least 1, got {self.input_shape}")
        OUTPUTS[self.output]
        depth = len(skeleton(self))
        if self.precisions and len(self.precisions) != depth:
            raise ValueError(
                f"precisions must be one per layer, {depth}, got {len(self.precisions)}"
            )
        if any(not p > 0 for p in self.precisions):
            raise ValueError(f"precisions must be positive, got {self.precisions}")

    @abstractmethod
    def layers(self, key: Array) -> Layers:
        """Return f_1 .. f_L, callables on ONE sample, with initial weights drawn from `key`."""

    @property
    def input_size(self) -> int:
        """D, numbers per sample."""
        return math.prod(self.input_shape)

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the clamped output."""
        return OUTPUTS[self.output]

    @property
    def spans(self) -> tuple[int, ...]:
        """The spans of layers that are `Skip`, 0 for others."""
        return tuple(layer.span if isinstance(layer, Skip) else 0 for layer in skeleton(self))

    def build(self, key: Array) -> "SequenceNetwork":
        """Return a network with initial weights."""
        return SequenceNetwork(tuple(map(_arrays, self.layers(key))), self)


@dataclass(frozen=True)
class SequenceConfig(GeneralConfig):
    """A network whose layers, Equinox modules or any callables, are made by a function.

        def layers(key):
            first, second = jax.random.split(key)
            return [
                eqx.nn.Linear(64, 32, key=first),
                eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh), eqx.nn.Linear(32, 10, key=second)]),
            ]

        network = SequenceConfig((64,), 10, layers)

    All arrays in the layers are trained. Static fields and values captured by functions are
    constants. Configurations are equal if they have the same function object: define it once,
    because every new function compiles everything again.

    Attributes:
        make: a function from a key to the layers f_1 .. f_L, for ONE sample.

    Raises:
        ValueError: the errors of `GeneralConfig`, with the layer that does not fit; or a layer has
            an array that is not floating-point, or weights that are only captured by a function.
    """

    make: Callable[[Array], Layers]

    def layers(self, key: Array) -> Layers:
        return self.make(key)


class SequenceNetwork(AbstractNetwork):
    """The weights of a general network; gradients of the weights have the same class.

    Attributes:
        weights: the arrays of every layer, in the order of its pytree.
        config: everything else (static).
    """

    weights: tuple[tuple[Array, ...], ...]
    config: GeneralConfig = eqx.field(static=True)

    def modules(self) -> list[Callable[[Array], Array]]:
        """Return f_1 .. f_L for one sample: the configuration's layers with these weights."""
        pairs = zip(skeleton(self.config), self.weights, strict=True)
        return [_with_arrays(layer, arrays) for layer, arrays in pairs]

    def layers(self) -> list[Callable[[Array], Array]]:
        """Return f_1 .. f_L for a batch, an argument of `pccore.energy`; f_1 takes (B, D)."""
        first, *others = map(jax.vmap, self.modules())
        shape = self.config.input_shape
        return [lambda x: first(x.reshape(len(x), *shape)), *others]

    def forward(self, x: Float[Array, "B D"]) -> tuple[Float[Array, "B *_"], ...]:
        """Return the activities of a forward pass, z_1 .. z_H."""
        return self._pass(x)[:-1]

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Return the output of a forward pass."""
        return self._pass(x)[-1]

    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> SequenceRelaxation:
        """Return the energy of a batch; inference starts at the forward pass of `x`."""
        return clamp(self, {0: x, -1: y})

    def _pass(self, x: Array) -> tuple[Array, ...]:
        nodes, layers = [x], self.layers()
        for _ in layers:
            nodes.append(prediction_of(self, layers, nodes))
        return tuple(nodes[1:])


def array_names(config: GeneralConfig) -> tuple[tuple[str, ...], ...]:
    """Return the names of the arrays of every layer: the path of their fields in it."""
    return tuple(
        tuple(
            f"layers.{place}.{jax.tree_util.keystr(path, simple=True, separator='.')}".rstrip(".")
            for path, leaf in jax.tree_util.tree_leaves_with_path(layer)
            if _is_place(leaf)
        )
        for place, layer in enumerate(skeleton(config))
    )


def _arrays(layer: PyTree) -> tuple[Array, ...]:
    return tuple(filter(eqx.is_array, jax.tree.leaves(layer)))


def _with_arrays(layer: PyTree, arrays: tuple[Array, ...]) -> PyTree:
    """Return a layer of a skeleton with arrays in place of their shapes."""
    leaves, structure = jax.tree.flatten(layer)
    supply = iter(arrays)
    return jax.tree.unflatten(structure, [next(supply) if _is_place(x) else x for x in leaves])


def _is_place(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


@lru_cache(maxsize=256)
def skeleton(config: GeneralConfig) -> tuple[PyTree, ...]:
    """Check the layers and return them with shapes in place of arrays, once per configuration.

    Activation functions are kept here, not in the network: those of another build would be
    different static values, which would compile everything again.
    """

    def traced(key: Array) -> Layers:
        # Captured constants stay values. Captured draws from the key become tracers, which
        # `_after` finds.
        with jax.ensure_compile_time_eval():
            return tuple(config.layers(key))

    layers: tuple[PyTree, ...] = eqx.filter_eval_shape(traced, jax.random.key(0))
    if not layers:
        raise ValueError("a network needs at least one layer, got none")
    shape, giver, name = config.input_shape, "the input", ""
    nodes = [shape]
    for place, layer in enumerate(layers, start=1):
        name = f"layer {place} ({getattr(layer, '__name__', type(layer).__name__)})"
        shape, giver = _after(layer, shape, name, giver), f"layer {place}"
        if isinstance(layer, Skip):
            _require_same_shape(layer.span, nodes, shape, name)
        nodes.append(shape)
    if shape != (config.output_size,):
        raise ValueError(
            f"{name}, the last, must give the shape ({config.output_size},), got {shape}"
        )
    return layers


def _require_same_shape(
    span: int, nodes: Sequence[tuple[int, ...]], shape: tuple[int, ...], name: str
) -> None:
    """Refuse a skip connection from no node, or from one of another shape."""
    if not 1 <= span <= len(nodes):
        raise ValueError(f"{name} must have a span of 1 to {len(nodes)}, got {span}")
    if nodes[-span] != shape:
        raise ValueError(
            f"{name} has the shape {shape}, and node {len(nodes) - span}, which it adds, "
            f"{nodes[-span]}"
        )


def _after(layer: PyTree, shape: tuple[int, ...], name: str, giver: str) -> tuple[int, ...]:
    """Return the output shape of a layer for an input shape."""
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
        expected = _declared(layer, shape)
        clash = f"expects {expected}, but {giver} gives" if expected else f"cannot take {giver}'s"
        raise ValueError(f"{name} {clash} shape {shape}: {cause}") from error
    if any(isinstance(constant, jax.core.Tracer) for constant in jaxpr.consts):
        raise ValueError(
            f"{name} captures weights, which would not be trained: make them fields of a module"
        )
    if not _is_place(given):
        raise ValueError(f"{name} must give one array, got {type(given).__name__}")
    return given.shape


def _declared(layer: PyTree, shape: tuple[int, ...]) -> str:
    """Return the input size of the first part of a layer that declares another one, else ''."""
    sizes = ("in_features", "in_channels")
    parts = jax.tree.leaves(layer, is_leaf=lambda part: any(hasattr(part, size) for size in sizes))
    for part in parts:
        for size in sizes:
            if hasattr(part, size):
                declared = getattr(part, size)
                return "" if declared in shape else f"{size} = {declared}"
    return ""
