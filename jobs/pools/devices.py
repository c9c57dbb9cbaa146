"""The devices that groups train on, as far as the choice of a layout depends on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jobs.pools.machine import cpu_model


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


def default_device() -> jax.Device:
    """Return the device on which JAX places this thread's arrays."""
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
