"""The network with uniform hidden layers: its weights, and inference on a batch."""

from dataclasses import dataclass

import equinox as eqx
from jaxtyping import Array, Float

from pccore.networks import descent, linear_solution
from pccore.networks.base import AbstractNetwork
from pccore.networks.linearisation import StackedLinearisation
from pccore.networks.local import StackEnergy
from pccore.networks.stack import Stack, StackConfig


@dataclass(frozen=True)
class NetworkConfig(StackConfig):
    """A fully connected network of `depth` = H hidden layers of `width` = N units.

    It has L = H + 1 weight matrices: W_1 (N, D), H - 1 hidden ones (N, N), W_L (K, N).
    Layer l is f_l(z) = a_l W_l phi(z) + tau_l z, with phi the identity in the first layer and
    tau = 1 between hidden layers when `residual` (thesis eq. 5.1). With width 1 it is a chain
    (section 3.6.1).

    Attributes:
        input_size: D.
        output_size: K.
        width: N.
        depth: H, the number of hidden layers.
        activation: phi, a name in `pccore.ACTIVATIONS`.
        residual: skip connections between hidden layers.
        parameterisation: a name in `pccore.PARAMETERISATIONS`.
        output: the output energy, a name in `pccore.OUTPUTS`.
        skip: n, how many layers a skip connection spans: z_{l-n} is added to the prediction of
            hidden layer l, for l > n (eq. C.20).
        bias: whether every layer adds a bias, zero at first.
        precisions: p_1 .. p_L, the weight of each layer's energy (figure A.5); () stands for ones.
        activity_decay: alpha of the term alpha/2 ||z_l||^2 of every hidden layer (C.3.3).
        initial_std: standard deviation of all initial weights, N(0, std^2), as near a saddle at the
            origin, or one for each of W_1 .. W_L, as near other saddles (B.4); None for the law of
            the parameterisation.
        initial_range: the ends of the uniform distribution of all initial weights, as of ReLU
            chains (A.1.2); None as for `initial_std`, beside which it cannot be.

        layers_per_product: how the arithmetic is laid out, not what it computes: gradient descent
            takes so many layers at a time (`pccore.networks.descent`), or, with 0, all that move. A
            divisor of H; needs `skip` 1.

    Raises:
        ValueError: a size below 1, a name that its registry does not hold, precisions that are not
            L positive numbers, a negative decay or standard deviation, other than one or L standard
            deviations, a range that does not rise or is given beside them, `skip` without
            `residual`, or layers per product that do not divide the depth or come with longer
            skips.
    """

    def build(self, key: Array) -> "Network":
        """A network with initial weights by the law of its parameterisation."""
        return Network.create(self, key)


class Network(Stack, AbstractNetwork):
    """Weights of a `NetworkConfig`; gradients of the weights have the same class.

    Attributes:
        first: W_1.
        hidden: W_2 .. W_H, stacked.
        last: W_L.
        biases: b_1 .. b_L, or None.
        config: sizes, activation, scalings (static).
    """

    config: NetworkConfig = eqx.field(static=True)

    def relaxation(self, x: Float[Array, "B D"], y: Float[Array, "B K"]) -> "StackedRelaxation":
        """The energy of a batch, to be lowered by inference from the forward pass of `x`."""
        return StackedRelaxation(self, self.forward(x), x, y)


class StackedRelaxation(StackEnergy[Network]):
    """The `Relaxation` of a stacked network whose input and output are clamped.

    A departure may have entries for the topmost m hidden layers only, those that can have moved.
    """

    def linearised(self, departure: Float[Array, "m B N"] | None = None) -> StackedLinearisation:
        """How the prediction answers to errors at this departure; None is the start."""
        return StackedLinearisation.at(self, departure)

    def descent(self, rate: Float[Array, ""], steps: int) -> Float[Array, "m B N"]:
        """`steps` steps of gradient descent from the start, d <- d - rate B dF/dz."""
        grouped = self.network.config.layers_per_product
        return (descent.by_groups if grouped else descent.by_waves)(self, rate, steps)

    def equilibrium(self) -> Float[Array, "H B N"]:
        """The departure at which dF/dz = 0, of linear networks (thesis eq. 5.4)."""
        return linear_solution.solve(self)
