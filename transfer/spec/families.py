"""Families of networks: a network for every width and depth."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from pccore import ConvolutionalStackConfig, NetworkConfig, Registry
from pccore.networks.stack import StackConfig
from pccore.validation import PositiveInt


class Family(Protocol):
    """A choice of layers."""

    def build(self, input_size: int, **settings: Any) -> StackConfig:
        """Return the network with these settings of `StackConfig`, width and depth among them.

        Raises:
            ValueError: the family has no network for samples of this size.
        """
        ...


@dataclass(frozen=True)
class Stacked:
    """Fully connected layers; the width is the number of units."""

    def build(self, input_size: int, **settings: Any) -> NetworkConfig:
        return NetworkConfig(input_size, **settings)


@dataclass(frozen=True)
class Convolutional:
    """Convolutional layers for square images; the width is the number of channels.

    Attributes:
        patch: rows and columns of the patches that the first layer maps to channels; hidden layers
            have one place per patch.
        kernel: rows and columns of the kernels of hidden layers, an odd number.
    """

    patch: PositiveInt = 4
    kernel: PositiveInt = 3

    def build(self, input_size: int, **settings: Any) -> ConvolutionalStackConfig:
        return ConvolutionalStackConfig(
            input_size,
            **settings,
            image=square_image(input_size),
            patch=self.patch,
            kernel=self.kernel,
        )


def square_image(numbers: int) -> tuple[int, int, int]:
    """Return (channels, rows, columns) of a square image of one or three channels.

    Raises:
        ValueError: no such image has this many numbers.
    """
    for channels in (1, 3):
        side = math.isqrt(numbers // channels)
        if channels * side**2 == numbers:
            return channels, side, side
    raise ValueError(
        "network.family 'convolutional' needs square images of 1 or 3 channels; samples of "
        f"{numbers} numbers are none"
    )


FAMILIES: Registry[type[Family]] = Registry(
    "family of networks", {"stacked": Stacked, "convolutional": Convolutional}
)
