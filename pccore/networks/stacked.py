"""The network with uniform hidden layers: its weights, and inference on a batch."""

from dataclasses import dataclass

import equinox as eqx
from jaxtyping import Array, Float

from pccore.networks import descent, linear_solution
from pccore.networks.base import AbstractNetwork
from pccore.networks.linearisation import StackedLinearisation
from pccore.networks.local import StackEnergy
from pccore.networks.stack import Stack, StackConfig, StackT
from pccore.relaxation import Advance, Memory, Scalar


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

    Raises:
        ValueError: a size is below 1; a name is unknown; precisions are not L positive numbers; the
            decay or a standard deviation is negative; the number of standard deviations is neither
            1 nor L; the range is not increasing or is given with a standard deviation; `skip` is
            above 1 without `residual`; or `layers_per_product` does not divide the depth or is
            given with a longer skip.
    """

    @property
    def kind(self) -> str:
        return "stacked"

    def build(self, key: Array) -> "Network":
        """Return a network with the initial weights of its parameterisation."""
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

    def equilibrium(self) -> Float[Array, "H B N"]:
        """Return the departure at which dF/dz = 0, of linear networks (thesis eq. 5.4)."""
        return linear_solution.solve(self)
