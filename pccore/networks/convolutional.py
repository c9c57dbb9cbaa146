"""The convolutional network: blocks of convolution and max-pooling, then two linear layers."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.activations import ACTIVATIONS
from pccore.networks.layered import Layers
from pccore.networks.sequence import GeneralConfig
from pccore.own import Named
from pccore.validation import require_at_least

KERNEL, POOL = 3, 2


class Block(eqx.Module):
    """f(z) = maxpool(W * phi(z)), where * is a convolution that preserves the size of the image."""

    kernel: Float[Array, "fan_in C_out"]
    phi: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, z: Float[Array, "H W C_in"]) -> Float[Array, "H//2 W//2 C_out"]:
        """Predict the next node; an odd last row or column is dropped."""
        # A product with shifted copies and a maximum over tiles: in a loop, such as inference,
        # XLA's convolution and window take ten times as long on CPUs (jax-ml/jax#12868).
        H, W, _ = z.shape
        border = KERNEL // 2
        padded = jnp.pad(self.phi(z), ((border, border), (border, border), (0, 0)))
        shifts = [padded[i : i + H, j : j + W] for i in range(KERNEL) for j in range(KERNEL)]
        maps = jnp.concatenate(shifts, axis=-1) @ self.kernel
        h, w = H // POOL, W // POOL
        tiles = maps[: h * POOL, : w * POOL].reshape(h, POOL, w, POOL, -1)
        return jnp.max(tiles, axis=(1, 3))


class FirstBlock(eqx.Module):
    """The first block, whose input is an image with channels first."""

    block: Block

    def __call__(self, image: Float[Array, "C H W"]) -> Float[Array, "H//2 W//2 C_out"]:
        """Predict the first hidden node."""
        return self.block(jnp.moveaxis(image, 0, -1))


class Dense(eqx.Module):
    """f(z) = W phi(z) for a flattened node z."""

    weight: Float[Array, "N_out N_in"]
    phi: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, " N_out"]:
        """Predict the next node."""
        return self.weight @ self.phi(z.ravel())


@dataclass(frozen=True)
class ConvolutionalConfig(GeneralConfig):
    """Blocks of convolution and max-pooling, then two linear layers (thesis B.4, figure 4.5).

    B.4 has three blocks and states no sizes. The defaults are those of the code published with it
    for CIFAR-10: kernels of 3 x 3, pools of 2 x 2, 64, 128 and 256 channels, 4096 hidden units. The
    activation comes before the weights (a monotone activation commutes with the pool). The first
    layer and the output have no activation, there are no biases, and a_l = 1. Every block, of shape
    (H, W, channels), and every linear layer has a node above it: three blocks give four hidden
    nodes.

    Attributes:
        input_shape: (C, H, W) of an image, H and W at least 2 to the power of the number of blocks.
        output_size: K.
        channels: output channels of each block.
        width: units of the linear hidden layer.
        activation: phi, a name in `pccore.ACTIVATIONS`, or a function or `Activation` of your own.
        weight_std: sigma of initial weights N(0, sigma^2): 5e-3 in B.4, near the saddle at the
            origin (the paper has sigma^2 = 5e-3). None for SP, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Raises:
        ValueError: the errors of `GeneralConfig`; or the input is not an image or too small for the
            blocks, there are no channels, the activation is unknown, or `weight_std` is not
            positive.
    """

    channels: tuple[int, ...] = (64, 128, 256)
    width: int = 4096
    activation: Named = "relu"
    weight_std: float | None = None

    def __post_init__(self) -> None:
        require_at_least(self, 1, "width")
        object.__setattr__(self, "activation", ACTIVATIONS.name(self.activation))
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"channels must be numbers of at least 1, got {self.channels}")
        least = POOL ** len(self.channels)
        if len(self.input_shape) != 3 or min(self.input_shape[1:]) < least:
            raise ValueError(
                f"input_shape must be (C, H, W), H and W at least {least} for "
                f"{len(self.channels)} blocks, got {self.input_shape}"
            )
        if self.weight_std is not None and not self.weight_std > 0:
            raise ValueError(f"weight_std must be positive, got {self.weight_std}")
        super().__post_init__()

    def layers(self, key: Array) -> Layers:
        identity, phi = ACTIVATIONS["linear"].phi, ACTIVATIONS[self.activation].phi
        C, H, W = self.input_shape
        least = POOL ** len(self.channels)
        features = self.channels[-1] * (H // least) * (W // least)
        keys = iter(jax.random.split(key, len(self.channels) + 2))
        layers: list[Callable[[Array], Array]] = []
        for below, above in pairwise((C, *self.channels)):
            kernel = self._drawn(next(keys), KERNEL**2 * below, (KERNEL**2 * below, above))
            layers.append(Block(kernel, phi) if layers else FirstBlock(Block(kernel, identity)))
        for below, above in pairwise((features, self.width, self.output_size)):
            layers.append(Dense(self._drawn(next(keys), below, (above, below)), phi))
        return layers

    def _drawn(self, key: Array, fan_in: int, shape: tuple[int, ...]) -> Array:
        """Draw initial weights."""
        if self.weight_std is not None:
            return self.weight_std * jax.random.normal(key, shape)
        return jax.random.uniform(key, shape, minval=-1.0) * fan_in**-0.5
