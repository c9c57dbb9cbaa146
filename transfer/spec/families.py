"""Families of networks: a network for every width and depth."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import Any, ClassVar, Required, TypedDict, Unpack

from pccore import (
    ConvolutionalStackConfig,
    FamilyConfig,
    NetworkConfig,
    NetworkFunction,
    Registry,
    SizedConfig,
)
from pccore.networks.family import NEEDED, OFFERED, require_network_function
from pccore.registry import kind_of
from pccore.source_digest import called, code_of
from pccore.validation import PositiveInt

Precisions = Callable[[int], tuple[float, ...]]
"""p_1 .. p_L for a number of hidden layers; () for ones."""


class LayerSettings(TypedDict, total=False):
    """Settings of `SizedConfig`, and how the initial weights of a stack are drawn."""

    width: Required[int]
    depth: Required[int]
    activation: str
    residual: bool
    parameterisation: str
    output: str
    skip: int
    bias: bool
    order: str
    activity_decay: float
    initial_std: float | tuple[float, ...] | None
    initial_range: tuple[float, float] | None


class Family(ABC):
    """A choice of layers."""

    @abstractmethod
    def build(
        self,
        input_size: int,
        output_size: int,
        *,
        precisions: Precisions,
        **settings: Unpack[LayerSettings],
    ) -> SizedConfig:
        """Return the network for a width and a depth.

        Args:
            input_size: D.
            output_size: K.
            precisions: of the energy.
            settings: what is left out has the default of the network's class.

        Raises:
            ValueError: the family has no such network.
        """

    def takes(self, setting: str) -> bool:
        """Return whether the layers take a setting of `OF_LAYERS`, or a parameterisation."""
        return True


@dataclass(frozen=True)
class Stacked(Family):
    """Fully connected layers; the width is the number of units."""

    def build(
        self,
        input_size: int,
        output_size: int,
        *,
        precisions: Precisions,
        **settings: Unpack[LayerSettings],
    ) -> NetworkConfig:
        p = precisions(settings["depth"])
        return NetworkConfig(input_size, output_size, precisions=p, **settings)


@dataclass(frozen=True)
class Convolutional(Family):
    """Convolutional layers for square images; the width is the number of channels.

    Attributes:
        patch: rows and columns of the patches that the first layer maps to channels; hidden layers
            have one place per patch.
        kernel: rows and columns of the kernels of hidden layers, an odd number.
    """

    patch: PositiveInt = 4
    kernel: PositiveInt = 3

    def takes(self, setting: str) -> bool:
        return setting != "order"

    def build(
        self,
        input_size: int,
        output_size: int,
        *,
        precisions: Precisions,
        **settings: Unpack[LayerSettings],
    ) -> ConvolutionalStackConfig:
        taken: dict[str, Any] = {k: v for k, v in settings.items() if self.takes(k)}
        image = square_image(input_size)
        if image is None:
            raise ValueError(
                "network.family 'convolutional' needs square images of 1 or 3 channels; samples of "
                f"{input_size} numbers are none"
            )
        return ConvolutionalStackConfig(
            input_size,
            output_size,
            precisions=precisions(settings["depth"]),
            **taken,
            image=image,
            patch=self.patch,
            kernel=self.kernel,
        )


def square_image(numbers: int) -> tuple[int, int, int] | None:
    """Return (channels, rows, columns) of a square image of one or three channels, if it is one."""
    for channels in (1, 3):
        side = math.isqrt(numbers // channels)
        if channels * side**2 == numbers:
            return channels, side, side
    return None


@dataclass(frozen=True)
class FunctionFamily(Family):
    """The networks that a function makes; a subclass for every function has its options as fields.

    Attributes:
        name: of the function, with the digest of its code.
        function: as in `pccore.NetworkFunction`.
    """

    name: ClassVar[str]
    function: ClassVar[Callable[..., object]]

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.name, type(self).function, self._options())

    def takes(self, setting: str) -> bool:
        return setting in OFFERED and NetworkFunction(self.name, type(self).function).takes(setting)

    def build(
        self,
        input_size: int,
        output_size: int,
        *,
        precisions: Precisions,
        **settings: Unpack[LayerSettings],
    ) -> FamilyConfig:
        options = self._options()
        options.pop(INPUT_SHAPE, None)
        make = NetworkFunction(self.name, type(self).function, tuple(options.items()))
        shape: tuple[int, ...] = getattr(self, INPUT_SHAPE, ())
        if not shape and make.takes(INPUT_SHAPE):
            shape = square_image(input_size) or ()
        shape = tuple(shape) or (input_size,)
        if math.prod(shape) != input_size:
            raise ValueError(
                f"network.family.{INPUT_SHAPE} must be the shape of {input_size} numbers, got "
                f"{list(shape)}"
            )
        known = {each.name for each in fields(FamilyConfig)}
        given: dict[str, Any] = {name: v for name, v in settings.items() if name in known}
        config = FamilyConfig(shape, output_size, make, **given)
        return replace(config, precisions=precisions(config.hidden))

    def _options(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


INPUT_SHAPE = "input_shape"
OF_LAYERS = ("activation", "residual", "skip", "bias", "order", "initial_std")
"""The settings of a spec's networks that layers may take, unlike those of the energy."""

_made: dict[str, type[FunctionFamily]] = {}


def of_function(name: str, function: Callable[..., object]) -> type[FunctionFamily]:
    """Return the family of a function, whose fields are the options.

    Args:
        name: of the function, with the digest of its code.
        function: as in `pccore.NetworkFunction`.

    Raises:
        ValueError: it is no such function.
    """
    if name not in _made:
        require_network_function(function)
        entries = list(_options(function))
        text = "".join(f"    {option}: option of the function.\n" for option, *_ in entries)
        namespace = {
            "name": name,
            "function": staticmethod(function),
            "__doc__": f"The networks of {name}.\n\nAttributes:\n{text}",
            "__module__": __name__,
        }
        _made[name] = make_dataclass(
            called(function), entries, bases=(FunctionFamily,), namespace=namespace, frozen=True
        )
    return _made[name]


def _options(function: Callable[..., object]) -> Iterator[tuple[str, object, object]]:
    """Yield the options of a function: name, type and field.

    Raises:
        ValueError: one has neither a type nor a default of a type that a spec can have.
    """
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if name == INPUT_SHAPE:
            yield name, tuple[int, ...], field(default=())
        if name in (*NEEDED, *OFFERED) or parameter.kind == parameter.VAR_KEYWORD:
            continue
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ValueError(f"must take {name} by its name")
        if name == "name":
            raise ValueError("has the option name, which names the family: rename it")
        known = parameter.annotation in (bool, int, float, str)
        kind = parameter.annotation if known else type(default)
        if kind not in (bool, int, float, str):
            raise ValueError(
                f"has the option {name} without a type or a default: write {name}: float, or one "
                f"of {', '.join((*NEEDED, *OFFERED))}"
            )
        yield name, kind, field() if default is parameter.empty else field(default=default)


def _restored(
    name: str, function: Callable[..., object], options: Mapping[str, object]
) -> FunctionFamily:
    return of_function(name, function)(**options)


def adopt(thing: object) -> type[Family]:
    """Return the family of a user's function. Raises `ValueError`."""
    if isinstance(thing, type) or not callable(thing):
        raise ValueError(
            "must be a function of width, depth and key that returns layers or an Equinox module, "
            f"{kind_of(thing)}"
        )
    return of_function(f"{called(thing)}@{code_of(thing).digest}", thing)


FAMILIES: Registry[type[Family]] = Registry(
    "family of networks", {"stacked": Stacked, "convolutional": Convolutional}, adopt
)
