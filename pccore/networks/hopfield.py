"""The Hopfield-like network of equilibrium propagation, and its energy."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.losses import OutputEnergy
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig
from pccore.networks.mirroring import require_activation_first
from pccore.networks.stacked import Network, NetworkConfig
from pccore.relaxation import Scalar, gradient_steps
from pccore.validation import require_at_least, require_positive

Activities = tuple[Float[Array, "H B N"], Float[Array, "B K"]]
"""z_1 .. z_H and z_L. The output is an activity too."""

MOST_UNITS = 4096


@dataclass(frozen=True)
class HopfieldConfig(AbstractNetworkConfig):
    """A network whose prediction is the minimum of an energy, trained by `EquilibriumPropagation`.

    E = (1/B) sum_i [ sum_{l=1}^L 1/2 ||z_l||^2 - sum_{l=1}^L s_l . (a_l W_l s_{l-1} + b_l)
                      + nudge C(y, z_L) ],   s_0 = x,  s_l = phi(z_l),  s_L = z_L

    with C the output energy. For linear networks this is thesis eq. C.21, for others the
    Hopfield-like energy of Scellier and Bengio (2017). Connections are symmetric: unlike in
    predictive coding, z_l depends on z_{l+1} in the free phase (nudge 0) too, and the free
    equilibrium is not a forward pass.

    E is not always convex (C.2.5). In a linear network, large weights give the Hessian negative
    eigenvalues, and descent diverges with any step size. Initial weights of every parameterisation
    do so from two hidden layers on; see `HopfieldNetwork.hessian`. A bounded phi bounds E from
    below: descent with a small enough step converges, but the limit may depend on the start. A unit
    at which phi' is zero, as with ReLU below zero, decays to zero and stays there.

    Attributes:
        network: sizes, activation, scalings, output energy C.
        steps: gradient steps of `predict`, from a forward pass towards the free equilibrium.
        rate: their size, z <- z - rate dE/dz, for the energy of each sample.

    Raises:
        ValueError: the network has skip connections, precisions or decay, which this energy does
            not have; `steps` is below 1; or the rate is not positive.
    """

    network: NetworkConfig
    steps: int = 50
    rate: float = 0.5

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps")
        require_positive(self, "rate")
        require_activation_first(self.network, "equilibrium propagation needs")
        if self.network.residual or self.network.precisions or self.network.activity_decay:
            raise ValueError(
                "equilibrium propagation has no skip connections, precisions or activity decay: "
                "residual must be false and the others left out"
            )

    @property
    def kind(self) -> str:
        return "equilibrium"

    @property
    def input_size(self) -> int:
        """D."""
        return self.network.input_size

    @property
    def output_size(self) -> int:
        """K."""
        return self.network.output_size

    @property
    def output_energy(self) -> OutputEnergy:
        """C."""
        return self.network.output_energy

    def parts(self) -> dict[str, AbstractNetworkConfig]:
        return {"network": self.network}

    def build(self, key: Array) -> "HopfieldNetwork":
        """Return a network with the initial weights of its parameterisation."""
        return HopfieldNetwork(self.network.build(key), self)


class HopfieldNetwork(AbstractNetwork):
    """The weights of a `HopfieldConfig`; gradients of the weights have the same class."""

    weights: Network
    config: HopfieldConfig = eqx.field(static=True)

    def weight_matrices(self) -> list[Float[Array, "n *_"]]:
        """Return the weight matrices of the layers between which they are symmetric."""
        return self.weights.weight_matrices()

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Predict the output of the free phase after `config.steps` steps."""
        free = self.relaxation(x, jnp.zeros((len(x), self.config.output_size), x.dtype), 0.0)
        rate = jnp.asarray(self.config.rate, x.dtype)
        return free.activities(free.descent(rate, self.config.steps))[1]

    def relaxation(
        self, x: Float[Array, "B D"], y: Float[Array, "B K"], nudge: float | None = None
    ) -> "HopfieldRelaxation":
        """Return the energy of one phase: free if `nudge` is 0, else nudged towards `y`.

        A negative nudge is away from `y`.

        Raises:
            ValueError: there is no nudge, because the learning rule has no phases.
        """
        if nudge is None:
            raise ValueError(
                "a HopfieldNetwork has a free and a nudged phase: train it with "
                "EquilibriumPropagation"
            )
        hidden = self.weights.forward(x)
        return HopfieldRelaxation(self, (hidden, self.weights.readout(hidden[-1])), x, y, nudge)

    def hessian(self, nudge: float = 0.0) -> Float[Array, "units units"]:
        """Return the dense d2E/dz2 of one sample of a linear network (thesis eq. C.23).

        Its diagonal blocks are I, and (1 + nudge) I for the output. The blocks between layers l and
        l - 1 are -a_l W_l. The equilibrium is H^-1 b, with b = (a_1 W_1 x, 0, .., 0, nudge y)
        (eq. C.24).

        Raises:
            ValueError: the network is not linear, its output energy is not "mse", or it has more
                than 4096 units.
        """
        config = self.config.network
        if (config.activation, config.output) != ("linear", "mse"):
            raise ValueError(
                "the Hessian is constant in linear networks with mse output only, got "
                f"{config.activation} with {config.output}"
            )
        N, H, K = config.width, config.depth, config.output_size
        if N * H + K > MOST_UNITS:
            raise ValueError(
                f"a dense Hessian may have {MOST_UNITS} units at most, got {N * H + K}"
            )
        a, W = config.scalings, self.weights
        below = jnp.zeros((N * H + K, N * H + K), W.first.dtype)
        for layer in range(1, H):
            at = slice(layer * N, (layer + 1) * N), slice((layer - 1) * N, layer * N)
            below = below.at[at].set(-a.hidden * W.hidden[layer - 1])
        below = below.at[H * N :, (H - 1) * N : H * N].set(-a.last * W.last)
        diagonal = jnp.ones(N * H + K, below.dtype).at[H * N :].add(nudge)
        return jnp.diag(diagonal) + below + below.T


class HopfieldRelaxation(eqx.Module):
    """E of a batch as a function of the departure from a forward pass; see `HopfieldConfig`.

    Attributes:
        network: the weights.
        start: activities of a forward pass, all layers and the output.
        x: the clamped input.
        y: the target towards which the output is nudged.
        nudge: the weight of C.
    """

    network: HopfieldNetwork
    start: Activities
    x: Float[Array, "B D"]
    y: Float[Array, "B K"]
    nudge: float

    @property
    def batch_size(self) -> int:
        return len(self.x)

    def origin(self) -> Activities:
        return jax.tree.map(jnp.zeros_like, self.start)

    def loss(self) -> Float[Array, ""]:
        """Return C at the forward pass; the network's prediction is the free equilibrium."""
        return self.loss_at(self.origin())

    def loss_at(self, departure: Activities) -> Float[Array, ""]:
        """Return C at zbar + departure."""
        _, output = self.activities(departure)
        return jnp.mean(self.network.config.output_energy.per_sample(self.y, output))

    def gradient(self, departure: Activities) -> Activities:
        """Return B dE/dz (thesis eq. C.22)."""
        return jax.grad(lambda d: self.batch_size * jnp.sum(self.energies(d)))(departure)

    def energies(self, departure: Activities) -> Float[Array, " L"]:
        """Return 1/2 ||z_l||^2 - s_l . (a_l W_l s_{l-1} + b_l) by layer, plus nudge C for z_L."""
        return self._energies(self.network.weights, departure)

    def activities(self, departure: Activities) -> Activities:
        return jax.tree.map(jnp.add, self.start, departure)

    def weight_gradients(self, departure: Activities) -> HopfieldNetwork:
        """Return dE/dW at fixed activities, one side of the contrast."""
        slopes = jax.grad(lambda w: jnp.sum(self._energies(w, departure)))(self.network.weights)
        return replace(self.network, weights=slopes)

    def descent(self, rate: Scalar, steps: int) -> Activities:
        return gradient_steps(self, self.origin(), rate, steps)

    def _energies(self, weights: Network, departure: Activities) -> Float[Array, " L"]:
        z, output = self.activities(departure)
        s = weights.config.phi.phi(z)
        into = weights.config.scalings.hidden * jnp.einsum("lbn,lmn->lbm", s[:-1], weights.hidden)
        if weights.biases is not None:
            into = into + weights.biases.hidden[1:, None]
        into = jnp.concatenate([weights.drive(self.x)[None], into])
        hidden = jnp.mean(jnp.sum(0.5 * z**2 - s * into, axis=-1), axis=-1)
        top = jnp.sum(0.5 * output**2 - output * weights.readout(z[-1]), axis=-1)
        return jnp.append(hidden, jnp.mean(top) + self.nudge * self.loss_at(departure))
