"""The convolutional network with uniform hidden layers, plain or residual, of any depth."""

import math
from dataclasses import dataclass

import equinox as eqx
from jaxtyping import Array, Float

from pccore.linear_maps import Convolution, MeanOverPlaces, Patches
from pccore.networks.base import AbstractNetwork
from pccore.networks.stack import LinearMaps, Stack, StackConfig
from pccore.networks.stacked import StackRelaxation
from pccore.parameterisations import FanIns
from pccore.validation import require_at_least


@dataclass(frozen=True)
class ConvolutionalStackConfig(StackConfig):
    """A convolutional network of `depth` = H hidden layers of `width` = N channels.

    It has L = H + 1 kernels. The first layer maps patches of the image that do not overlap to N
    channels, so that hidden layers have h x w places; hidden layers convolve with kernels of
    `kernel` x `kernel` weights per channel and keep that size; the last layer takes the mean of
    every channel over the image to K outputs. As in `NetworkConfig`, layer l is
    f_l(z) = a_l W_l phi(z) + tau_l z, with phi the identity in the first layer.

    muPC's premultipliers follow from the number of weights of a unit: a_1 = (C patch^2)^(-1/2);
    for hidden layers (kernel^2 N L)^(-1/2) with skips, as L branches merge into one stream, and
    (kernel^2 N)^(-1/2) without; a_L = 1/N (thesis table 5.1, with fan-ins of kernels for D and N).

    Attributes:
        image: (C, rows, columns) of a sample; data sets store them in this order.
        patch: rows and columns of a patch, a divisor of those of the image.
        kernel: rows and columns of the kernels of hidden layers, an odd number.
        others: as in `NetworkConfig`; biases are per channel.

    Raises:
        ValueError: the errors of `NetworkConfig`; or the image does not have `input_size` numbers,
            the patch does not divide it, or the kernel's size is even.
    """

    image: tuple[int, int, int] = (1, 28, 28)
    patch: int = 4
    kernel: int = 3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "patch", "kernel")
        if len(self.image) != 3 or math.prod(self.image) != self.input_size:
            raise ValueError(
                f"image must be (channels, rows, columns) of {self.input_size} numbers, got "
                f"{self.image}"
            )
        _, rows, columns = self.image
        if rows % self.patch or columns % self.patch:
            raise ValueError(
                f"patch must divide the {rows} rows and {columns} columns of the image, got "
                f"{self.patch}"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        super().__post_init__()

    @property
    def kind(self) -> str:
        return "convolutional"

    @property
    def fan_ins(self) -> FanIns:
        return FanIns(
            first=self.image[0] * self.patch**2,
            hidden=self.kernel**2 * self.width,
            last=self.width,
        )

    @property
    def maps(self) -> LinearMaps:
        channels, rows, columns = self.image
        first = Patches(channels, rows, columns, self.patch)
        hidden = Convolution(rows // self.patch, columns // self.patch, self.kernel)
        return LinearMaps(first, hidden, MeanOverPlaces(hidden.places))

    def build(self, key: Array) -> "ConvolutionalStack":
        """Return a network with the initial weights of its parameterisation."""
        return ConvolutionalStack.create(self, key)


class ConvolutionalStack(Stack, AbstractNetwork):
    """The weights of a `ConvolutionalStackConfig`; gradients of the weights have the same class.

    Activities of a hidden layer are flat, in the order (row, column, channel).

    Attributes:
        first: W_1 (N, C patch^2), in the order (channel, row, column) of a patch.
        hidden: W_2 .. W_H, stacked, each (N, kernel^2 N) in the order (row, column, channel).
        last: W_L (K, N).
        biases: b_1 .. b_L, or None.
        config: sizes, activation, scalings (static).
    """

    config: ConvolutionalStackConfig = eqx.field(static=True)

    def relaxation(
        self, x: Float[Array, "B D"], y: Float[Array, "B K"]
    ) -> StackRelaxation["ConvolutionalStack"]:
        """Return the energy of a batch; inference starts at the forward pass of `x`."""
        return StackRelaxation(self, self.forward(x), x, y)
