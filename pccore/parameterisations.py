"""Parameterisations: the premultipliers a_l of every layer and the law that initial weights follow.

A layer computes a_l W_l phi(z) + tau_l z (thesis eq. 5.1); table 5.1 defines SP and muPC.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import jax
from jaxtyping import Array, Float

from pccore.registry import Registry

if TYPE_CHECKING:
    from pccore.configs import NetworkConfig


@dataclass(frozen=True)
class Scalings:
    """Premultipliers: `first` a_1, `hidden` a_l for l = 2..H, `last` a_L."""

    first: float
    hidden: float
    last: float


class Parameterisation(Protocol):
    """How a network's layers are scaled and how its weights are drawn."""

    def scalings(self, network: "NetworkConfig") -> Scalings:
        """Premultipliers a_1, a_l, a_L of `network`."""
        ...

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        """What initial weights are made of: independent draws, float32.

        A network draws the noise of all its layers at once: compiling one draw takes a quarter of
        the time that compiling one for each kind of layer does.
        """
        ...

    def weights(self, noise: Float[Array, "... N_out N_in"]) -> Float[Array, "... N_out N_in"]:
        """Initial weights of one layer, or of a stack of layers, from their noise."""
        ...


@dataclass(frozen=True)
class Standard:
    """SP: a_l = 1, Kaiming uniform weights U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (thesis C.4).

    C.4 prints U(-1/N_{l-1}, 1/N_l); PyTorch's default, which it names, has 1/sqrt(fan_in).
    """

    def scalings(self, network: "NetworkConfig") -> Scalings:
        return Scalings(1.0, 1.0, 1.0)

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, shape, minval=-1.0)

    def weights(self, noise: Array) -> Array:
        return noise * noise.shape[-1] ** -0.5


@dataclass(frozen=True)
class StandardGaussian(Standard):
    """SP with Gaussian weights N(0, 1/fan_in) (thesis table 5.1)."""

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)


@dataclass(frozen=True)
class MuPC:
    """muPC: Depth-muP scalings and standard normal weights (thesis table 5.1, section 5.3.1).

    a_1 = D^(-1/2), a_L = N^(-1), and for hidden layers (N L)^(-1/2) with skips, N^(-1/2) without.
    """

    def scalings(self, network: "NetworkConfig") -> Scalings:
        L = network.depth + 1 if network.residual else 1
        return Scalings(
            first=network.input_size**-0.5,
            hidden=(network.width * L) ** -0.5,
            last=1 / network.width,
        )

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)

    def weights(self, noise: Array) -> Array:
        return noise


PARAMETERISATIONS: Registry[Parameterisation] = Registry(
    "parameterisation",
    {"mupc": MuPC(), "sp": Standard(), "sp_gaussian": StandardGaussian()},
)
