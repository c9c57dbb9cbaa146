"""Ctrl-C in a moment in which Python drops exceptions.

Python prints and forgets an exception that is raised in `__del__` or in a callback of a weak
reference or of the garbage collector, of which JAX has one. A signal that arrives during a long
collection is handled in that callback, and its KeyboardInterrupt is lost.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AGAIN_SECONDS = 0.05


def repeat_dropped_interrupts(renew: Callable[[], signal.Signals]) -> None:
    """Send a signal again, from now on, when Python has dropped its KeyboardInterrupt.

    Signals that are dropped within `AGAIN_SECONDS` are sent once: a second one would end a command
    that is closing.

    Args:
        renew: lets the process receive the signal once more, and returns it.
    """
    usual = sys.unraisablehook
    again: threading.Timer | None = None

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        nonlocal again
        main = threading.main_thread().ident
        if main is None or not issubclass(dropped.exc_type, KeyboardInterrupt):
            usual(dropped)
        elif again is None or not again.is_alive():
            again = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (main, renew()))
            again.daemon = True
            again.start()

    sys.unraisablehook = hook


@contextmanager
def no_interrupt_dropped() -> Iterator[None]:
    """Repeat dropped interrupts if SIGINT has Python's own handler, as in scripts and notebooks."""
    usual = sys.unraisablehook
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        repeat_dropped_interrupts(lambda: signal.SIGINT)
    try:
        yield
    finally:
        sys.unraisablehook = usual
