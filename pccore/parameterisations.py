"""Parameterisations: the premultipliers a_l and the distribution of initial weights.

A layer computes a_l W_l phi(z) + tau_l z (thesis eq. 5.1); table 5.1 defines SP and muPC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from types import MappingProxyType
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.linalg import lapack
from pccore.registry import Registry, kind_of


@dataclass(frozen=True)
class Scalings:
    """Premultipliers: `first` is a_1, `hidden` is a_l for l = 2..H, `last` is a_L."""

    first: float
    hidden: float
    last: float


@dataclass(frozen=True)
class FanIns:
    """Weights of one unit of a layer: of the first, of hidden layers, of the last.

    D, N and N in a fully connected network (table 5.1). A unit of a convolution has a weight for
    every place of its kernel.
    """

    first: int
    hidden: int
    last: int


@runtime_checkable
class StackShape(Protocol):
    """The settings of a `pccore.NetworkConfig` that determine scalings and initial weights."""

    @property
    def fan_ins(self) -> FanIns: ...

    @property
    def depth(self) -> int: ...

    @property
    def activation(self) -> str: ...

    @property
    def residual(self) -> bool: ...


@runtime_checkable
class Parameterisation(Protocol):
    """The scaling of a network's layers and the distribution of its initial weights."""

    def scalings(self, network: StackShape) -> Scalings:
        """Return the premultipliers a_1, a_l, a_L of `network`."""
        ...

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draw independent float32 numbers, from which `initial` makes weights.

        A network draws the noise of all its layers at once, which compiles in a quarter of the time
        of one draw for each kind of layer.
        """
        ...

    def initial(
        self, noise: Float[Array, "... N_out N_in"], network: StackShape
    ) -> Float[Array, "... N_out N_in"]:
        """Return the initial weights of one layer, or of a stack of layers, from their noise."""
        ...

    def variance(self, fan_in: int) -> float | None:
        """Return b_l, the variance of weights with `fan_in` inputs; None if they are dependent."""
        ...


@dataclass(frozen=True)
class Standard:
    """SP: a_l = 1, Kaiming uniform weights U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (thesis C.4).

    C.4 prints U(-1/N_{l-1}, 1/N_l), but names PyTorch's default, whose bound is 1/sqrt(fan_in).
    """

    def scalings(self, network: StackShape) -> Scalings:
        return Scalings(1.0, 1.0, 1.0)

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, shape, minval=-1.0)

    def initial(self, noise: Array, network: StackShape) -> Array:
        return noise * noise.shape[-1] ** -0.5

    def variance(self, fan_in: int) -> float | None:
        return 1 / (3 * fan_in)


@dataclass(frozen=True)
class StandardGaussian(Standard):
    """SP with Gaussian weights N(0, 1/fan_in) (thesis table 5.1)."""

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)

    def variance(self, fan_in: int) -> float | None:
        return 1 / fan_in


@dataclass(frozen=True)
class MuPC:
    """muPC: Depth-muP scalings and standard normal weights (thesis table 5.1, section 5.3.1).

    a_1 = D^(-1/2), a_L = N^(-1), and for hidden layers (N L)^(-1/2) with skips, N^(-1/2) without.
    """

    def scalings(self, network: StackShape) -> Scalings:
        L = network.depth + 1 if network.residual else 1
        return Scalings(
            first=network.fan_ins.first**-0.5,
            hidden=(network.fan_ins.hidden * L) ** -0.5,
            last=1 / network.fan_ins.last,
        )

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)

    def initial(self, noise: Array, network: StackShape) -> Array:
        return noise

    def variance(self, fan_in: int) -> float | None:
        return 1.0


@dataclass(frozen=True)
class NeuralTangent(MuPC):
    """NTP: muPC with a_L = N^(-1/2), the last layer of the neural tangent limit.

    From the published code of the thesis's experiments; table 5.1 does not have it.
    """

    def scalings(self, network: StackShape) -> Scalings:
        return replace(super().scalings(network), last=network.fan_ins.last**-0.5)


@dataclass(frozen=True)
class Orthogonal:
    """Orthogonal weights, W^T W = g^2 I or W W^T = g^2 I, and a_l = 1 (thesis C.3.4, fig. C.30).

    The gain g preserves the size of activities through the activation: 1.05 for tanh (from the
    published code of the thesis's experiments; the thesis names no gain), 1 otherwise.
    Meant for networks without skip connections; with them, activities double at every layer.
    """

    gains: ClassVar[Mapping[str, float]] = MappingProxyType({"tanh": 1.05})

    def scalings(self, network: StackShape) -> Scalings:
        return Scalings(1.0, 1.0, 1.0)

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)

    def initial(self, noise: Array, network: StackShape) -> Array:
        tall = noise.shape[-2] >= noise.shape[-1]
        each = jnp.vectorize(lapack.qr, signature="(m,n)->(m,n),(n,n)")
        Q, R = each(noise if tall else noise.mT)
        # without the signs Q would not be uniformly distributed (Mezzadri, 2007)
        Q = Q * jnp.sign(jnp.diagonal(R, axis1=-2, axis2=-1))[..., None, :]
        return self.gains.get(network.activation, 1.0) * (Q if tall else Q.mT)

    def variance(self, fan_in: int) -> float | None:
        return None


def adopt(thing: object) -> Parameterisation:
    """Return the parameterisation that a user's class or object is. Raises `ValueError`."""
    made = thing() if isinstance(thing, type) and not _required(thing) else thing
    if isinstance(made, type) or not isinstance(made, Parameterisation):
        raise ValueError(
            "must be a parameterisation, with scalings, noise, initial and variance, "
            f"{kind_of(thing)}"
        )
    return made


def _required(cls: type) -> list[str]:
    """Return the arguments without which a class cannot be instantiated."""
    return [
        name
        for name, parameter in signature(cls).parameters.items()
        if parameter.default is Parameter.empty
        and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]


PARAMETERISATIONS: Registry[Parameterisation] = Registry(
    "parameterisation",
    {
        "mupc": MuPC(),
        "sp": Standard(),
        "sp_gaussian": StandardGaussian(),
        "ntp": NeuralTangent(),
        "orthogonal": Orthogonal(),
    },
    adopt,
)
"""Parameterisations by name."""
