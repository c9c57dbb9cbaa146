"""Signals that stop a command: an exception in the main thread, then a prompt exit."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from jobs.signals import INTERRUPTS, heeded
from transfer.engine.interrupts import repeat_dropped_interrupts

CLOSING_SECONDS = 1.5  # after which the process exits anyway
REPEATED_SECONDS = 0.5  # within which a signal to the process and to its group counts once


class SignalHandler:
    """Handler that raises KeyboardInterrupt on the first signal and exits at once on the next.

    `jobs.signals.NOTICES` that are ignored when it is made stay ignored, as under nohup, and never
    end the process before it has saved.

    Attributes:
        received: the first signal. The exception cannot carry it, because Ray replaces an
            exception that interrupts its waiting with a KeyboardInterrupt of its own.
    """

    def __init__(self) -> None:
        self.received = signal.SIGINT
        self._since = 0.0
        self._signals = [*INTERRUPTS, *heeded()]

    @property
    def exit_status(self) -> int:
        """The exit status by the convention of shells: 128 + the number of the signal."""
        return 128 + self.received

    def install(self) -> None:
        """Install the handler. Call it again after starting Ray, which replaces that of SIGTERM."""
        self._arm()
        repeat_dropped_interrupts(self._arm)

    def _arm(self) -> signal.Signals:
        """Wait for a first signal; returns the one that was received before."""
        for number in self._signals:
            signal.signal(number, self._interrupt)
        return self.received

    def exit(self, close: Callable[[], None], sentence: Callable[[], str]) -> NoReturn:
        """Call `close`, print a sentence, and exit after at most `CLOSING_SECONDS`.

        A thread inside a compiled program cannot be interrupted and may run for minutes. The ledger
        needs no closing: its files are complete at any moment. A lost terminal takes no sentence,
        which must not keep the pool from saving.
        """
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        with suppress(OSError):
            print(sentence(), file=sys.stderr, flush=True)
        closing.join(CLOSING_SECONDS)
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(self.exit_status)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.received, self._since = signal.Signals(number), time.monotonic()
        for each in self._signals:
            signal.signal(each, self._end if each in INTERRUPTS else signal.SIG_IGN)
        raise KeyboardInterrupt

    def _end(self, number: int, frame: FrameType | None) -> None:
        repeated = number == self.received != signal.SIGINT
        if not repeated or time.monotonic() > self._since + REPEATED_SECONDS:
            os._exit(self.exit_status)
