"""What must be set before JAX starts: for the command line, both pools and Ray's workers.

Each group trains on one core: without a cap, XLA gives every program a thread per core, and
programs that share a machine slow each other down. Whatever the user has set already is kept.
"""

import os
import sys
from pathlib import Path

from jobs.pools import compile_cache, layout_policy

EIGEN_FLAG = "--xla_cpu_multi_thread_eigen"
SHORTEST_CACHED_COMPILATION = 0.1  # seconds; a shorter one is not worth a file


def thread_caps(programs: int) -> dict[str, str]:
    """Environment variables for a process that runs `programs` JAX programs at the same time.

    `PJRT_NPROC` bounds the threads that XLA's CPU device has in all. The flag alone does not: in
    JAX 0.10 large matrix products still spread over every core. A program that has one thread to
    itself also costs a quarter less processor time than one with others to share out to (measured
    at N = 128, H = 8). The user's own `XLA_FLAGS` come first, and win.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    if not any(flag.partition("=")[0] == EIGEN_FLAG for flag in flags):
        flags.append(f"{EIGEN_FLAG}=false")
    return {
        "XLA_FLAGS": " ".join(flags),
        "PJRT_NPROC": os.environ.get("PJRT_NPROC", str(programs)),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def worker_variables(*, gpu: bool) -> dict[str, str]:
    """Environment variables of a worker process, to be set before its Python starts.

    The compilation cache is not among them: its folder belongs to the node that the worker runs on,
    which calls `prepare` itself.

    Args:
        gpu: False keeps the worker's JAX off accelerators that other workers own.
    """
    variables = thread_caps(programs=1)
    for name in ("MUPC_CACHE", "XDG_CACHE_HOME", layout_policy.VARIABLE):
        if name in os.environ:
            variables[name] = os.environ[name]
    if not gpu:
        variables["JAX_PLATFORMS"] = "cpu"
    return variables


def prepare(programs: int = 1) -> None:
    """Cap this process' threads and give JAX its compilation cache. Idempotent.

    The caps take effect if JAX has not touched a device yet; the cache does at any time before the
    first compilation.

    Args:
        programs: how many will run at the same time.
    """
    os.environ.update(thread_caps(programs))
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = compile_cache.open_folder()
    if folder is not None:
        _use_cache(folder)


def _use_cache(folder: Path) -> None:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault(
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(SHORTEST_CACHED_COMPILATION)
    )
    if "jax" in sys.modules:  # it has read its environment already
        import jax

        shortest = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
