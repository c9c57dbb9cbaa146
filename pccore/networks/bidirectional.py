"""Bidirectional predictive coding: both neighbours predict every layer."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
from jaxtyping import Array, Float

from pccore.linalg.blocktridiagonal import BlockTridiagonal
from pccore.losses import OutputEnergy
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.linear_solution import activity_hessian
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
from pccore.validation import require_at_least


@dataclass(frozen=True)
class BidirectionalConfig(AbstractNetworkConfig):
    """Two networks, inputs to labels and labels to inputs, with shared activities (thesis 7.3;
    Oliviers et al., 2025).

    `PredictiveCoding` trains it with any inference scheme that descends activities. With z_0 = x
    and z_L = y clamped, f_l the forward (discriminative) layers and g_l the backward (generative)
    layers, inference starts at the forward network's forward pass and minimises

        F = (1/B) sum_i [ alpha_f (sum_{l=1}^H 1/2 ||z_l - f_l(z_{l-1})||^2 + E(y, f_L(z_H)))
                      + alpha_b (sum_{l=1}^H 1/2 ||z_l - g_{l+1}(z_{l+1})||^2 + E_x(x, g_1(z_1))) ]

    The weights of both networks descend F at the inferred activities. With alpha_b = 0 this is
    predictive coding with the forward network.

    Attributes:
        forward: the network with D inputs and K outputs. It predicts, and its loss is the training
            loss.
        backward: the network with K inputs and D outputs, of the same depth and width, such as
            `pccore.mirror(forward)`.
        forward_weight: alpha_f.
        backward_weight: alpha_b. An input has many units, so the forward network may learn only
            with alpha_b much smaller than alpha_f.

    Raises:
        ValueError: the layers do not match, a weight is negative, or both weights are zero.
    """

    forward: NetworkConfig
    backward: NetworkConfig
    forward_weight: float = 1.0
    backward_weight: float = 1.0

    def __post_init__(self) -> None:
        require_mirrored(self.forward, self.backward, "forward and backward network")
        require_at_least(self, 0, "forward_weight", "backward_weight")
        if not self.forward_weight + self.backward_weight > 0:
            raise ValueError("forward_weight and backward_weight must not both be zero")

    @property
    def kind(self) -> str:
        return "bidirectional"

    @property
    def input_size(self) -> int:
        """D."""
        return self.forward.input_size

    @property
    def output_size(self) -> int:
        """K."""
        return self.forward.output_size

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the forward network's output."""
        return self.forward.output_energy

    def parts(self) -> dict[str, AbstractNetworkConfig]:
        return {"forward": self.forward, "backward": self.backward}

    def build(self, key: Array) -> "BidirectionalNetwork":
        """Return both networks with initial weights."""
        keys = jax.random.split(key)
        return BidirectionalNetwork(self.forward.build(keys[0]), self.backward.build(keys[1]), self)


class BidirectionalNetwork(AbstractNetwork):
    """The weights of a `BidirectionalConfig`; gradients of the weights have the same class."""

    forward: Network
    backward: Network
    config: BidirectionalConfig = eqx.field(static=True)

    def weight_matrices(self) -> list[Float[Array, "n *_"]]:
        """Return the weight matrices of the forward network, then those of the backward one."""
        return [*self.forward.weight_matrices(), *self.backward.weight_matrices()]

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Predict labels by a pass of the forward network."""
        return self.forward.predict(x)

    def generate(self, y: Float[Array, "B K"]) -> Float[Array, "B D"]:
        """Predict inputs by a pass of the backward network."""
        return self.backward.predict(y)

    def relaxation(
        self, x: Float[Array, "B D"], y: Float[Array, "B K"]
    ) -> "BidirectionalRelaxation":
        """Return the energy of a batch; inference starts at the forward pass of `x`."""
        return BidirectionalRelaxation(
            self, self.forward.relaxation(x, y), self.backward.relaxation(y, x)
        )


class BidirectionalRelaxation(eqx.Module):
    """The weighted sum of both energies. Departures are from the forward network's forward pass.

    Attributes:
        network: both networks.
        upwards: the relaxation of the forward network.
        downwards: the relaxation of the backward network, whose layers and departures have the
            opposite order.
    """

    network: BidirectionalNetwork
    upwards: StackedRelaxation
    downwards: StackedRelaxation

    @property
    def batch_size(self) -> int:
        return self.upwards.batch_size

    def origin(self) -> Float[Array, "H B N"]:
        return self.upwards.origin()

    def loss(self) -> Float[Array, ""]:
        """Return the loss of the forward network's prediction."""
        return self.upwards.loss()

    def gradient(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        forward, backward = self._weights
        down = self.downwards.gradient(self._mirrored(departure))[::-1]
        return forward * self.upwards.gradient(departure) + backward * down

    def energies(self, departure: Float[Array, "H B N"]) -> Float[Array, " L"]:
        """Return alpha_f times the energy of f_l plus alpha_b times that of g_l, by connection."""
        forward, backward = self._weights
        down = self.downwards.energies(self._mirrored(departure))[::-1]
        return forward * self.upwards.energies(departure) + backward * down

    def activities(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        return self.upwards.activities(departure)

    def weight_gradients(self, departure: Float[Array, "H B N"]) -> BidirectionalNetwork:
        forward, backward = self._weights
        up = self.upwards.weight_gradients(departure)
        down = self.downwards.weight_gradients(self._mirrored(departure))
        return replace(
            self.network,
            forward=jax.tree.map(lambda g: forward * g, up),
            backward=jax.tree.map(lambda g: backward * g, down),
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

    def equilibrium(self) -> Float[Array, "H B N"]:
        """Solve H_z d = -dF/dz of linear networks by blocks, with one step of refinement.

        Raises:
            ValueError: the same errors as `pccore.networks.linear_solution.activity_hessian`.
        """
        forward, backward = self._weights
        up, down = activity_hessian(self.network.forward), activity_hessian(self.network.backward)
        factors = BlockTridiagonal(
            forward * up.diagonal + backward * down.diagonal[::-1],
            forward * up.below + backward * down.below[::-1].mT,
        ).factorise()

        def newton(_: Array, departure: Array) -> Array:
            return departure - factors.solve(self.gradient(departure))

        return jax.lax.fori_loop(0, 2, newton, self.origin())

    @property
    def _weights(self) -> tuple[float, float]:
        config = self.network.config
        return config.forward_weight, config.backward_weight

    def _mirrored(self, departure: Float[Array, "H B N"]) -> Float[Array, "H B N"]:
        """Return the same activities as a departure from the backward network's forward pass."""
        return self.activities(departure)[::-1] - self.downwards.start
