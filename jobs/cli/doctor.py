"""`mupc doctor`: the facts about this machine that a bug report needs, and whether JAX computes
right on it."""

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jobs.cli.json_output import print_json
from jobs.errors import is_users, one_sentence
from jobs.pools import compile_cache, environment
from jobs.pools.machine import usable_cpus

PACKAGES = ("mupc", "jax", "jaxlib", "optuna", "ray", "pandas", "pyarrow")
MATMUL_SIZE = 1024
MEASURING_SECONDS = 0.5
WRONG = 1


def show_facts(data_dir: Path | None, *, as_json: bool) -> int:
    """Print the facts; returns 0 if JAX computes right on this machine, else 1."""
    facts, problems = gather(data_dir)
    if as_json:
        print_json("doctor", facts | {"problems": problems})
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):<18} {_text(value)}")
        for name, problem in problems.items():
            print(f"{'problem':<18} {name.replace('_', ' ')}: {problem}")
    return 0 if facts["computes_right"] else WRONG


def gather(data_dir: Path | None) -> tuple[dict[str, object], dict[str, str]]:
    """Return the facts by name, None for those that cannot be known here; and why, by name."""
    facts: dict[str, object] = {}
    problems: dict[str, str] = {}

    def know(name: str, find: Callable[[], object]) -> None:
        try:
            facts[name] = find()
        except Exception as error:  # whatever is wrong here, the other facts are wanted
            facts[name] = None
            problems[name] = str(error) if is_users(error) else one_sentence(error)

    know("python", platform.python_version)
    know("platform", platform.platform)
    know("versions", lambda: {name: version_of(name) for name in PACKAGES})
    know("devices", device_names)
    know("deviation", deviation)
    know("computes_right", lambda: computes_right(facts["deviation"]))
    know("compiler_settings", compiler_settings)
    know("native_call", native_call)
    know("cores", usable_cpus)
    know("memory_gib", memory_gib)
    know("matmul_gflops", lambda: round(matmul_gflops()))
    know("cache_dir", lambda: str(compile_cache.user_cache()))
    know("data_dir", lambda: folder_of_data(data_dir))
    know("datasets", lambda: available(data_dir))
    return facts, problems


def device_names() -> list[str]:
    """Start JAX as a pool does, and return its devices. Raises `PoolError` where it has none."""
    environment.prepare(programs=usable_cpus())
    from jobs.pools.devices import local_devices

    return [f"{device.platform} {device.device_kind}" for device in local_devices()]


def deviation() -> float | None:
    """Return by how much the losses of a tiny training deviate from those in float64, relatively.

    None if it diverged. Raises `PoolError` where JAX has no device.
    """
    from jobs.pools.devices import local_devices, training_on
    from pccore.training import reference

    with training_on(local_devices()[0]):
        found = reference.deviation()
    return None if found != found else found


def computes_right(deviation: object) -> bool:
    """Return whether rounding explains a deviation; a missing one is never right."""
    from pccore.training import reference

    return isinstance(deviation, float) and deviation <= reference.TOLERANCE


def compiler_settings() -> list[str]:
    """Return the settings of this process that are part of run ids."""
    from pccore.jax_settings import unpinned

    return unpinned()


def native_call() -> str:
    """Return the instruction set of the native call that trains, or why XLA does it instead."""
    from pccore import native

    return native.instructions() or f"none: {native.reason()}"


def folder_of_data(data_dir: Path | None) -> str:
    """Return the folder of the data sets. Raises `DatasetError` for a user without a home."""
    from pccore import data

    return str(data.directory(data_dir))


def available(data_dir: Path | None) -> dict[str, str]:
    """Return which data sets are on this machine, by name."""
    from jobs.cli.datasets import availability
    from pccore import data

    return {name: availability(name, data_dir) for name in data.DATASETS}


def version_of(package: str) -> str:
    """Return the version of an installed package, or "missing"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def memory_gib() -> float | None:
    """Return the main memory in GiB, or None if the system does not report it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def matmul_gflops() -> float:
    """Return the speed of float32 matrix products on the default device in GFLOP/s.

    The fastest of several products counts, which other load on the machine affects least.
    """
    import jax
    import jax.numpy as jnp

    from jobs.pools.devices import local_devices, training_on

    with training_on(local_devices()[0]):
        product = jax.jit(lambda x: x @ x)
        x = jnp.ones((MATMUL_SIZE, MATMUL_SIZE))
        product(x).block_until_ready()
        best, end = float("inf"), time.perf_counter() + MEASURING_SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            product(x).block_until_ready()
            best = min(best, time.perf_counter() - start)
    return 2 * MATMUL_SIZE**3 / best / 1e9


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case dict():
            return ", ".join(f"{key} {entry}" for key, entry in value.items()) or "none"
        case list():
            return ", ".join(map(str, value)) or "none"
        case float():
            return f"{value:.3g}"
    return str(value)
