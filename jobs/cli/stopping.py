"""SIGINT and SIGTERM: an exception in the main thread, then a prompt exit."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLOSING_SECONDS = 1.5  # after which the process exits anyway


class SignalHandler:
    """Handler that raises KeyboardInterrupt on the first signal and exits at once on the next.

    Attributes:
        received: the first signal. The exception cannot carry it, because Ray replaces an
            exception that interrupts its waiting with a KeyboardInterrupt of its own.
    """

    def __init__(self) -> None:
        self.received = signal.SIGINT

    @property
    def exit_status(self) -> int:
        """The exit status by the convention of shells: 128 + the number of the signal."""
        return 128 + self.received

    def install(self) -> None:
        """Install the handler. Call it again after starting Ray, which replaces that of SIGTERM."""
        for number in SIGNALS:
            signal.signal(number, self._interrupt)

    def exit(self, close: Callable[[], None]) -> NoReturn:
        """Call `close`, and exit after at most `CLOSING_SECONDS`.

        A thread inside a compiled program cannot be interrupted and may run for minutes. The ledger
        needs no closing: its files are complete at any moment.
        """
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.exit_status)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in SIGNALS:
            signal.signal(each, self._end)
        raise KeyboardInterrupt

    def _end(self, number: int, frame: FrameType | None) -> None:
        os._exit(self.exit_status)
