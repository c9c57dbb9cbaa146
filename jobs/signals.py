"""The signals that stop a process, by who sends them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
"""Signals of a user or a service manager."""

NOTICES = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)  # not on every platform
)
"""Signals of a lost terminal and of batch systems, which may send them several times."""


def heeded() -> list[signal.Signals]:
    """Return the `NOTICES` that this process does not ignore, as it ignores SIGHUP under nohup."""
    return [number for number in NOTICES if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def notices_blocked() -> Iterator[None]:
    """Block `NOTICES` in this thread, and for good in the processes that it starts.

    A lost terminal and a batch system signal whole groups of processes. A Ray cluster that this
    process started must outlive the signal, so that its groups can be saved.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, NOTICES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
