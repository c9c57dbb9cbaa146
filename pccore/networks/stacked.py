"""The network with uniform hidden layers: its weights, and inference on a batch."""

from dataclasses import dataclass
from functools import reduce

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.activations import ACTIVATIONS
from pccore.layers import WeightsFirstLayer
from pccore.networks import descent, linear_solution, pallas_descent
from pccore.networks.base import AbstractNetwork
from pccore.networks.clamping import clamp
from pccore.networks.general import SequenceRelaxation
from pccore.networks.linearisation import StackedLinearisation
from pccore.networks.local import StackEnergy
from pccore.networks.stack import Stack, StackConfig, StackT
from pccore.registry import Registry
from pccore.relaxation import Advance, Memory, Scalar

ACTIVATION_FIRST, WEIGHTS_FIRST = "activation_first", "weights_first"
ORDERS = Registry("order", {ACTIVATION_FIRST: "W phi(z)", WEIGHTS_FIRST: "phi(W z)"})
"""What a layer applies to its input first."""


@dataclass(frozen=True)
class NetworkConfig(StackConfig):
    """A fully connected network of `depth` = H hidden layers of `width` = N units.

    It has L = H + 1 weight matrices: W_1 (N, D), H - 1 hidden ones (N, N), W_L (K, N).
    Layer l is f_l(z) = a_l W_l phi(z) + tau_l z, with phi the identity in the first layer, and
    tau = 1 between hidden layers if `residual` (thesis eq. 5.1). A network of width 1 is a chain
    (section 3.6.1).

    Attributes:
        input_size: D.
        output_size: K.
        width: N.
        depth: H, the number of hidden layers.
        activation: phi, a name in `pccore.ACTIVATIONS`, or a function or `Activation` of your own.
        residual: whether hidden layers have skip connections.
        parameterisation: a name in `pccore.PARAMETERISATIONS`, or one of your own.
        output: the output energy, a name in `pccore.OUTPUTS`.
        skip: n, the number of layers that a skip connection spans: z_{l-n} is added to the
            prediction of hidden layer l, for l > n (eq. C.20).
        bias: whether every layer adds a bias, initially zero.
        precisions: p_1 .. p_L, the weight of each layer's energy (figure A.5); () means all ones.
        activity_decay: alpha of the term alpha/2 ||z_l||^2 of every hidden layer (C.3.3).
        initial_std: standard deviation of all initial weights, N(0, std^2), to start near a saddle
            at the origin; or one for each of W_1 .. W_L, to start near other saddles (B.4). None
            for the distribution of the parameterisation.
        initial_range: bounds of a uniform distribution of all initial weights, as in ReLU chains
            (A.1.2). None for the distribution of the parameterisation; excludes `initial_std`.
        layers_per_product: number of layers in one product of gradient descent on activities
            (`pccore.networks.descent`); 0 means all moving layers. It changes the layout of the
            arithmetic, not the result. A divisor of H; needs `skip` 1.
        order: "activation_first" for the layers above, or "weights_first" for
            f_l(z) = phi(a_l W_l z) + tau_l z with phi the identity in the last layer (eq. 2.1, in
            chapters 2 to 4 and 6). Linear networks are the same in both.

    Raises:
        ValueError: a size is below 1; a name is unknown; precisions are not L positive numbers; the
            decay or a standard deviation is negative; the number of standard deviations is neither
            1 nor L; the range is not increasing or is given with a standard deviation; `skip` is
            above 1 without `residual`; `layers_per_product` does not divide the depth or is given
            with a longer skip; or `order` is unknown, or "weights_first" is given with
            `layers_per_product` or a longer skip.
    """

    order: str = ACTIVATION_FIRST

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ORDERS:
            raise ValueError(f"order must be {' or '.join(ORDERS)}, got {self.order!r}")
        if self.order == WEIGHTS_FIRST:
            for name, usual in (("skip", 1), ("layers_per_product", 0)):
                if (value := getattr(self, name)) != usual:
                    raise ValueError(f"order {WEIGHTS_FIRST} needs {name} {usual}, got {value}")

    @property
    def in_waves(self) -> bool:
        """False if every step of inference differentiates the whole energy."""
        return not self._applies_weights_first

    @property
    def _applies_weights_first(self) -> bool:
        """Whether the order makes a difference."""
        return self.order == WEIGHTS_FIRST and self.activation != "linear"

    def _of_this_kind(self) -> dict[str, object]:
        return {"order": self.order} if self._applies_weights_first else {}

    @property
    def kind(self) -> str:
        return "stacked"

    def build(self, key: Array) -> "Network":
        """Return a network with the initial weights of its parameterisation."""
        if self._applies_weights_first:
            return WeightsFirstNetwork.create(self, key)
        return Network.create(self, key)


class Network(Stack, AbstractNetwork):
    """The weights of a `NetworkConfig`; gradients of the weights have the same class.

    Attributes:
        first: W_1.
        hidden: W_2 .. W_H, stacked.
        last: W_L.
        biases: b_1 .. b_L, or None.
        config: sizes, activation, scalings (static).
    """

    config: NetworkConfig = eqx.field(static=True)

    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> "StackedRelaxation":
        """Return the energy of a batch; inference starts at the forward pass of `x`."""
        return StackedRelaxation(self, self.forward(x), x, y)


class WeightsFirstNetwork(Network):
    """The weights of a `NetworkConfig` with `order="weights_first"`.

    Its energy differs from that of the usual order: an error passes through phi' before the weights
    instead of after them. Inference is by automatic differentiation.
    """

    def layers(self) -> list[WeightsFirstLayer]:  # type: ignore[override]
        """Return f_1 .. f_L."""
        config = self.config
        a, phi, identity = config.scalings, config.phi.phi, ACTIVATIONS["linear"].phi
        hidden = [None] * config.depth if self.biases is None else [*self.biases.hidden]
        last = None if self.biases is None else self.biases.last
        return [
            WeightsFirstLayer(self.first, hidden[0], a.first, phi, False),
            *(
                WeightsFirstLayer(W, b, a.hidden, phi, config.residual)
                for W, b in zip(self.hidden, hidden[1:], strict=True)
            ),
            WeightsFirstLayer(self.last, last, a.last, identity, False),
        ]

    def forward(self, x: Float[Array, "B D"]) -> Float[Array, "H B U"]:
        """Return the activities of a forward pass."""
        nodes = [x]
        for layer in self.layers()[:-1]:
            nodes.append(layer(nodes[-1]))
        return jnp.stack(nodes[1:])

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Return the output of a forward pass."""
        return reduce(lambda z, layer: layer(z), self.layers(), x)

    def relaxation(  # type: ignore[override]
        self, x: Float[Array, "B D"], y: Float[Array, "B K"]
    ) -> SequenceRelaxation:
        """Return the energy of a batch; inference starts at the forward pass of `x`."""
        return clamp(self, {0: x, -1: y})


class StackRelaxation(StackEnergy[StackT]):
    """The `Relaxation` of a stack whose input and output are clamped.

    A departure may be restricted to the topmost m hidden layers, those that can have moved.
    """

    def linearised(self, departure: Float[Array, "m B N"] | None = None) -> StackedLinearisation:
        """Linearise the prediction in the errors at this departure; None is the start."""
        return StackedLinearisation.at(self, departure)

    def descent(self, rate: Scalar, steps: int) -> Float[Array, "m B N"]:
        """Take `steps` steps of gradient descent from the start, d <- d - rate B dF/dz."""
        grouped = self.network.config.layers_per_product
        return (descent.by_groups if grouped else descent.by_waves)(self, rate, steps)

    def iterate_from_start(
        self, advance: Advance[Array, Memory], copies: int, memory: Memory, steps: int
    ) -> tuple[tuple[Array, ...], Memory]:
        return descent.in_waves(self, advance, copies, memory, steps)


class StackedRelaxation(StackRelaxation[Network]):
    """The `Relaxation` of a fully connected stack, which has a closed form if it is linear."""

    def descent(self, rate: Scalar, steps: int) -> Float[Array, "m B N"]:
        """Take `steps` steps of gradient descent from the start, d <- d - rate B dF/dz."""
        if pallas_descent.takes(self):
            return pallas_descent.by_lanes(self, rate, steps)
        return super().descent(rate, steps)

    def equilibrium(self) -> Float[Array, "H B N"]:
        """Return the departure at which dF/dz = 0, of linear networks (thesis eq. 5.4)."""
        return linear_solution.solve(self)
