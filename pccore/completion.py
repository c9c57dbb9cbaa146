"""Completion: clamp some nodes or units of a network and infer the others."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pccore.inference import InferenceScheme
from pccore.networks.clamping import Clamped, Values, clamp_resolved, resolve
from pccore.networks.general import SequenceRelaxation
from pccore.networks.layered import LayeredNetwork


class Completion(NamedTuple):
    """Inferred activities, and how inference ended.

    Attributes:
        activities: z_0 .. z_L; clamped units have their given values.
        energies: the energy of each layer, averaged over the batch; their sum is F.
        steps: number of gradient evaluations or iterations.
        converged: whether the scheme's own criterion was met; None for schemes without one.
    """

    activities: tuple[Float[Array, "B *_"], ...]
    energies: Float[Array, " L"]
    steps: Int[Array, ""] | int
    converged: Bool[Array, ""] | None


def complete(
    network: LayeredNetwork,
    values: Values,
    scheme: InferenceScheme,
    activity_lr: float,
    clamped: Clamped | None = None,
    *,
    key: Array | None = None,
) -> Completion:
    """Clamp some units and infer the others: min F over the free units (thesis chapter 2).

    The choice of clamped units decides the task: classify an image, complete half of one, or
    find its latents.

        complete(network, {-1: images}, scheme, beta).activities[0]                # labels, latents
        complete(network, {-1: images}, scheme, beta, {-1: visible}).activities[-1]  # whole images

    Args:
        network: any network with `layers()` and `config`.
        values: activities by node: 0 is the input, -1 the output. Other nodes are free.
        scheme: the inference scheme of the free units.
        activity_lr: beta, for the batch-mean energy: a sample moves by beta/B of its own gradient.
        clamped: the clamped units of a node in `values`: True (the default), False or a boolean
            mask. Units that are not clamped start at their values. See `pccore.clamp`.
        key: random key of the noise of `Langevin`; None is `jax.random.key(0)`.

    Raises:
        ValueError: as for `pccore.clamp`.
    """
    key = jax.random.key(0) if key is None else key
    beta = jnp.asarray(activity_lr, float)
    return _complete(scheme, network, *resolve(network, values, clamped), beta, key)


@partial(jax.jit, static_argnames="scheme")
def _complete(
    scheme: InferenceScheme,
    network: LayeredNetwork,
    values: dict[int, Array],
    free: dict[int, Array | None],
    activity_lr: Float[Array, ""],
    key: Array,
) -> Completion:
    relaxation: SequenceRelaxation = clamp_resolved(network, values, free)
    inference = scheme.drawing(key).infer(relaxation, activity_lr)
    return Completion(
        activities=relaxation.nodes(inference.departure),
        energies=relaxation.energies(inference.departure),
        steps=inference.steps,
        converged=inference.converged,
    )
