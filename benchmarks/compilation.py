"""Counts and durations of JAX's compilations, recorded while they happen."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
    "/jax/compilation_cache/cache_retrieval_time_sec": "read from cache",
}

Interval = tuple[float, float]


class Compilations:
    """Programs that reached each stage of compilation, with the time spent.

    Attributes:
        count: programs that reached each stage; "compile" counts those read from a cache too.
    """

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._spans: dict[tuple[str, int], list[Interval]] = defaultdict(list)

    def __call__(self, event: str, duration: float, **_: object) -> None:
        if stage := STAGES.get(event):
            end = time.perf_counter()
            self.count[stage] += 1
            self._spans[stage, threading.get_ident()].append((end - duration, end))

    def seconds(self, stage: str) -> float:
        """Return a stage's seconds in all threads; "compile" contains "read from cache"."""
        return sum(covered(spans) for (name, _), spans in self._spans.items() if name == stage)


def covered(intervals: Iterable[Interval]) -> float:
    """Return the length of the union: tracing a program contains tracing what it calls."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


@contextmanager
def watched() -> Iterator[Compilations]:
    """Record what is traced, lowered and compiled inside, in every thread."""
    from jax import monitoring

    found = Compilations()
    monitoring.register_event_duration_secs_listener(found)
    try:
        yield found
    finally:
        monitoring.unregister_event_duration_listener(found)
