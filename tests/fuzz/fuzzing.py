"""Fuzzing for a given time, under a bound on memory."""

import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

SECONDS = float(os.environ.get("MUPC_FUZZ_SECONDS", "10"))
"""How long each fuzzer runs."""
MOST_BYTES = 2**30
"""How much the memory of the process may grow meanwhile."""
MOST_SECONDS = 20.0
"""What one example may take."""


def fuzz(inputs: SearchStrategy[T], attack: Callable[[T], None]) -> int:
    """Call `attack` with new inputs until the time is over; return with how many."""
    end = time.monotonic() + SECONDS
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0

    @settings(
        max_examples=200, deadline=None, database=None, derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs)
    def attacked(one: T) -> None:
        nonlocal count
        if time.monotonic() > end:
            return
        count += 1
        begun = time.monotonic()
        attack(one)
        assert time.monotonic() - begun < MOST_SECONDS

    while time.monotonic() < end:
        attacked()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert 1024 * grown < MOST_BYTES
    return count
