"""A Ctrl-C that Python drops, as it drops every exception in a callback of its collector."""

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, spec

from transfer import Experiment, run
from transfer.engine.interrupts import no_interrupt_dropped
from transfer.engine.pool import GroupResult

Interrupt = Callable[[], None]


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    """Collect garbage, with Ctrl-C in a callback: the KeyboardInterrupt does not get out of it."""

    def callback(phase: str, _: dict[str, int]) -> None:
        if phase == "stop":
            gc.callbacks.remove(callback)
            signal.raise_signal(signal.SIGINT)

    def collect() -> None:
        gc.callbacks.append(callback)
        gc.collect()
        assert callback not in gc.callbacks

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield collect
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("dropped", [1, 2])
def test_dropped_interrupts_come_again(interrupt: Interrupt, dropped: int) -> None:
    def work() -> None:
        for _ in range(dropped):
            interrupt()
        time.sleep(60)

    with no_interrupt_dropped(), pytest.raises(KeyboardInterrupt):
        work()


def test_other_dropped_exceptions_are_reported_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("of __del__")

    with no_interrupt_dropped():
        Faulty()
    Faulty()
    assert [str(each.exc_value) for each in reported] == ["of __del__"] * 2


def test_another_handler_of_the_user_is_left_alone(interrupt: Interrupt) -> None:
    usual = sys.unraisablehook
    signal.signal(signal.SIGINT, lambda *_: None)
    with no_interrupt_dropped():
        assert sys.unraisablehook is usual


def test_a_dropped_interrupt_ends_an_experiment(interrupt: Interrupt) -> None:
    class Waiting(FormulaPool):
        def collect(self, timeout: float | None = None) -> list[GroupResult]:
            interrupt()
            time.sleep(60)
            return super().collect(timeout)

    usual = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        run(Experiment.from_dict(spec()), MemoryLedger(), Waiting(lambda *_: 1.0))
    assert sys.unraisablehook is usual
