"""What groups train on, as far as choosing their layout depends on it."""

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
        name: its model, as JAX names it.
        memory: bytes that JAX may use, None where the platform does not say.
        machine: the CPU's model and features, of which JAX's name says nothing; "" for others.
        count: how many such devices one group may split its batches over.
    """

    kind: str
    name: str
    memory: int | None
    machine: str = ""
    count: int = 1


def default_device() -> jax.Device:
    """The device on which this thread's arrays are placed."""
    return next(iter(jnp.zeros(()).devices()))


def describe(device: jax.Device) -> Device:
    """What kind of device it is, its model and its memory."""
    statistics = device.memory_stats() or {}
    memory = statistics.get("bytes_limit")
    if device.platform == "cpu":
        return Device("cpu", device.device_kind, memory, cpu_model())
    return Device("gpu", device.device_kind, memory)


def shared_out(device: Device, devices: Sequence[jax.Device], slots: int) -> Device:
    """`device` with the parts of a CPU that each of `slots` groups can have when all train at once.

    A CPU has several parts where `JAX_NUM_CPU_DEVICES` says so. A group has one GPU.
    """
    count = max(1, len(devices) // slots) if device.kind == "cpu" else 1
    return replace(device, count=count)
