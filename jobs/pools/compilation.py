"""The time that a thread spends compiling, as JAX reports it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

PREFIX = "/jax/core/compile/"  # tracing, lowering and compiling; a cached program takes less


@dataclass
class CompileTimer:
    """The seconds of compilation within a `timed_compilation` block."""

    seconds: float = 0.0


_local = threading.local()


@contextmanager
def timed_compilation() -> Iterator[CompileTimer]:
    """Time the compilations of this thread inside the block."""
    _listen()
    timer = _local.timer = CompileTimer()
    try:
        yield timer
    finally:
        _local.timer = None


@cache
def _listen() -> None:
    """Receive JAX's durations from now on; JAX calls back in the thread that compiles."""
    import jax

    jax.monitoring.register_event_duration_secs_listener(_add)


def _add(event: str, duration_secs: float, **_: str | int) -> None:
    timer = getattr(_local, "timer", None)
    if timer is not None and event.startswith(PREFIX):
        timer.seconds += duration_secs
