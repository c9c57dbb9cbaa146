"""Work that a thread repeats while something else runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(work: Callable[[], object], pause: Callable[[], float]) -> Iterator[None]:
    """Call `work` in a thread while the context is open.

    Args:
        work: must not raise.
        pause: the seconds before the next call, asked before each.
    """
    closing = threading.Event()

    def repeat() -> None:
        while not closing.wait(pause()):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()
