"""The network with uniform hidden layers, stacked so that compilation does not see depth."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.activations import ACTIVATIONS, Activation
from pccore.layers import Layer
from pccore.losses import OUTPUTS, OutputEnergy
from pccore.parameterisations import PARAMETERISATIONS, Scalings
from pccore.validation import require_at_least


@dataclass(frozen=True)
class NetworkConfig:
    """A fully connected network of `depth` = H hidden layers of `width` = N units.

    It has L = H + 1 weight matrices: W_1 (N, D), H - 1 hidden ones (N, N), W_L (K, N); no biases.
    Layer l is f_l(z) = a_l W_l phi(z) + tau_l z, with phi the identity in the first layer and
    tau = 1 between hidden layers when `residual` (thesis eq. 5.1).

    Attributes:
        input_size: D.
        output_size: K.
        width: N.
        depth: H, the number of hidden layers.
        activation: phi, a name in `pccore.ACTIVATIONS`.
        residual: skip connections between hidden layers.
        parameterisation: a name in `pccore.PARAMETERISATIONS`.
        output: the output energy, a name in `pccore.OUTPUTS`.

    Raises:
        ValueError: a size below 1, or a name that its registry does not hold.
    """

    input_size: int
    output_size: int
    width: int
    depth: int
    activation: str = "relu"
    residual: bool = True
    parameterisation: str = "mupc"
    output: str = "mse"

    def __post_init__(self) -> None:
        require_at_least(self, 1, "input_size", "output_size", "width", "depth")
        for registry, name in (
            (ACTIVATIONS, self.activation),
            (PARAMETERISATIONS, self.parameterisation),
            (OUTPUTS, self.output),
        ):
            registry[name]

    @property
    def phi(self) -> Activation:
        """The activation function."""
        return ACTIVATIONS[self.activation]

    @property
    def scalings(self) -> Scalings:
        """The premultipliers a_1, a_l, a_L."""
        return PARAMETERISATIONS[self.parameterisation].scalings(self)

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the clamped output."""
        return OUTPUTS[self.output]

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        N = self.width
        return N * self.input_size + (self.depth - 1) * N * N + self.output_size * N


class Network(eqx.Module):
    """Weights of a `NetworkConfig`; also the shape that their gradients have.

    Attributes:
        first: W_1.
        hidden: W_2 .. W_H, stacked.
        last: W_L.
        config: sizes, activation, scalings (static).
    """

    first: Float[Array, "N D"]
    hidden: Float[Array, "H-1 N N"]
    last: Float[Array, "K N"]
    config: NetworkConfig = eqx.field(static=True)

    @classmethod
    def create(cls, config: NetworkConfig, key: Array) -> "Network":
        """Draw initial weights by the law of `config.parameterisation`."""
        parameterisation = PARAMETERISATIONS[config.parameterisation]
        N, D, K, H = config.width, config.input_size, config.output_size, config.depth
        noise = parameterisation.noise(key, (config.parameters,))
        first, hidden, last = jnp.split(noise, [N * D, N * D + (H - 1) * N * N])
        return cls(
            first=parameterisation.weights(first.reshape(N, D)),
            hidden=parameterisation.weights(hidden.reshape(H - 1, N, N)),
            last=parameterisation.weights(last.reshape(K, N)),
            config=config,
        )

    def drive(self, x: Float[Array, "B D"]) -> Float[Array, "B N"]:
        """f_1(x), the prediction of the first hidden layer; it never changes during inference."""
        return self.config.scalings.first * (x @ self.first.T)

    def readout(self, z: Float[Array, "B N"]) -> Float[Array, "B K"]:
        """f_L(z), the prediction of the output by the last hidden layer."""
        return self.config.scalings.last * (self.config.phi.phi(z) @ self.last.T)

    def forward(self, x: Float[Array, "B D"]) -> Float[Array, "H B N"]:
        """Activities of a forward pass: z_1 = f_1(x), z_l = f_l(z_{l-1})."""

        def layer(z: Array, W: Array) -> tuple[Array, Array]:
            z = self._step(z, W)
            return z, z

        first = self.drive(x)
        _, rest = jax.lax.scan(layer, first, self.hidden)
        return jnp.concatenate([first[None], rest])

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """The output of a forward pass, in the memory of one layer."""

        def layer(z: Array, W: Array) -> tuple[Array, None]:
            return self._step(z, W), None

        last, _ = jax.lax.scan(layer, self.drive(x), self.hidden)
        return self.readout(last)

    def _step(self, z: Float[Array, "B N"], W: Float[Array, "N N"]) -> Float[Array, "B N"]:
        """f_l(z) of a hidden layer with weights W."""
        prediction = self.config.scalings.hidden * (self.config.phi.phi(z) @ W.T)
        return prediction + z if self.config.residual else prediction

    def layers(self) -> list[Layer]:
        """The same network as a general sequence of layers, the form that `pccore.energy` takes."""
        a, config = self.config.scalings, self.config
        first = Layer(self.first, a.first, ACTIVATIONS["linear"].phi, skip=False)
        hidden = [Layer(W, a.hidden, config.phi.phi, skip=config.residual) for W in self.hidden]
        return [first, *hidden, Layer(self.last, a.last, config.phi.phi, skip=False)]
