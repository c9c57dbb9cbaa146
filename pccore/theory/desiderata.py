"""The four desiderata of a stable parameterisation (thesis 5.5), as numbers with thresholds.

1. The forward pass is stable at initialisation: activities are of order one at every layer,
   whatever the width and depth.
2. The forward pass stays stable in training.
3. Inference is well-conditioned at initialisation: the activity Hessian's condition number is of
   order one, whatever the width and depth.
4. The condition number stays the same in training.

The thesis states orders of magnitude and claims neither necessity nor sufficiency of the four. It
gives no thresholds; the ones here are this package's choice.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pccore.networks.stacked import Network
from pccore.theory.conditioning import conditioning
from pccore.training.probe import Probe

FACTOR = 3.0
"""Allowed factor of a stable quantity. Linear muPC networks grow by sqrt(e) over their depth."""

CONDITION_NUMBER = 100.0
"""Largest condition number of a well-conditioned Hessian: gradient descent at its best rate then
takes about 100 steps to lower the error along the flattest direction by e^2."""


@dataclass(frozen=True)
class Desideratum:
    """One desideratum: a number and its threshold.

    Attributes:
        value: the number; NaN if it could not be computed, which satisfies no threshold.
        threshold: the largest value that satisfies the desideratum.
        meaning: description of the value.
    """

    value: float
    threshold: float
    meaning: str

    @property
    def satisfied(self) -> bool:
        """Whether the value is at most the threshold."""
        return self.value <= self.threshold


@dataclass(frozen=True)
class Desiderata:
    """The desiderata of one network, and of the same network after training if given.

    Attributes:
        forward_norms: RMS activity of every hidden layer at initialisation.
        trained_norms: RMS activity after training; None without a trained network.
        stable_forward_pass: desideratum 1.
        stable_forward_pass_in_training: desideratum 2; None without a trained network.
        well_conditioned: desideratum 3.
        stable_conditioning_in_training: desideratum 4; None without a trained network.
    """

    forward_norms: tuple[float, ...]
    trained_norms: tuple[float, ...] | None
    stable_forward_pass: Desideratum
    stable_forward_pass_in_training: Desideratum | None
    well_conditioned: Desideratum
    stable_conditioning_in_training: Desideratum | None


def forward_norms(network: Network, x: Float[Array, "B D"]) -> Float[Array, " H"]:
    """Return the root mean square activity of every hidden layer of a forward pass (fig. C.30).

    The mean is over units, so that the result is of order one if ||z_l|| is of order sqrt(N).
    """
    return jnp.sqrt(jnp.mean(network.forward(x) ** 2, axis=(1, 2)))


def desiderata(
    network: Network,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    trained: Network | None = None,
    *,
    factor: float = FACTOR,
    condition_number: float = CONDITION_NUMBER,
) -> Desiderata:
    """Evaluate a network at initialisation and, if given, the same network after training.

    Stability in width and depth means, in one network, stability from the input to every layer: the
    RMS activity may be up to `factor` times larger or smaller than that of the input.

    Args:
        network: the network at initialisation.
        x: inputs of a batch, not all zero.
        y: targets of the batch.
        trained: the network at any later time; repeat the call to follow a training.
        factor: threshold of desiderata 1, 2 and 4.
        condition_number: threshold of desideratum 3.
    """
    norms, kappa = _measure(network, x, y)
    scale = float(jnp.sqrt(jnp.mean(x**2)))
    stable = Desideratum(
        _factor(norms / scale), factor, "largest factor between RMS activities and input"
    )
    well = Desideratum(kappa, condition_number, "condition number of the activity Hessian")
    if trained is None:
        return Desiderata(tuple(norms.tolist()), None, stable, None, well, None)
    later, later_kappa = _measure(trained, x, y)
    still = replace(stable, value=_factor(later / scale), meaning=f"{stable.meaning}, trained")
    steady = Desideratum(
        _factor(np.array([later_kappa / kappa])), factor, "change of the condition number, a factor"
    )
    return Desiderata(tuple(norms.tolist()), tuple(later.tolist()), stable, still, well, steady)


def _measure(network: Network, x: Array, y: Array) -> tuple[np.ndarray, float]:
    """Return RMS activities and the condition number."""
    norms, kappa = _measured(network, x, y)
    return np.asarray(norms, float), float(kappa)


@jax.jit
def _measured(network: Network, x: Array, y: Array) -> tuple[Array, Array]:
    return forward_norms(network, x), conditioning(network, x, y).condition_number


def _factor(ratios: np.ndarray) -> float:
    """Return the largest factor between a ratio and 1, in either direction; NaN if one is NaN."""
    with np.errstate(divide="ignore"):
        return float(np.max(np.maximum(ratios, 1 / ratios)))


@dataclass(frozen=True)
class ForwardNorms(Probe[Network]):
    """Probe: RMS activities of a forward pass over the hidden layers (fig. C.30)."""

    source: ClassVar[str] = "thesis 5.5, figure C.30"

    def measure(
        self,
        network: Network,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `forward_rms_first`, `_last`, `_max` and `_min`; y and beta are not used."""
        norms = forward_norms(network, x)
        return {
            "forward_rms_first": norms[0],
            "forward_rms_last": norms[-1],
            "forward_rms_max": jnp.max(norms),
            "forward_rms_min": jnp.min(norms),
        }
