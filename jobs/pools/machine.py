"""The CPU: its cores, and its identity, as programs of one CPU are not valid on another."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path


def usable_cpus() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_features() -> str:
    """Return the CPU's architecture and a digest of its instruction sets.

    CPUs with equal features can run each other's programs.
    """
    flags = next((line for line in _first_core() if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest if flags else platform.processor() or 'unknown'}"


def cpu_model() -> str:
    """Return the CPU's name, where Linux reports it, and its features.

    Programs take equally long on CPUs of one model.
    """
    name = next((line for line in _first_core() if line.startswith("model name")), "")
    return " ".join([*name.partition(":")[2].split(), cpu_features()])


@cache
def _first_core() -> tuple[str, ...]:
    """Return the lines on the first core in /proc/cpuinfo; none on other systems than Linux."""
    try:
        return tuple(Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines())
    except OSError:
        return ()
