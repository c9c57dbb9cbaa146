"""A process of its own that trains a stretch whenever it is asked, for measuring in turns.

Only Python's own library is used here: peers run this in their environments.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Stretch(NamedTuple):
    """Training steps, and the seconds of the wall clock and of the processor that they took."""

    steps: float
    wall: float
    processor: float


def serve(train: Callable[[], float]) -> None:
    """Train once to compile, then for every line of the input, and print what each took.

    Args:
        train: trains for a while and returns the number of steps.
    """
    train()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        steps = train()
        taken = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps([steps, *taken]), flush=True)


def repeated(step: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Return a function that steps for so many seconds, at least once, and counts its steps."""

    def train() -> float:
        count, end = 0, time.perf_counter() + seconds
        while not count or time.perf_counter() < end:
            step()
            count += 1
        return count

    return train


class Server:
    """A process that answers by `serve`. Leaving its context ends it.

    Args:
        command: what starts it.
        cores: where it may run.
    """

    def __init__(self, command: list[str], cores: Iterable[int]) -> None:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, set(cores))  # inherited; code between fork and exec could deadlock
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        finally:
            os.sched_setaffinity(0, own)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Wait until it has compiled."""
        self._line()

    def go(self) -> None:
        """Start a stretch."""
        print("go", file=self._process.stdin, flush=True)

    def answer(self) -> Stretch:
        """Wait for the end of the stretch."""
        return Stretch(*json.loads(self._line()))

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured process ended with status {self._process.wait()}")
        return line
