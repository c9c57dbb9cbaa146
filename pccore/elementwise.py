"""The interface of activations, and the activation that any elementwise function is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, Float


class Change(NamedTuple):
    """The response of an activation to a departure d from z.

    Attributes:
        change: phi(z + d) - phi(z), accurate relative to its own size (as far as float32 resolves
            phi', where phi saturates).
        slope: phi'(z + d); at a kink, the value that automatic differentiation takes.
    """

    change: Float[Array, "*shape"]
    slope: Float[Array, "*shape"]


class Activation(ABC):
    """An elementwise nonlinearity."""

    @abstractmethod
    def phi(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return phi(z)."""

    @abstractmethod
    def respond(self, z: Float[Array, "*shape"], d: Float[Array, "*shape"]) -> Change:
        """Return the `Change` from z to z + d."""


class FunctionActivation(Activation):
    """The activation that a function phi is, with changes and slopes by automatic differentiation.

    phi(z + d) - phi(z) is d times the mean of phi' over [z, z + d], by Radau's rule with three
    nodes, one of them z + d, where the slope is needed in any case. It is accurate relative to d
    where phi is smooth. Where rule and subtraction differ by more than the rounding error of the
    subtraction, phi is not smooth enough for the rule (at a kink, or for a large d), and the
    subtraction is taken. The error is thus never above a few units in the last place of phi.

    Args:
        phi: an elementwise function.
    """

    def __init__(self, phi: Callable[[Array], Array]) -> None:
        self._phi = phi

    def phi(self, z: Array) -> Array:
        return self._phi(z)

    def respond(self, z: Array, d: Array) -> Change:
        z, d = jnp.broadcast_arrays(z, d)
        return Change(_change(self._phi, z, d), _slope(self._phi, z + d))


_RADAU = tuple(((4 - root) / 10, (16 - root) / 36) for root in (math.sqrt(6), -math.sqrt(6)))
"""Inner nodes in [0, 1] of Radau's rule and their weights; the node at 1 has the weight 1/9. It is
exact for polynomials of degree 4 (the nodes of Radau IIA of order 5; Hairer and Wanner, Solving
Ordinary Differential Equations II, section IV.5)."""

_ROUNDINGS = 4
"""Units in the last place by which a subtraction may be wrong: of z + d and of two values of phi"""


def _slope(phi: Callable[[Array], Array], z: Array) -> Array:
    return jax.jvp(phi, (z,), (jnp.ones_like(z),))[1]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _change(phi: Callable[[Array], Array], z: Array, d: Array) -> Array:
    after, last = jax.jvp(phi, (z + d,), (jnp.ones_like(z),))
    before = phi(z)
    mean, steepest = last / 9, jnp.abs(last)
    for node, weight in _RADAU:
        slope = _slope(phi, z + d * node)
        mean, steepest = mean + weight * slope, jnp.maximum(steepest, jnp.abs(slope))
    rule = d * mean
    size = jnp.abs(before) + jnp.abs(after) + steepest * (jnp.abs(z) + jnp.abs(d))
    rounding = _ROUNDINGS * jnp.finfo(d.dtype).eps * size
    return jnp.where(jnp.abs(rule - (after - before)) <= rounding, rule, after - before)


@_change.defjvp
def _change_of_change(
    phi: Callable[[Array], Array], points: tuple[Array, Array], moves: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Differentiate exactly, instead of the rule: the slope at z + d, and at z with minus."""
    (z, d), (dz, dd) = points, moves
    after = _slope(phi, z + d)
    return _change(phi, z, d), after * dd + (after - _slope(phi, z)) * dz


_MIXING = ("dot_general", "conv_general_dilated", "sort", "rev", "gather", "scatter", "fft",
           "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")  # fmt: skip
_SHAPE = (2, 3)


def require_elementwise(phi: Callable[[Array], Array]) -> None:
    """Check by tracing, without computing, that a function can be an activation.

    Raises:
        ValueError: it cannot be traced or differentiated, changes the shape or the type of its
            argument, or makes an entry of its result from several of its argument.
    """
    z = jax.ShapeDtypeStruct(_SHAPE, jnp.float32)
    try:
        traced = jax.make_jaxpr(phi)(z)
        result = jax.eval_shape(phi, z)
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"must be a function of one array: {_first_line(error)}") from None
    if not isinstance(result, jax.ShapeDtypeStruct) or result.shape != _SHAPE:
        got = getattr(result, "shape", type(result).__name__)
        raise ValueError(f"must return an array of the shape of its argument, {_SHAPE}, got {got}")
    if result.dtype != jnp.float32:
        raise ValueError(f"must keep the type of its argument, float32, got {result.dtype}")
    try:
        slope = jax.eval_shape(partial(_slope, phi), z)
        jax.eval_shape(jax.grad(lambda z: jnp.sum(phi(z))), z)
    except Exception as error:
        raise ValueError(f"must be differentiable: {_first_line(error)}") from None
    if slope.dtype != jnp.float32:
        raise ValueError("must be differentiable: its slope is not a float")
    if mixing := _mixing(traced.jaxpr):
        raise ValueError(f"must act on each entry by itself, but has the operation {mixing}")


def _mixing(jaxpr: Jaxpr) -> str | None:
    """Return an operation that makes an entry from several entries of the argument, if any."""
    for step in jaxpr.eqns:
        for value in step.params.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr) and (found := _mixing(inner)):
                return found
        whole = any(getattr(each.aval, "shape", ()) == _SHAPE for each in step.invars)
        kept = all(getattr(each.aval, "shape", ()) == _SHAPE for each in step.outvars)
        if whole and (not kept or step.primitive.name in _MIXING):
            return str(step.primitive.name)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
