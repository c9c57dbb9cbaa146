"""The distance between predictive coding and backpropagation: Theorem 1 (thesis 5.7, C.2.6).

The equilibrated energy of a linear network is its loss up to a rescaling (eqs. C.25, C.26),

    F* = (1/2B) sum_i r_i^T S^-1 r_i,    S = I / p_L + sum_{l=1}^H J_l J_l^T / p_l,

where r = y - f(x), and J_l is the output's response to an error of layer l. S = I gives the loss.
For unit precisions and any residuals

    1 <= loss / F* <= ||S||,    ||S - I|| <= tr(S - I).

At initialisation, independent weights give E S exactly, at any width and depth. For muPC with skips

    E tr(S - I) / K = (L / N) ((1 + 1/L)^H - 1) < (e - 1) L / N,

which bounds the distance from backpropagation in probability, by Markov's inequality. This is
Theorem 1 with its constant. For SP with Gaussian weights and skips it is 2^H - 1, at any width.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Float

from pccore.networks.stacked import Network, NetworkConfig
from pccore.theory.equilibrated import equilibrated_energy
from pccore.theory.random_matrices import initial_variance
from pccore.training.probe import Probe


def expected_rescaling(config: NetworkConfig) -> float:
    """Return E tr S / K at initialisation; E S is this times the identity.

    Let s^2 = a^2 b N for the hidden layers. With skips over n layers and weights of symmetric sign,
    the mean square of an error grows in j layers by u_j = s^2 u_{j-1} + tau u_{j-n}, u_0 = 1, so

        E S = [1 / p_L + a_L^2 b_L N sum_{l=1}^H u_{H-l} / p_l] I

    Raises:
        ValueError: the activation is not "linear", the output energy is not "mse", there is
            activity decay, or the initial weights are not independent.
    """
    needs = {"activation": "linear", "output": "mse", "activity_decay": 0}
    for key, needed in needs.items():
        if (value := getattr(config, key)) != needed:
            raise ValueError(f"the expected rescaling needs {key} {needed!r}, got {value!r}")
    variance, a = initial_variance(config) * config.width, config.scalings
    growth = [1.0]
    for j in range(1, config.depth):
        skipped = growth[j - config.skip] if config.residual and j >= config.skip else 0
        growth.append(a.hidden**2 * variance * growth[-1] + skipped)
    *hidden, output = config.precisions or (1.0,) * (config.depth + 1)
    total = sum(u / p for u, p in zip(reversed(growth), hidden, strict=True))
    return 1 / output + a.last**2 * variance * total


@dataclass(frozen=True)
class LossEnergyRatio(Probe[Network]):
    """Probe: the loss, the equilibrated energy, and their ratio (figs. 5.6, C.33, C.34).

    It applies to linear networks with squared-error output. A ratio of 1 means that predictive
    coding computes the gradients of backpropagation.
    """

    source: ClassVar[str] = "thesis 5.7, C.2.6"

    def measure(
        self,
        network: Network,
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Return `loss`, `equilibrated_energy` and `loss_energy_ratio`; beta is not used.

        Raises:
            ValueError: as for `equilibrated_energy`.
        """
        loss, energy = network.relaxation(x, y).loss(), equilibrated_energy(network, x, y)
        return {"loss": loss, "equilibrated_energy": energy, "loss_energy_ratio": loss / energy}
