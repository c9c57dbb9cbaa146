"""Hybrid predictive coding: an amortiser initialises inference in a generator."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.losses import OutputEnergy
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.mirroring import require_mirrored
from pccore.networks.stacked import Network, NetworkConfig, StackedRelaxation
from pccore.relaxation import (
    Advance,
    Memory,
    Scalar,
    gradient_steps,
    inner_by_sample,
    scaled_by_sample,
    steps_from,
)


@dataclass(frozen=True)
class HybridConfig(AbstractNetworkConfig):
    """An amortiser from inputs to labels and a generator from labels to inputs (thesis 6.3.1, 7.3;
    Tscshantz et al., 2023).

    `PredictiveCoding` trains both, with any inference scheme. With x an image and y its label, f_l
    the layers of the generator, z_0 = y, and g_l the layers of the amortiser:

    1. The amortiser's forward pass u_l = g_l(u_{l-1}), u_0 = x, initialises the generator's
       activities: z_l = u_{H+1-l}.
    2. Inference lowers the generator's energy, with input y and output x clamped:
       F = (1/B) sum_i [ sum_{l=1}^H 1/2 ||z_l - f_l(z_{l-1})||^2 + E_x(x, f_L(z_H)) ].
    3. The generator learns by dF/dW at the inferred z*. Each layer of the amortiser learns to
       predict z*, by the gradient of (1/B) sum_i [ sum_{l=1}^H 1/2 ||z*_{H+1-l} - g_l(u_{l-1})||^2
       + E(y, g_L(u_H)) ], in which every u_{l-1} is a constant.

    Attributes:
        amortiser: the network with D inputs and K outputs. It predicts, and its loss is the
            training loss.
        generator: the network with K inputs and D outputs, of the same depth and width, such as
            `pccore.mirror(amortiser)`.

    Raises:
        ValueError: the layers do not match; or the amortiser, whose activities are never inferred,
            has precisions or decay.
    """

    amortiser: NetworkConfig
    generator: NetworkConfig

    def __post_init__(self) -> None:
        require_mirrored(self.amortiser, self.generator, "amortiser and generator")
        if self.amortiser.precisions or self.amortiser.activity_decay:
            raise ValueError(
                "an amortiser infers no activities: give it no precisions and no activity decay"
            )

    @property
    def kind(self) -> str:
        return "hybrid"

    @property
    def input_size(self) -> int:
        """D."""
        return self.amortiser.input_size

    @property
    def output_size(self) -> int:
        """K."""
        return self.amortiser.output_size

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the amortiser's output."""
        return self.amortiser.output_energy

    def parts(self) -> dict[str, AbstractNetworkConfig]:
        return {"amortiser": self.amortiser, "generator": self.generator}

    def build(self, key: Array) -> "HybridNetwork":
        """Return both networks with initial weights."""
        keys = jax.random.split(key)
        return HybridNetwork(self.amortiser.build(keys[0]), self.generator.build(keys[1]), self)


class HybridNetwork(AbstractNetwork):
    """The weights of a `HybridConfig`; gradients of the weights have the same class."""

    amortiser: Network
    generator: Network
    config: HybridConfig = eqx.field(static=True)

    def weight_matrices(self) -> list[Float[Array, "n *_"]]:
        """Return the weight matrices of the amortiser, then those of the generator."""
        return [*self.amortiser.weight_matrices(), *self.generator.weight_matrices()]

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Predict labels by the amortiser, without inference."""
        return self.amortiser.predict(x)

    def generate(self, y: Float[Array, "B K"]) -> Float[Array, "B D"]:
        """Predict inputs by the generator."""
        return self.generator.predict(y)

    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> "HybridRelaxation":
        """Return the generator's energy; inference starts at the amortiser's guess."""
        return HybridRelaxation(self, self.generator.relaxation(y, x), self.amortiser.forward(x))


class HybridRelaxation(eqx.Module):
    """The generator's energy as a function of departures from the amortiser's guess.

    Attributes:
        network: both networks.
        generated: the generator's relaxation from its forward pass; its input is y.
        guess: u_1 .. u_H, the amortiser's forward pass.
    """

    network: HybridNetwork
    generated: StackedRelaxation
    guess: Float[Array, "H B N"]

    @property
    def batch_size(self) -> int:
        return self.generated.batch_size

    def origin(self) -> Float[Array, "H B N"]:
        return jnp.zeros_like(self.guess)

    def loss(self) -> Float[Array, ""]:
        """Return the loss of the amortiser's prediction."""
        prediction = self.network.amortiser.readout(self.guess[-1])
        return jnp.mean(self.network.config.output_energy.per_sample(self.generated.x, prediction))

    def gradient(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        return self.generated.gradient(departure + self._offset)

    def energies(self, departure: Float[Array, "H B N"]) -> Float[Array, " L"]:
        return self.generated.energies(departure + self._offset)

    def activities(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return z_1 .. z_H in the generator's order, z_1 next to the label."""
        return self.guess[::-1] + departure

    def weight_gradients(self, departure: Float[Array, "H B N"]) -> HybridNetwork:
        """Return dF/dW of the generator and the gradient of the amortiser's loss."""
        return replace(
            self.network,
            amortiser=self._amortiser_gradients(departure[::-1]),
            generator=self.generated.weight_gradients(departure + self._offset),
        )

    def descent(self, rate: Scalar, steps: int) -> Float[Array, "H B N"]:
        return gradient_steps(self, self.origin(), rate, steps)

    def iterate_from_start(
        self, advance: Advance[Array, Memory], copies: int, memory: Memory, steps: int
    ) -> tuple[tuple[Array, ...], Memory]:
        return steps_from(advance, (self.origin(),) * copies, memory, steps)

    def inner(self, a: Float[Array, "H B N"], b: Float[Array, "H B N"]) -> Float[Array, " B"]:
        return inner_by_sample(a, b, axis=1)

    def scaled(
        self, departure: Float[Array, "H B N"], factors: Float[Array, " B"]
    ) -> Float[Array, "H B N"]:
        return scaled_by_sample(departure, factors, axis=1)

    def departure_of(self, errors: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        return self.generated.departure_of(errors) - self._offset

    def errors_of(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        return self.generated.errors_of(departure + self._offset)

    def error_gradient(self, errors: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        return self.generated.error_gradient(errors)

    def equilibrium(self) -> Float[Array, "H B N"]:
        """Return the solution of a linear generator, which does not depend on the guess."""
        return self.generated.equilibrium() - self._offset

    @property
    def _offset(self) -> Float[Array, "H B N"]:
        """Return the guess as a departure from the generator's forward pass."""
        return self.guess[::-1] - self.generated.start

    def _amortiser_gradients(self, e: Float[Array, "H B N"]) -> Network:
        """Return the amortiser's gradients; inference has changed its guess by the errors `e`."""
        amortiser, x, y = self.network.amortiser, self.generated.y, self.generated.x
        a, B = amortiser.config.scalings, self.batch_size
        seen = amortiser.config.phi.phi(self.guess)
        e_last = amortiser.config.output_energy.error(y, amortiser.readout(self.guess[-1]))
        biases = amortiser.biases
        if biases is not None:
            biases = replace(biases, hidden=-jnp.mean(e, 1), last=-jnp.mean(e_last, 0))
        return replace(
            amortiser,
            first=e[0].T @ x * (-a.first / B),
            hidden=jnp.einsum("lbm,lbn->lmn", e[1:], seen[:-1]) * (-a.hidden / B),
            last=e_last.T @ seen[-1] * (-a.last / B),
            biases=biases,
        )
