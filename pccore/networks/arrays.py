"""The weights of a network as named arrays, for files and other programs, and back.

A stack of layers has `layers.0.weight` (W_1) to `layers.H.weight` (W_L), shapes as in `Stack`, and
`layers.0.bias` .. with biases. The stacks in a network of several have the name of their field in
front: `amortiser.layers.0.weight`. Layers of your own have the paths of their fields, as in
`layers.0.weight`, and any other array has the path of its field.
"""

from collections.abc import Mapping
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.sequence import SequenceNetwork, array_names
from pccore.networks.stack import Biases, Stack


def to_arrays(network: AbstractNetwork) -> dict[str, np.ndarray]:
    """Return the weights and biases of a network by name, W_1 first."""
    return {name: np.asarray(array) for name, array in _named(network).items()}


def from_arrays(
    config: AbstractNetworkConfig, arrays: Mapping[str, Array | np.ndarray]
) -> AbstractNetwork:
    """Return the network of `config` with weights and biases from `to_arrays`.

    Raises:
        ValueError: an array is missing, unknown, or has the shape of another network.
    """
    require_arrays(config, arrays)
    tree = eqx.filter_eval_shape(config.build, jax.random.key(0))

    def filled(path: jax.tree_util.KeyPath, leaf: object) -> object:
        prefix = _name(path)
        if isinstance(leaf, Stack):
            return _stack(leaf, prefix, arrays)
        if isinstance(leaf, SequenceNetwork):
            return _sequence(leaf, prefix, arrays)
        return jnp.asarray(arrays[prefix]) if _is_array(leaf) else leaf

    network: AbstractNetwork = jax.tree_util.tree_map_with_path(filled, tree, is_leaf=_is_named)
    return network


def require_arrays(config: AbstractNetworkConfig, arrays: Mapping[str, Array | np.ndarray]) -> None:
    """Raise `ValueError` unless the arrays have the names and shapes of the network's."""
    wanted = array_shapes(config)
    for name in sorted(wanted.keys() ^ arrays.keys()):
        what = "lack" if name in wanted else "have, besides those of the network,"
        raise ValueError(f"the weights {what} {name!r}")
    for name, like in wanted.items():
        array = arrays[name]
        if not jnp.issubdtype(array.dtype, jnp.floating) or array.shape != like.shape:
            raise ValueError(
                f"{name} is {array.dtype} {array.shape}, and the network's has numbers {like.shape}"
            )


def array_shapes(config: AbstractNetworkConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shape and the type of every array of a network, without building it."""

    def named() -> dict[str, Array]:
        return _named(config.build(jax.random.key(0)))

    shapes: dict[str, jax.ShapeDtypeStruct] = jax.eval_shape(named)
    return shapes


def _named(network: AbstractNetwork) -> dict[str, Array]:
    """Return the arrays of a network by name, in order."""
    leaves = jax.tree_util.tree_leaves_with_path(network, is_leaf=_is_named)
    found: dict[str, Array] = {}
    for path, leaf in leaves:
        if isinstance(leaf, Stack):
            found |= _layers(leaf, _name(path))
        elif isinstance(leaf, SequenceNetwork):
            names = (_join(_name(path), n) for names in array_names(leaf.config) for n in names)
            found |= dict(zip(names, jax.tree.leaves(leaf.weights), strict=True))
        elif eqx.is_array(leaf):
            found[_name(path)] = leaf
    return found


def _layers(stack: Stack, prefix: str) -> dict[str, Array]:
    weights = [stack.first, *stack.hidden, stack.last]
    biases = [] if stack.biases is None else [*stack.biases.hidden, stack.biases.last]
    found = {}
    for place, weight in enumerate(weights):
        found[_join(prefix, f"layers.{place}.weight")] = weight
        if biases:
            found[_join(prefix, f"layers.{place}.bias")] = biases[place]
    return found


def _stack(like: Stack, prefix: str, arrays: Mapping[str, Array | np.ndarray]) -> Stack:
    """Return a stack with the shapes of `like` and the arrays of its layers."""
    depth = like.config.depth

    def layer(place: int, kind: str) -> Array:
        return jnp.asarray(arrays[_join(prefix, f"layers.{place}.{kind}")])

    def stacked(places: range, kind: str, shape: tuple[int, ...]) -> Array:
        parts = [np.asarray(layer(place, kind)) for place in places]
        return jnp.asarray(np.stack(parts) if parts else np.zeros(shape, np.float32))

    biases = None
    if like.biases is not None:
        hidden = stacked(range(depth), "bias", like.biases.hidden.shape)
        biases = Biases(hidden, layer(depth, "bias"))
    return replace(
        like,
        first=layer(0, "weight"),
        hidden=stacked(range(1, depth), "weight", like.hidden.shape),
        last=layer(depth, "weight"),
        biases=biases,
    )


def _sequence(
    like: SequenceNetwork, prefix: str, arrays: Mapping[str, Array | np.ndarray]
) -> SequenceNetwork:
    """Return a network of layers of any kind with these arrays."""
    names = array_names(like.config)
    weights = tuple(tuple(jnp.asarray(arrays[_join(prefix, n)]) for n in each) for each in names)
    return replace(like, weights=weights)


def _name(path: jax.tree_util.KeyPath) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _is_named(node: PyTree) -> bool:
    return isinstance(node, Stack | SequenceNetwork)


def _is_array(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
