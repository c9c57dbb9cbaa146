"""The gradient of a batch of a stacked network in one compiled call, where a compiler built it.

`stack_gradient.cpp` computes forward pass, inference and all weight gradients as
`pccore.networks.local` does, to float32 rounding, faster than XLA's operations one by one. It is
used for float32 on CPUs, by the schemes in `SCHEMES` from a forward pass and by backpropagation, on
a `NetworkConfig` that `covers` names; everything else takes XLA's form, exactly as without it. The
extension is optional: without a compiler the same installation has no `_stack` library.

The environment variable `MUPC_NATIVE=0` chooses XLA everywhere.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pccore.inference import AugmentedLagrangian, GradientDescent, InferenceScheme, Nesterov
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig, NetworkT
from pccore.networks.stack import Biases
from pccore.networks.stacked import Network, NetworkConfig
from pccore.relaxation import Scalar

VARIABLE = "MUPC_NATIVE"
VERSION = 2
"""Version of the call's arguments, as in stack_gradient.cpp. It is part of the target's name: a
compiled program in JAX's cache never reaches a library with other arguments."""

XLA = "xla"

TARGET = f"mupc_stack_gradient_v{VERSION}"

# The numbers of the enumerations in stack_gradient.cpp.
SCHEMES: dict[type[InferenceScheme], int] = {
    GradientDescent: 0,
    Nesterov: 1,
    AugmentedLagrangian: 2,
}
BACKPROPAGATION = 3
ACTIVATIONS = {"linear": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
OUTPUTS = {"mse": 0, "cross_entropy": 1}

MOST_WIDTH = 384
"""Wider layers exceed the cache that a product of the call is made for; they were not measured."""

# Settings of a network that the call knows, or that do not change a gradient; any other must have
# its default.
_KNOWN = {
    *("input_size", "output_size", "width", "depth", "activation", "residual", "parameterisation"),
    *("output", "bias", "precisions", "initial_std", "initial_range", "layers_per_product"),
}


def _paths() -> list[Path]:
    """Return where the library may be."""
    return [Path(__file__).with_name(f"_stack{suffix}") for suffix in EXTENSION_SUFFIXES]


def _load() -> ctypes.CDLL | None:
    """Load the library and register its call with JAX; None where it is not built or too old."""
    for path in filter(Path.exists, _paths()):
        try:
            library = ctypes.CDLL(str(path))
            library.mupc_instructions.restype = ctypes.c_char_p
            if library.mupc_stack_gradient_version() != VERSION or not library.mupc_instructions():
                return None
            target = jax.ffi.pycapsule(library.mupc_stack_gradient)
            jax.ffi.register_ffi_target(TARGET, target, platform="cpu")
        except (OSError, AttributeError):  # of another platform, or torn
            return None
        return library
    return None


# On import, in every process: a compiled program may come from JAX's cache.
_library = _load()


def instructions() -> str | None:
    """Return the instruction set of the native call (avx512, avx2 or neon); None if not available.

    It is available where it was built, on a processor that has one of these sets, unless
    `MUPC_NATIVE` is 0.
    """
    if _library is None or os.environ.get(VARIABLE, "1").strip().lower() in ("0", "no", "false"):
        return None
    return str(_library.mupc_instructions().decode())


def reason() -> str:
    """Return why `instructions` has none."""
    if not any(map(Path.exists, _paths())):
        return "it was not built; reinstall mupc where there is a C++ compiler"
    if _library is None:
        return "its library is of another version, or this processor has neither AVX2 nor NEON"
    return f"{VARIABLE} is {os.environ.get(VARIABLE)}"


def use_instructions(name: str) -> bool:
    """Use another instruction set in this process; return whether the processor has it."""
    return _library is not None and bool(_library.mupc_use_instructions(name.encode()))


def covers(config: AbstractNetworkConfig, inference: InferenceScheme | None) -> bool:
    """Return whether the native call computes this network and scheme from a forward pass.

    Without a scheme it is backpropagation.
    """
    return (
        type(config) is NetworkConfig
        and (inference is None or type(inference) in SCHEMES)
        and config.activation in ACTIVATIONS
        and config.output in OUTPUTS
        and config.width <= MOST_WIDTH
        and all(
            field.name in _KNOWN or getattr(config, field.name) == field.default
            for field in fields(config)
        )
    )


def path(config: AbstractNetworkConfig, inference: InferenceScheme | None) -> str:
    """Return which arithmetic trains from a forward pass: "native avx512" (avx2, neon) or "xla"."""
    found = instructions()
    if found is None or jax.default_backend() != "cpu" or not covers(config, inference):
        return XLA
    return f"native {found}"


def takes(network: AbstractNetwork, inference: InferenceScheme | None, x: Array, y: Array) -> bool:
    """Return whether it can be called here: `path` is native, and numbers are float32."""
    if path(network.config, inference) == XLA or not isinstance(network, Network):
        return False
    arrays = [*jax.tree.leaves(network), x, y]
    return x.ndim == 2 and all(array.dtype == jnp.float32 for array in arrays)


def gradients(
    by_xla: "Callable[[NetworkT, Array, Array, Scalar], tuple[Array, NetworkT]]",
    network: NetworkT,
    inference: InferenceScheme | None,
    x: Array,
    y: Array,
    activity_lr: Scalar,
) -> tuple[Array, NetworkT]:
    """Return the loss of a forward pass and the weight gradients, natively where that is possible.

    Args:
        by_xla: the reference; whatever differentiates through the gradients takes it, too.
        network: the weights.
        inference: the scheme, which starts from a forward pass; None means backpropagation.
        x: inputs.
        y: targets.
        activity_lr: beta, which backpropagation does not read.
    """
    if not takes(network, inference, x, y):
        return by_xla(network, x, y, activity_lr)

    @jax.custom_jvp
    def by_native_call(
        network: NetworkT, x: Array, y: Array, activity_lr: Scalar
    ) -> tuple[Array, NetworkT]:
        stack = cast(Network, network)
        loss, found = _call(stack, inference, x, y, activity_lr / len(x))
        return loss, cast(NetworkT, found)

    by_native_call.defjvp(partial(jax.jvp, by_xla))
    return by_native_call(network, x, y, activity_lr)


def _call(
    network: Network,
    inference: InferenceScheme | None,
    x: Float[Array, "B D"],
    y: Float[Array, "B K"],
    rate: Scalar,
) -> tuple[Float[Array, ""], Network]:
    config = network.config
    none = Biases(jnp.zeros((0, config.width), jnp.float32), jnp.zeros(0, jnp.float32))
    biases = none if network.biases is None else network.biases
    arrays = (network.first, network.hidden, network.last, biases.hidden, biases.last)
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    a = config.scalings
    call = jax.ffi.ffi_call(
        TARGET,
        (scalar, *(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays)),
        vmap_method="broadcast_all",
    )
    loss, first, hidden, last, hidden_bias, last_bias = call(
        *arrays,
        x,
        y,
        jnp.asarray(rate, jnp.float32),
        depth=np.int32(config.depth),
        steps=np.int32(inference.step_limit if inference else config.depth),
        scheme=np.int32(SCHEMES[type(inference)] if inference else BACKPROPAGATION),
        activation=np.int32(ACTIVATIONS[config.activation]),
        output_loss=np.int32(OUTPUTS[config.output]),
        residual=np.int32(config.residual),
        scalings=np.array([a.first, a.hidden, a.last], np.float32),
        precisions=np.array(config.precisions if inference else (), np.float32),
    )
    return loss, replace(
        network,
        first=first,
        hidden=hidden,
        last=last,
        biases=None if network.biases is None else Biases(hidden_bias, last_bias),
    )
