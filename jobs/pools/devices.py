"""The devices that groups train on, as far as the choice of a layout depends on them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jobs.errors import PoolError, one_sentence
from jobs.pools.machine import cpu_model
from pccore.jax_settings import pinned


@dataclass(frozen=True)
class Device:
    """A device that groups train on.

    Attributes:
        kind: "cpu" or "gpu".
        name: JAX's name of its model.
        memory: bytes that JAX may use, None where the platform does not report it.
        machine: the CPU's model and features, which JAX's name lacks; "" for other devices.
        count: number of such devices over which one group may split its batches.
    """

    kind: str
    name: str
    memory: int | None
    machine: str = ""
    count: int = 1


def local_devices() -> list[jax.Device]:
    """Return the devices of this process, on which groups can train.

    Raises:
        PoolError: JAX cannot use the devices that the environment asks for.
    """
    try:
        return jax.local_devices()
    except Exception as error:  # a RuntimeError or, without a word, an AssertionError
        asked = os.environ.get("JAX_PLATFORMS")
        why = f"JAX_PLATFORMS={asked} asks for a device that is not here" if asked else "no device"
        details = f" ({one_sentence(error)})" if str(error) else ""
        raise PoolError(
            f"JAX cannot start: {why}{details}; JAX_PLATFORMS=cpu trains on the CPU"
        ) from None


@contextmanager
def training_on(device: jax.Device) -> Iterator[None]:
    """Train in this thread on `device`, with settings of JAX that nobody else can change."""
    with pinned(), jax.default_device(device):
        yield


def default_device() -> jax.Device:
    """Return the device on which JAX places this thread's arrays."""
    with pinned():
        return next(iter(jnp.zeros(()).devices()))


def describe(device: jax.Device) -> Device:
    """Return a device's kind, model and memory."""
    statistics = device.memory_stats() or {}
    memory = statistics.get("bytes_limit")
    if device.platform == "cpu":
        return Device("cpu", device.device_kind, memory, cpu_model())
    return Device("gpu", device.device_kind, memory)


def share(device: Device, devices: Sequence[jax.Device], slots: int) -> Device:
    """Return `device` with the count that each of `slots` groups gets when all train at once.

    `JAX_NUM_CPU_DEVICES` makes a CPU several devices. A group gets one GPU.
    """
    count = max(1, len(devices) // slots) if device.kind == "cpu" else 1
    return replace(device, count=count)
