"""The predictive-coding energy of any sequence of layers, the reference for faster code.

F = (1/B) sum_i [ sum_{l=1}^{H} p_l/2 ||z_l - f_l(z_{l-1})||^2 + p_L E(y, f_L(z_H))
                  + sum_{l=1}^{H} alpha/2 ||z_l||^2 ]                              (thesis eq. 5.1)

with z_0 = x, E the output energy, by default 0.5 ||y - f_L(z_H)||^2, precisions p_l = 1 (figure
A.5) and activity decay alpha = 0 (C.3.3) unless given. The gradients of this function by automatic
differentiation define inference and learning. The closed forms in `pccore.networks.local` are
tested against them.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.losses import OUTPUTS, OutputEnergy

Map = Callable[[Array], Array]


def layer_energies(
    layers: Sequence[Map],
    activities: Sequence[Float[Array, "B *_"]],
    x: Float[Array, "B *D"],
    y: Float[Array, "B K"],
    output: OutputEnergy = OUTPUTS["mse"],
    *,
    precisions: Sequence[float] = (),
    activity_decay: float = 0.0,
    skip: int | None = None,
    spans: Sequence[int] = (),
) -> Float[Array, " L"]:
    """Return the energy of each layer, averaged over the batch.

    Args:
        layers: f_1 .. f_L, callables that predict the next layer's activities from a layer's.
        activities: z_1 .. z_H, the free activities.
        x: the clamped input.
        y: the clamped output.
        output: the energy of the output layer.
        precisions: p_1 .. p_L; () means all ones.
        activity_decay: alpha.
        skip: n, where z_{l-n} is added to the prediction of every hidden layer l > n (eq. C.20);
            None if the layers themselves contain all skip connections.
        spans: one for each layer: n, where z_{l-n} is added to its prediction, or 0 for none;
            instead of `skip`.

    Raises:
        ValueError: the number of activities is not one less than the number of layers, or the
            number of precisions is not the number of layers.
    """
    if len(activities) != len(layers) - 1:
        raise ValueError(
            f"{len(layers)} layers have {len(layers) - 1} activities between them, "
            f"got {len(activities)}"
        )
    if precisions and len(precisions) != len(layers):
        raise ValueError(
            f"{len(layers)} layers need {len(layers)} precisions, got {len(precisions)}"
        )
    predictions = [f(z) for f, z in zip(layers, [x, *activities], strict=True)]
    nodes = [x, *activities]
    for place, span in enumerate(spans or _spans(skip, len(layers))):
        if span:
            below = nodes[place + 1 - span].reshape(predictions[place].shape)
            predictions[place] = predictions[place] + below
    hidden = [0.5 * _mean_square(z - p) for z, p in zip(activities, predictions[:-1], strict=True)]
    energies = jnp.stack([*hidden, jnp.mean(output.per_sample(y, predictions[-1]))])
    if precisions:
        energies = energies * jnp.array(precisions, energies.dtype)
    if activity_decay:
        decay = jnp.stack([0.5 * activity_decay * _mean_square(z) for z in activities])
        energies = energies.at[:-1].add(decay)
    return energies


def energy(
    layers: Sequence[Map],
    activities: Sequence[Float[Array, "B *_"]],
    x: Float[Array, "B *D"],
    y: Float[Array, "B K"],
    output: OutputEnergy = OUTPUTS["mse"],
    *,
    precisions: Sequence[float] = (),
    activity_decay: float = 0.0,
    skip: int | None = None,
    spans: Sequence[int] = (),
) -> Float[Array, ""]:
    """Return the total energy F, the sum of `layer_energies` (same arguments, same errors)."""
    return jnp.sum(
        layer_energies(
            layers,
            activities,
            x,
            y,
            output,
            precisions=precisions,
            activity_decay=activity_decay,
            skip=skip,
            spans=spans,
        )
    )


def _spans(skip: int | None, layers: int) -> list[int]:
    """Return the span of every layer: hidden layers l > n have n."""
    return [skip if skip and skip < node < layers else 0 for node in range(1, layers + 1)]


def _mean_square(values: Float[Array, "B *_"]) -> Float[Array, ""]:
    """Return ||values||^2 of a sample, averaged over the batch."""
    return jnp.sum(values**2) / len(values)
