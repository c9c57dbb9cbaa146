"""The predictive-coding energy of any sequence of layers: the reference for everything faster.

F = (1/B) sum_i [ sum_{l=1}^{H} 0.5 ||z_l - f_l(z_{l-1})||^2 + E(y, f_L(z_H)) ]   (thesis eq. 5.1)

with z_0 = x and E the output energy, by default 0.5 ||y - f_L(z_H)||^2. Gradients of this function
by automatic differentiation define what inference and learning do; the stacked closed forms in
`pccore.local` are tested against them.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.losses import OUTPUTS, OutputEnergy

Map = Callable[[Array], Array]


def layer_energies(
    layers: Sequence[Map],
    activities: Sequence[Float[Array, "B _"]],
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    output: OutputEnergy = OUTPUTS["mse"],
) -> Float[Array, " L"]:
    """The energy of each layer, averaged over the batch.

    Args:
        layers: f_1 .. f_L, any callables from one layer's activities to the next one's prediction.
        activities: z_1 .. z_H, the activities free to move.
        x: the clamped input.
        y: the clamped output.
        output: the energy of the output layer.

    Raises:
        ValueError: as many activities as layers less one are needed.
    """
    if len(activities) != len(layers) - 1:
        raise ValueError(
            f"{len(layers)} layers have {len(layers) - 1} activities between them, "
            f"got {len(activities)}"
        )
    predictions = [f(z) for f, z in zip(layers, [x, *activities], strict=True)]
    hidden = [
        0.5 * jnp.mean(jnp.sum((z - p) ** 2, axis=-1))
        for z, p in zip(activities, predictions[:-1], strict=True)
    ]
    return jnp.stack([*hidden, jnp.mean(output.per_sample(y, predictions[-1]))])


def energy(
    layers: Sequence[Map],
    activities: Sequence[Float[Array, "B _"]],
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    output: OutputEnergy = OUTPUTS["mse"],
) -> Float[Array, ""]:
    """The total energy F, the sum of `layer_energies` (same arguments, same errors)."""
    return jnp.sum(layer_energies(layers, activities, x, y, output))
