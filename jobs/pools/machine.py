"""Which CPU this is: what was compiled or measured on one must not be handed to another."""

import hashlib
import platform
from functools import cache
from pathlib import Path


def cpu_features() -> str:
    """The CPU's architecture and a digest of its instruction sets: who can run whose programs."""
    flags = next((line for line in _first_core() if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest if flags else platform.processor() or 'unknown'}"


def cpu_model() -> str:
    """The CPU's name, where Linux tells it, and its features: where programs take equally long."""
    name = next((line for line in _first_core() if line.startswith("model name")), "")
    return " ".join([*name.partition(":")[2].split(), cpu_features()])


@cache
def _first_core() -> tuple[str, ...]:
    """What Linux says about the first core; nothing on other systems."""
    try:
        return tuple(Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines())
    except OSError:
        return ()
