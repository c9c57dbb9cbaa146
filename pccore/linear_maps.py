"""What the weights of a layer multiply: all units below, or patches of an image.

A layer computes a W phi(z) + b + tau z. Its linear map says what the product with W means. Units
are flat, an image as (rows, columns, channels), so that the energy and its closed-form gradients
(`pccore.networks.local`) are the same for fully connected and convolutional stacks.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class LinearMap(ABC):
    """A bilinear map of weights W and units z, linear in each. Frozen and hashable.

    Every method takes the weights of one layer, (M, F) with any leading axes of the units, or those
    of l layers, (l, M, F) with units (l, B, N).
    """

    @property
    @abstractmethod
    def places(self) -> int:
        """The number of places at which the same weights are used: each gives M outputs."""

    @abstractmethod
    def apply(self, W: Float[Array, "*l M F"], z: Float[Array, "... N"]) -> Float[Array, "... PM"]:
        """Return W z, of `places` x M units."""

    @abstractmethod
    def transpose(
        self, W: Float[Array, "*l M F"], e: Float[Array, "... PM"]
    ) -> Float[Array, "... N"]:
        """Return the gradient of <e, W z> in z."""

    @abstractmethod
    def outer(
        self, e: Float[Array, "*l B PM"], z: Float[Array, "*l B N"]
    ) -> Float[Array, "*l M F"]:
        """Return the gradient of <e, W z> in W, summed over the batch."""


@dataclass(frozen=True)
class Dense(LinearMap):
    """The matrix product: every output has a weight for every unit below."""

    @property
    def places(self) -> int:
        return 1

    def apply(self, W: Array, z: Array) -> Array:
        return z @ W.T if W.ndim == 2 else jnp.einsum("lbn,lmn->lbm", z, W)

    def transpose(self, W: Array, e: Array) -> Array:
        return e @ W if W.ndim == 2 else jnp.einsum("lbm,lmn->lbn", e, W)

    def outer(self, e: Array, z: Array) -> Array:
        return e.T @ z if e.ndim == 2 else jnp.einsum("lbm,lbn->lmn", e, z)


class SharedWeights(LinearMap):
    """The same weights at every place, each applied to what `gather` collects there."""

    @abstractmethod
    def gather(self, z: Float[Array, "... N"]) -> Float[Array, "... P F"]:
        """Return the units that each place sees."""

    @abstractmethod
    def scatter(self, g: Float[Array, "... P F"]) -> Float[Array, "... N"]:
        """Return the transpose of `gather`: sums over the places that see a unit."""

    def apply(self, W: Array, z: Array) -> Array:
        seen = self.gather(z)
        product = seen @ W.T if W.ndim == 2 else jnp.einsum("lbpf,lmf->lbpm", seen, W)
        return _flat(product)

    def transpose(self, W: Array, e: Array) -> Array:
        e = self._by_place(e)
        return self.scatter(e @ W if W.ndim == 2 else jnp.einsum("lbpm,lmf->lbpf", e, W))

    def outer(self, e: Array, z: Array) -> Array:
        return jnp.einsum("...bpm,...bpf->...mf", self._by_place(e), self.gather(z))

    def _by_place(self, e: Array) -> Array:
        return _split(e, self.places)


@dataclass(frozen=True)
class Convolution(SharedWeights):
    """A convolution with stride 1 and zero padding, which keeps the size of the image.

    XLA's own convolution is ten times as slow in a loop on CPUs (jax-ml/jax#12868), and inference
    is a loop. Here the image is copied once per weight of the kernel and takes one product.

    Attributes:
        height: rows of the image.
        width: columns.
        kernel: rows and columns of the kernel, an odd number. A kernel's weights are in the order
            (row, column, channel).
    """

    height: int
    width: int
    kernel: int = 3

    @property
    def places(self) -> int:
        return self.height * self.width

    def gather(self, z: Array) -> Array:
        image = _split(z, self.height, self.width)
        border = [(0, 0)] * (image.ndim - 3) + [(self.kernel // 2,) * 2] * 2 + [(0, 0)]
        padded = jnp.pad(image, border)
        shifted = [
            padded[..., i : i + self.height, j : j + self.width, :]
            for i in range(self.kernel)
            for j in range(self.kernel)
        ]
        seen = jnp.concatenate(shifted, axis=-1)
        return seen.reshape(*seen.shape[:-3], self.places, seen.shape[-1])

    def scatter(self, g: Array) -> Array:
        channels = g.shape[-1] // self.kernel**2
        units = jax.ShapeDtypeStruct((*g.shape[:-2], self.places * channels), g.dtype)
        return jax.linear_transpose(self.gather, units)(g)[0]

    def transpose(self, W: Array, e: Array) -> Array:
        """Convolve with the mirrored kernel: faster than scattering."""
        *layers, M, F = W.shape
        shape = *layers, M, self.kernel**2, F // self.kernel**2
        mirrored = jnp.moveaxis(W.reshape(shape)[..., ::-1, :], -1, -3)
        mirrored = jnp.moveaxis(mirrored, -1, -2).reshape(*layers, shape[-1], shape[-2] * M)
        return self.apply(mirrored, e)


@dataclass(frozen=True)
class Patches(SharedWeights):
    """A convolution of square patches that do not overlap, of an image with channels first.

    The image is how data sets store it, (channels, rows, columns); the outputs have channels last.

    Attributes:
        channels: channels of the image.
        height: rows of the image, a multiple of `size`.
        width: columns of the image, a multiple of `size`.
        size: rows and columns of a patch.
    """

    channels: int
    height: int
    width: int
    size: int

    @property
    def places(self) -> int:
        return (self.height // self.size) * (self.width // self.size)

    def gather(self, z: Array) -> Array:
        C, h, p, w, _ = self._tiles
        tiled = _moved(z.reshape(*z.shape[:-1], C, h, p, w, p), (1, 3, 0, 2, 4))
        return tiled.reshape(*z.shape[:-1], h * w, C * p * p)

    def scatter(self, g: Array) -> Array:
        C, h, p, w, _ = self._tiles
        tiled = g.reshape(*g.shape[:-2], h, w, C, p, p)
        return _moved(tiled, (2, 0, 3, 1, 4)).reshape(*g.shape[:-2], C * h * p * w * p)

    @property
    def _tiles(self) -> tuple[int, int, int, int, int]:
        p = self.size
        return self.channels, self.height // p, p, self.width // p, p


@dataclass(frozen=True)
class MeanOverPlaces(SharedWeights):
    """A matrix product with the mean of every channel over the image.

    Attributes:
        below: places of the image.
    """

    below: int

    @property
    def places(self) -> int:
        return 1

    def gather(self, z: Array) -> Array:
        return jnp.mean(_split(z, self.below), axis=-2, keepdims=True)

    def scatter(self, g: Array) -> Array:
        spread = jnp.broadcast_to(g / self.below, (*g.shape[:-2], self.below, g.shape[-1]))
        return _flat(spread)


# Sizes are never left to `reshape` as -1: it cannot find them where there are no layers yet.


def _split(units: Float[Array, "... PM"], *places: int) -> Float[Array, "... M"]:
    return units.reshape(*units.shape[:-1], *places, units.shape[-1] // math.prod(places))


def _flat(values: Float[Array, "... P M"]) -> Float[Array, "... PM"]:
    *others, P, M = values.shape
    return values.reshape(*others, P * M)


def _moved(values: Array, order: tuple[int, ...]) -> Array:
    """Permute the last axes."""
    first = values.ndim - len(order)
    return values.transpose(*range(first), *(first + axis for axis in order))
