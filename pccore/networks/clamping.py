"""Clamping: the energy of a batch as a function of any subset of units, with the others fixed.

The nodes of a network are z_0 (input), z_1 .. z_H (hidden) and z_L (output). Any of them, or any of
their units, may be clamped; inference determines the rest (thesis chapter 2, "PCN testing"):

| mode | clamped | free |
|---|---|---|
| discriminative, generative | z_0 and z_L | z_1 .. z_H |
| unsupervised | z_L | z_0 .. z_H |
| completion | any units of any nodes | all other units |

A free input has no prior: the energy has no term for z_0 alone. For a linear network the energy is
convex in z_0, but its Hessian is only positive semidefinite (sections C.2.1, C.2.2).
"""

import operator
from collections.abc import Mapping
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pccore.losses import MeanSquaredError
from pccore.networks.general import SequenceRelaxation, prediction_of
from pccore.networks.layered import LayeredNetwork

T = TypeVar("T")

Values = Mapping[int, Array | np.ndarray]
"""Activities (B, *shape) by node. The input is node 0, the output is node L or -1."""

Clamped = Mapping[int, bool | Array | np.ndarray]
"""Clamped units by node: all (True), none (False), or a boolean mask."""


def clamp(
    network: LayeredNetwork, values: Values, clamped: Clamped | None = None
) -> SequenceRelaxation:
    """Return the energy of a batch as a function of the free units.

    Free units of a node in `values` start at these values, other nodes at a forward pass through
    the nodes below. A free input without values starts at 1 / D in every unit (for labels: no class
    preferred), because ReLU networks have no gradient at zero.

    Args:
        network: any network with `layers()` and `config`.
        values: activities of the nodes that are at least partly clamped.
        clamped: the clamped units of each node in `values`: True for all (the default), False for
            none (the node only starts at its values), or a boolean mask of shape (B, *shape), or
            (*shape) for all samples.

    Raises:
        ValueError: a node does not exist, has another shape or is named twice; a mask is not
            boolean or does not fit its node; there are no values; no unit is free; or the output is
            free and its energy is not "mse", which means that it has no minimum in the output.
    """
    return clamp_resolved(network, *resolve(network, values, clamped))


def resolve(
    network: LayeredNetwork, values: Values, clamped: Clamped | None = None
) -> tuple[dict[int, Array], dict[int, Array | None]]:
    """Check the arguments of `clamp`; return values by node, and the free units by moving node."""
    last = len(network.layers())
    given = {node: _floating(z) for node, z in _by_place(values, last).items()}
    masks = _by_place(clamped or {}, last)
    if not given:
        raise ValueError("nothing is clamped: values must have at least one node")
    if unknown := sorted(masks.keys() - given.keys()):
        raise ValueError(f"node {unknown[0]} has a mask but no values")
    batch = {node: len(z) for node, z in given.items()}
    if len(set(batch.values())) > 1:
        raise ValueError(f"all nodes must have the same batch size, got {batch}")
    free: dict[int, Array | None] = {}
    for node in range(last + 1):
        held = _mask(node, given, masks.get(node, True))
        if not held.all():
            free[node] = jnp.asarray(~held) if held.any() else None
    if not free:
        raise ValueError(f"every unit of nodes 0 to {last} is clamped: nothing is left to infer")
    if last in free and not isinstance(network.config.output_energy, MeanSquaredError):
        raise ValueError(
            "a free output needs the output energy 'mse': "
            f"{type(network.config.output_energy).__name__} has no minimum in the output"
        )
    return given, free


def clamp_resolved(
    network: LayeredNetwork, values: dict[int, Array], free: dict[int, Array | None]
) -> SequenceRelaxation:
    """Return the relaxation; nodes without values start at a forward pass."""
    batch, layers = len(next(iter(values.values()))), network.layers()
    dtype, D = jnp.result_type(*values.values()), network.config.input_size
    nodes: list[Array] = []
    for node in range(len(layers) + 1):
        blank = (
            prediction_of(network, layers, nodes) if nodes else jnp.full((batch, D), 1 / D, dtype)
        )
        z = values.get(node, blank)
        if z.shape != blank.shape:
            raise ValueError(f"node {node} has activities {blank.shape}, got values {z.shape}")
        nodes.append(z)
    return SequenceRelaxation(network, tuple(nodes), tuple(free.values()), tuple(free))


def _by_place(mapping: Mapping[int, T], last: int) -> dict[int, T]:
    """Return the mapping with non-negative node numbers in increasing order."""
    placed: dict[int, T] = {}
    for node, value in mapping.items():
        place = operator.index(node)
        place += last + 1 if place < 0 else 0
        if not 0 <= place <= last:
            raise ValueError(
                f"there is no node {node}: nodes go from 0, the input, to {last}, the output"
            )
        if place in placed:
            raise ValueError(f"node {place} is named twice, as {place} and {place - last - 1}")
        placed[place] = value
    return dict(sorted(placed.items()))


def _floating(z: Array | np.ndarray) -> Array:
    z = jnp.asarray(z)
    return z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(float)


def _mask(node: int, values: dict[int, Array], clamped: bool | Array | np.ndarray) -> np.ndarray:
    """Return the clamped units of a node as a boolean array that broadcasts with its activities."""
    if node not in values:
        return np.array(False)
    mask, shape = np.asarray(clamped), values[node].shape
    if mask.dtype != bool:
        raise ValueError(f"the mask of node {node} must be boolean, got {mask.dtype}")
    if mask.shape not in ((), shape[1:], shape):
        raise ValueError(
            f"the mask of node {node} must have the shape {shape} or {shape[1:]}, got {mask.shape}"
        )
    return mask
