"""Environment variables to set before JAX starts, in the command line, pools and Ray workers.

Each group trains on one core: without a cap, XLA gives every program a thread per core, and
programs that share a machine slow each other down. Variables that the user has set are kept.
"""

import os
import sys
from pathlib import Path

from jobs.pools import compile_cache
from jobs.pools.settings import LAYOUTS_VARIABLE

EIGEN_FLAG = "--xla_cpu_multi_thread_eigen"
MIN_CACHED_SECONDS = 0.1  # a shorter compilation is not worth a file


def thread_caps(programs: int) -> dict[str, str]:
    """Return the variables of a process that runs `programs` JAX programs at the same time.

    `PJRT_NPROC` bounds the number of threads of XLA's CPU device. The flag alone does not: in JAX
    0.10 large matrix products still spread over every core. A program that has one thread also
    costs a quarter less processor time than one that shares its work with other threads (measured
    at N = 128, H = 8). The user's own `XLA_FLAGS` take precedence.
    """
    from pccore.jax_settings import xla_flags

    flags = xla_flags()
    if not any(flag.partition("=")[0] == EIGEN_FLAG for flag in flags):
        flags.append(f"{EIGEN_FLAG}=false")
    return {
        "XLA_FLAGS": " ".join(flags),
        "PJRT_NPROC": os.environ.get("PJRT_NPROC", str(programs)),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def worker_variables(*, gpu: bool) -> dict[str, str]:
    """Return the variables of a worker process, to be set before its Python starts.

    Settings that change results are those of this process, whatever the worker's node has set.
    The compilation cache is not among them: its folder belongs to the worker's node, where the
    worker calls `prepare` itself.

    Args:
        gpu: False keeps the worker's JAX off accelerators, which belong to other workers.
    """
    from pccore.jax_settings import unpinned_variables
    from pccore.native import VARIABLE as NATIVE_VARIABLE
    from pccore.networks.pallas_descent import VARIABLE as PALLAS_VARIABLE
    from pccore.training.feed import ENVIRONMENT_VARIABLE as STREAM_VARIABLE

    variables = thread_caps(programs=1) | unpinned_variables()
    kept = ("MUPC_CACHE", "XDG_CACHE_HOME", LAYOUTS_VARIABLE, STREAM_VARIABLE)
    for name in (*kept, NATIVE_VARIABLE, PALLAS_VARIABLE):
        if name in os.environ:
            variables[name] = os.environ[name]
    if not gpu:
        variables["JAX_PLATFORMS"] = "cpu"
    return variables


def prepare(programs: int = 1) -> None:
    """Cap this process's threads and set JAX's compilation cache. Idempotent.

    The caps take effect if JAX has not used a device yet, the cache at any time before the first
    compilation.

    Args:
        programs: number of programs that will run at the same time.
    """
    os.environ.update(thread_caps(programs))
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = compile_cache.open_folder()
    if folder is not None:
        _use_cache(folder)


def _use_cache(folder: Path) -> None:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(MIN_CACHED_SECONDS))
    if "jax" in sys.modules:  # which reads its environment once
        import jax

        shortest = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
