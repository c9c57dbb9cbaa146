"""Settings of JAX and XLA that change results: pinned while a service trains, or named.

The user, a cluster or another library may have changed them, by environment variable or by
`jax.config.update`, before or after the import. `pinned` gives this thread the values that trained
runs have always had. Settings of the whole process, which act when a program is compiled, cannot be
pinned in a thread; `unpinned` names those that differ from their defaults.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import jax

PRNG = "threefry2x32"
"""The implementation of random keys: it determines the initial weights and the order of samples."""

PINNED: Mapping[str, object] = MappingProxyType(
    {
        "enable_x64": False,
        "default_matmul_precision": None,
        "default_prng_impl": PRNG,
        "threefry_partitionable": True,
        "enable_custom_prng": False,
        "legacy_prng_key": "allow",
        "softmax_custom_jvp": False,
        "numpy_dtype_promotion": "standard",
        "numpy_rank_promotion": "allow",
        "disable_jit": False,
        "debug_nans": False,  # a diverging lane computes NaN and must not end its neighbours
        "debug_infs": False,
        "debug_key_reuse": False,
        "enable_checks": False,
        "check_tracer_leaks": False,
        "no_tracing": False,
        "no_execution": False,
        "transfer_guard": "allow",
        "array_garbage_collection_guard": "allow",
    }
)
"""Context managers of `jax`, and the values that they set while training."""

_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "jax_random_seed_offset": 0,
        "jax_disable_most_optimizations": False,
        "jax_compiler_enable_remat_pass": True,
        "jax_use_direct_linearize": True,
        "jax_optimization_level": "UNKNOWN",
        "jax_exec_time_optimization_effort": 0.0,
        "jax_memory_fitting_effort": 0.0,
        "jax_memory_fitting_level": "O2",
        "jax_enable_pgle": False,
    }
)

_XLA_FLAGS, _TF32 = "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE"

# Flags that choose threads, devices and files, but not the instructions of a program.
_WITHOUT_EFFECT = (
    "--xla_cpu_multi_thread_eigen",
    "--xla_force_host_platform_device_count",
    "--xla_dump_",
    "--xla_hlo_profile",
    "--xla_gpu_cuda_data_dir",
)


@contextmanager
def pinned() -> Iterator[None]:
    """Give this thread the settings `PINNED`, whatever those of the process are."""
    with ExitStack() as stack:
        for name, value in PINNED.items():
            stack.enter_context(getattr(jax, name)(value))
        yield


def unpinned() -> list[str]:
    """Return the settings of this process that may change results and differ from their defaults.

    They are flags of XLA ("--xla_allow_excess_precision=false"), settings of JAX, and the variable
    that takes TF32 from Nvidia's libraries; sorted, and empty for nearly everyone.
    """
    flags = [flag for flag in xla_flags() if not flag.startswith(_WITHOUT_EFFECT)]
    settings = [f"{name}={value}" for name, value in _values().items() if value != _DEFAULTS[name]]
    tf32 = [f"{_TF32}={os.environ[_TF32]}"] if os.environ.get(_TF32) else []
    return sorted({*flags, *settings, *tf32})


def unpinned_variables() -> dict[str, str]:
    """Return the environment variables that give another process the same unpinned settings.

    XLA's own flags, of which a process needs more than these, are not among them.
    """
    found = {name.upper(): str(value) for name, value in _values().items()}
    return found | ({_TF32: os.environ[_TF32]} if os.environ.get(_TF32) else {})


def xla_flags() -> list[str]:
    """Return the flags in the variable `XLA_FLAGS`, or in the file that it names."""
    text = os.environ.get(_XLA_FLAGS, "").strip()
    if text and not text.startswith("-"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError:  # as XLA does
            return []
    return text.split()


def _values() -> dict[str, object]:
    found = jax.config.values
    return {name: found[name] for name in _DEFAULTS}
