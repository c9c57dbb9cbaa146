"""Traces of inference: energies, activities and gradients, step by step."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from pccore.inference import InferenceScheme
from pccore.networks.base import AbstractNetwork
from pccore.relaxation import Departure, Relaxation
from pccore.starts import ForwardStart, Start


class Trace(NamedTuple):
    """One inference phase. Entry 0 is the start, entry t follows step t; NaN after the last step.

    Norms are root mean squares over the batch of each sample's Euclidean norm, so that they do not
    depend on the batch size.

    Attributes:
        energies: batch-mean energy of each layer; the sum over layers is F.
        activity_norms: norm of z_l.
        gradient_norms: norm of a sample's own energy gradient B dF/dz, over all layers.
        steps: number of steps taken.
        converged: whether the scheme's own criterion was met; None for schemes without one.
        residual: as in `pccore.Inference`.
    """

    energies: Float[Array, "moments L"]
    activity_norms: Float[Array, "moments H"]
    gradient_norms: Float[Array, " moments"]
    steps: Int[Array, ""] | int
    converged: Bool[Array, ""] | None
    residual: Float[Array, ""] | None


def trace(
    scheme: InferenceScheme,
    network: AbstractNetwork,
    x: Float[Array, "B *D"],
    y: Float[Array, "B K"],
    activity_lr: float | Float[Array, ""],
    *,
    start: Start | None = None,
    key: Array | None = None,
) -> Trace:
    """Infer the activities of one batch and record every step (thesis figures 6.1, C.10, C.11).

    A few numbers per layer and step are kept, no activities.

    Args:
        scheme: any inference scheme.
        network: the weights.
        x: the clamped input.
        y: the clamped output.
        activity_lr: beta, for the batch-mean energy.
        start: the first activities; None is a forward pass.
        key: random key of the start and of noise; None is `jax.random.key(0)`.
    """
    key = jax.random.key(0) if key is None else key
    start = ForwardStart() if start is None else start
    return _trace(scheme, start, network, x, y, jnp.asarray(activity_lr, float), key)


def trace_relaxation(
    scheme: InferenceScheme,
    relaxation: Relaxation[Departure],
    activity_lr: Float[Array, ""],
    departure: Departure | None = None,
) -> Trace:
    """Trace any relaxation from any departure. Call it inside a compiled program."""

    def observe(departure: Departure) -> tuple[Array, Array, Array]:
        return (
            relaxation.energies(departure),
            _layer_norms(relaxation.activities(departure), relaxation.batch_size),
            _norm(relaxation.gradient(departure), relaxation.batch_size),
        )

    inferred = scheme.infer(relaxation, activity_lr, departure, observe)
    energies, activities, gradients = inferred.observed
    return Trace(
        energies, activities, gradients, inferred.steps, inferred.converged, inferred.residual
    )


@partial(jax.jit, static_argnums=(0, 1))
def _trace(
    scheme: InferenceScheme,
    start: Start,
    network: AbstractNetwork,
    x: Array,
    y: Array,
    activity_lr: Array,
    key: Array,
) -> Trace:
    relaxation = network.relaxation(x, y)
    departure = start.departure(relaxation, key)
    return trace_relaxation(scheme.drawing(key), relaxation, activity_lr, departure)


def _layer_norms(activities: PyTree[Array], batch: int) -> Float[Array, " H"]:
    """Return one norm per entry of the stack, or of the tree."""
    if isinstance(activities, jax.Array):
        return jnp.sqrt(jnp.sum(activities**2, axis=tuple(range(1, activities.ndim))) / batch)
    return jnp.stack([_norm(z, batch) for z in jax.tree.leaves(activities)])


def _norm(values: PyTree[Array], batch: int) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(values)) / batch)
