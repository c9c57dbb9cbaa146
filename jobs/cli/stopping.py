"""Ctrl-C and SIGTERM: an exception in the main thread, then a prompt end of the process."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 1.5  # seconds that closing may take before the process ends anyway


class Listener:
    """Turns the first signal into a KeyboardInterrupt; the next one ends the process at once.

    Attributes:
        received: the first signal. The exception does not carry it: Ray replaces exceptions that
            interrupt its waiting by its own KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.received = signal.SIGINT

    @property
    def exit_status(self) -> int:
        """What a shell expects: 128 + the signal's number, 130 for Ctrl-C."""
        return 128 + self.received

    def listen(self) -> None:
        """Start to listen; to be called again after starting Ray, which takes SIGTERM over."""
        for number in SIGNALS:
            signal.signal(number, self._interrupt)

    def leave(self, close: Callable[[], None]) -> NoReturn:
        """End the process within `PATIENCE` seconds, closing what can be closed in that time.

        Threads inside a compiled program cannot be interrupted and may be minutes from its end. The
        ledger needs no farewell: its files are whole at any moment.
        """
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(PATIENCE)
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
