"""Uniform hidden layers in one array, so that compile time does not grow with depth.

The settings and the weights of a stack. `pccore.networks.stacked` adds inference.
"""

import math
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pccore.activations import ACTIVATIONS, Activation
from pccore.layers import Layer
from pccore.linear_maps import Dense, LinearMap
from pccore.losses import OUTPUTS, OutputEnergy
from pccore.networks.base import SizedConfig
from pccore.own import Named
from pccore.parameterisations import PARAMETERISATIONS, FanIns, Scalings
from pccore.validation import require_at_least


class LinearMaps(NamedTuple):
    """What the weights of the first, of hidden and of the last layer multiply."""

    first: LinearMap
    hidden: LinearMap
    last: LinearMap


@dataclass(frozen=True)
class StackConfig(SizedConfig):
    """Sizes and settings of a stack of layers; see `pccore.NetworkConfig`."""

    input_size: int
    output_size: int
    width: int
    depth: int
    activation: Named = "relu"
    residual: bool = True
    parameterisation: Named = "mupc"
    output: str = "mse"
    skip: int = 1
    bias: bool = False
    precisions: tuple[float, ...] = ()
    activity_decay: float = 0.0
    initial_std: float | tuple[float, ...] | None = None
    initial_range: tuple[float, float] | None = None
    layers_per_product: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, 1, "input_size", "output_size", "width", "depth", "skip")
        require_at_least(self, 0, "activity_decay", "layers_per_product")
        self._require_standard_deviations()
        self._require_range()
        if self.skip > 1 and not self.residual:
            raise ValueError(f"skip {self.skip} needs residual, which is false")
        if self.precisions and len(self.precisions) != self.depth + 1:
            raise ValueError(
                f"precisions must be one per layer, {self.depth + 1}, got {len(self.precisions)}"
            )
        if any(not p > 0 for p in self.precisions):
            raise ValueError(f"precisions must be positive, got {self.precisions}")
        if self.layers_per_product and (self.depth % self.layers_per_product or self.skip > 1):
            raise ValueError(
                f"layers_per_product must divide the depth, {self.depth}, and needs skip 1; got "
                f"{self.layers_per_product} with skip {self.skip}"
            )
        for registry, key in (
            (ACTIVATIONS, "activation"),
            (PARAMETERISATIONS, "parameterisation"),
            (OUTPUTS, "output"),
        ):
            object.__setattr__(self, key, registry.name(getattr(self, key)))

    def _require_standard_deviations(self) -> None:
        if isinstance(self.initial_std, tuple):
            if len(self.initial_std) != self.depth + 1 or any(not s >= 0 for s in self.initial_std):
                raise ValueError(
                    f"initial_std must be one number, or one per layer, {self.depth + 1}, none "
                    f"negative; got {self.initial_std}"
                )
        elif self.initial_std is not None:
            require_at_least(self, 0, "initial_std")

    def _require_range(self) -> None:
        if self.initial_range is None:
            return
        low, high = self.initial_range
        if not low < high:
            raise ValueError(f"initial_range must be increasing, got {self.initial_range}")
        if self.initial_std is not None:
            raise ValueError(
                "initial_range and initial_std are mutually exclusive, got "
                f"{self.initial_range} and {self.initial_std}"
            )

    @property
    def phi(self) -> Activation:
        """The activation function."""
        return ACTIVATIONS[self.activation]

    @property
    def scalings(self) -> Scalings:
        """The premultipliers a_1, a_l, a_L."""
        return PARAMETERISATIONS[self.parameterisation].scalings(self)

    @property
    def fan_ins(self) -> FanIns:
        """The number of weights of one unit of each kind of layer."""
        return FanIns(self.input_size, self.width, self.width)

    @property
    def maps(self) -> LinearMaps:
        """What the weights of each kind of layer multiply."""
        return LinearMaps(Dense(), Dense(), Dense())

    @property
    def units(self) -> int:
        """The number of units of a hidden layer."""
        return self.maps.first.places * self.width

    @property
    def output_energy(self) -> OutputEnergy:
        """The energy of the clamped output."""
        return OUTPUTS[self.output]

    @property
    def spans(self) -> tuple[int, ...]:
        """The skips over several layers, which `Stack.layers` does not contain."""
        n = self.skip
        if n == 1:
            return ()
        return tuple(n if n < layer <= self.depth else 0 for layer in range(1, self.depth + 2))

    @property
    def stride(self) -> int:
        """The number of layers that an error travels in one step of inference."""
        return self.skip if self.residual else 1

    @property
    def hidden(self) -> int:
        """H."""
        return self.depth

    @property
    def weights(self) -> int:
        """The number of weights, without biases."""
        return sum(map(math.prod, self.weight_shapes))

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The shapes of W_1, of the stack W_2 .. W_H, and of W_L."""
        N, fan_ins = self.width, self.fan_ins
        hidden = self.depth - 1, N, fan_ins.hidden
        return (N, fan_ins.first), hidden, (self.output_size, fan_ins.last)

    @property
    def products(self) -> tuple[int, int, int]:
        """Multiply-adds with W_1, W_2 .. W_H and W_L in the forward pass of one sample."""
        first, hidden, last = map(math.prod, self.weight_shapes)
        maps = self.maps
        return first * maps.first.places, hidden * maps.hidden.places, last * maps.last.places

    @property
    def hidden_products(self) -> int:
        """Multiply-adds between hidden layers, up to those of one layer."""
        return self.units * self.fan_ins.hidden * self.depth

    @property
    def numbers(self) -> int:
        """Numbers that a forward pass of one sample has in memory, weights not counted."""
        copies = self.fan_ins.hidden // self.width  # of a unit in products with kernels
        return self.depth * self.units * copies + self.input_size + self.output_size

    def description(self) -> dict[str, object]:
        return {
            "input_size": self.input_size,
            "output_size": self.output_size,
            "width": self.width,
            "depth": self.depth,
            "activation": self.activation,
            "parameterisation": self.parameterisation,
            "scalings": asdict(self.scalings),
            "skip": self.skip if self.residual else None,
            "bias": self.bias,
            "output": self.output,
            **self._of_this_kind(),
        }

    def own_settings(self) -> dict[str, object]:
        hidden = self.precisions[:-1]
        found: dict[str, object] = {"precisions": hidden} if any(p != 1 for p in hidden) else {}
        for name in ("initial_std", "initial_range"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        return found | self._of_this_kind()

    def _of_this_kind(self) -> dict[str, object]:
        """Return the settings that other stacks do not have."""
        common = {field.name for field in fields(StackConfig)}
        return {name: value for name, value in vars(self).items() if name not in common}


def _noise(config: StackConfig, key: Array) -> Float[Array, " weights"]:
    """Draw independent numbers, from which initial weights are made."""
    shape = (config.weights,)
    if config.initial_range is not None:
        low, high = config.initial_range
        return jax.random.uniform(key, shape, minval=low, maxval=high)
    if config.initial_std is not None:
        return jax.random.normal(key, shape)
    return PARAMETERISATIONS[config.parameterisation].noise(key, shape)


StackT = TypeVar("StackT", bound="Stack")


class Biases(eqx.Module):
    """Biases of the hidden layers, b_1 .. b_H, and of the output, b_L.

    A convolutional layer has one for each channel.
    """

    hidden: Float[Array, "H N"]
    last: Float[Array, " K"]


class Stack(eqx.Module):
    """Weights of a stack; gradients of the weights have the same class.

    Attributes:
        first: W_1.
        hidden: W_2 .. W_H, stacked.
        last: W_L.
        biases: b_1 .. b_L, or None.
        config: sizes, activation, scalings (static).
    """

    first: Float[Array, "N F1"]
    hidden: Float[Array, "Hm1 N F"]
    last: Float[Array, "K FL"]
    biases: Biases | None
    config: StackConfig = eqx.field(static=True)

    @classmethod
    def create(cls: type[StackT], config: StackConfig, key: Array) -> StackT:
        """Draw initial weights from the distribution of `config.parameterisation`."""
        parameterisation = PARAMETERISATIONS[config.parameterisation]
        N, K, H = config.width, config.output_size, config.depth
        shapes = config.weight_shapes
        sizes = [math.prod(shape) for shape in shapes]
        pieces = jnp.split(_noise(config, key), list(accumulate(sizes[:-1])))
        parts = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        if config.initial_range is not None:
            weights = parts
        elif config.initial_std is not None:
            std = jnp.broadcast_to(jnp.array(config.initial_std, parts[0].dtype), H + 1)
            scales = std[0], std[1:-1, None, None], std[-1]
            weights = [scale * part for scale, part in zip(scales, parts, strict=True)]
        else:
            weights = [parameterisation.initial(part, config) for part in parts]
        first, hidden, last = weights
        biases = Biases(jnp.zeros((H, N)), jnp.zeros(K)) if config.bias else None
        return cls(first, hidden, last, biases, config)

    def weight_matrices(self) -> list[Float[Array, "n *_"]]:
        """Return W_1, W_2 .. W_H and W_L; biases are left out."""
        return [self.first[None], self.hidden, self.last[None]]

    def drive(self, x: Float[Array, "B D"]) -> Float[Array, "B U"]:
        """Return f_1(x), the prediction of the first hidden layer; inference never changes it."""
        prediction = self.config.scalings.first * self.config.maps.first.apply(self.first, x)
        return prediction if self.biases is None else prediction + self._hidden_biases()[0]

    def readout(self, z: Float[Array, "B U"]) -> Float[Array, "B K"]:
        """Return f_L(z), the prediction of the output by the last hidden layer."""
        seen = self.config.phi.phi(z)
        prediction = self.config.scalings.last * self.config.maps.last.apply(self.last, seen)
        return prediction if self.biases is None else prediction + self.biases.last

    def forward(self, x: Float[Array, "B D"]) -> Float[Array, "H B U"]:
        """Return the activities of a forward pass: z_1 = f_1(x), z_l = f_l(z_{l-1})."""

        def step(below: Array, layer: tuple[Array, Array | None]) -> tuple[Array, Array]:
            return self._step(below, layer)

        below = self._below_second(x)
        _, rest = jax.lax.scan(step, below, self._stack())
        return jnp.concatenate([below[-1:], rest])

    def predict(self, x: Float[Array, "B D"]) -> Float[Array, "B K"]:
        """Return the output of a forward pass, in the memory of one layer."""

        def step(below: Array, layer: tuple[Array, Array | None]) -> tuple[Array, None]:
            return self._step(below, layer)[0], None

        top, _ = jax.lax.scan(step, self._below_second(x), self._stack())
        return self.readout(top[-1])

    def _below_second(self, x: Float[Array, "B D"]) -> Float[Array, "n B U"]:
        """Return the inputs of the second hidden layer: z_1, and zeros for skips from below it."""
        first = self.drive(x)[None]
        return jnp.pad(first, ((self.config.skip - 1, 0), (0, 0), (0, 0)))

    def _stack(self) -> tuple[Array, Array | None]:
        """Return the weights and biases between hidden layers."""
        return self.hidden, None if self.biases is None else self._hidden_biases()[1:]

    def _hidden_biases(self) -> Float[Array, "H U"]:
        """Return the bias of every hidden unit."""
        assert self.biases is not None
        places = self.config.maps.first.places
        return self.biases.hidden if places == 1 else jnp.tile(self.biases.hidden, places)

    def _step(
        self, below: Float[Array, "n B U"], layer: tuple[Array, Array | None]
    ) -> tuple[Float[Array, "n B U"], Float[Array, "B U"]]:
        """Return the n activities below the next layer, and z_l = f_l(z_{l-1})."""
        W, b = layer
        seen = self.config.phi.phi(below[-1])
        z = self.config.scalings.hidden * self.config.maps.hidden.apply(W, seen)
        if b is not None:
            z = z + b
        if self.config.residual:
            z = z + below[0]
        return jnp.concatenate([below[1:], z[None]]), z

    def layers(self) -> list[Layer]:
        """Return f_1 .. f_L as callables, an argument of `pccore.energy`.

        They do not contain skips over several layers, for which `pccore.energy` has `skip`.
        """
        a, maps, config = self.config.scalings, self.config.maps, self.config
        hidden_biases = [None] * config.depth if self.biases is None else [*self.biases.hidden]
        phi, identity = config.phi.phi, ACTIVATIONS["linear"].phi
        first = Layer(self.first, hidden_biases[0], a.first, identity, False, maps.first)
        skip = config.residual and config.skip == 1
        hidden = [
            Layer(W, b, a.hidden, phi, skip, maps.hidden)
            for W, b in zip(self.hidden, hidden_biases[1:], strict=True)
        ]
        last_bias = None if self.biases is None else self.biases.last
        return [first, *hidden, Layer(self.last, last_bias, a.last, phi, False, maps.last)]
