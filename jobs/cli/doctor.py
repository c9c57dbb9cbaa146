"""`mupc doctor`: the facts about this machine that a bug report needs."""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jobs.cli.datasets import availability
from jobs.pools import compile_cache, environment
from jobs.pools.local import usable_cpus

PACKAGES = ("mupc", "jax", "optuna", "ray", "pandas", "pyarrow")
MATMUL_SIZE = 1024
MEASURING_SECONDS = 0.5


def show_facts(data_dir: Path | None, *, as_json: bool) -> None:
    """Print the facts."""
    facts = gather(data_dir)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        print(f"{name.replace('_', ' '):<18} {value}")


def gather(data_dir: Path | None) -> dict[str, object]:
    """Return the facts by name."""
    from pccore import data

    cores = usable_cpus()
    environment.prepare(programs=cores)
    import jax

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "cores": cores,
        "memory_gib": memory_gib(),
        "matmul_gflops": round(matmul_gflops()),
        "cache_dir": str(compile_cache.user_cache()),
        "data_dir": str(data.directory(data_dir)),
        "datasets": {name: availability(name, data_dir) for name in data.DATASETS},
    }


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

    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((MATMUL_SIZE, MATMUL_SIZE))
    product(x).block_until_ready()
    best, end = float("inf"), time.perf_counter() + MEASURING_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        product(x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * MATMUL_SIZE**3 / best / 1e9
