"""Signals that stop a command: which are heeded, and how the process ends."""

import signal
import subprocess
import sys

import pytest

from jobs.signals import NOTICES, heeded, notices_blocked

WAITING = """
import os, signal, sys, time
from jobs.cli.stopping import SignalHandler
handler = SignalHandler()
handler.install()
try:
    for name in sys.argv[1:]:
        os.kill(os.getpid(), getattr(signal, name))
    print("goes on", flush=True)
except KeyboardInterrupt:
    for name in sys.argv[2:]:
        os.kill(os.getpid(), getattr(signal, name))
    handler.exit(lambda: print("saved", flush=True), lambda: f"stopped ({handler.received.name})")
"""


DROPPED = """
import gc, signal, sys, time
from jobs.cli.stopping import SignalHandler

def interrupt(phase, _):
    gc.callbacks.remove(interrupt)
    signal.raise_signal(getattr(signal, sys.argv[1]))  # Python drops what a callback raises

handler = SignalHandler()
handler.install()
gc.callbacks.append(interrupt)
try:
    gc.collect()
    time.sleep(60)
    print("goes on", flush=True)
except KeyboardInterrupt:
    handler.exit(lambda: print("saved", flush=True), lambda: f"stopped ({handler.received.name})")
"""


def wait(
    *names: str, ignored: signal.Signals | None = None, script: str = WAITING
) -> "subprocess.CompletedProcess[str]":
    """Send signals to a process that handles them: the first, and the others while it closes."""
    ours = signal.signal(ignored, signal.SIG_IGN) if ignored else None
    try:
        return subprocess.run(
            [sys.executable, "-c", script, *names], capture_output=True, text=True, check=False
        )
    finally:
        if ignored:
            signal.signal(ignored, ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, *NOTICES])
def test_every_usual_signal_saves_says_and_exits_with_128_and_its_number(
    number: signal.Signals,
) -> None:
    done = wait(number.name)
    assert (done.returncode, done.stdout) == (128 + number, "saved\n")
    assert done.stderr == f"stopped ({number.name})\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_whose_exception_python_drops_comes_again(number: signal.Signals) -> None:
    done = wait(number.name, script=DROPPED)
    assert (done.returncode, done.stdout) == (128 + number, "saved\n")
    assert done.stderr == f"stopped ({number.name})\n"


@pytest.mark.parametrize("number", NOTICES)
def test_ignored_notices_stay_ignored_as_under_nohup(number: signal.Signals) -> None:
    done = wait(number.name, ignored=number)
    assert (done.returncode, done.stdout) == (0, "goes on\n")


@pytest.mark.parametrize(
    "names", [("SIGHUP", "SIGHUP"), ("SIGUSR1", "SIGUSR2", "SIGUSR1"), ("SIGTERM", "SIGTERM")]
)
def test_signals_to_the_process_and_its_group_do_not_keep_it_from_saving(
    names: tuple[str, ...],
) -> None:
    done = wait(*names)
    assert (done.returncode, done.stdout) == (128 + signal.Signals[names[0]], "saved\n")


@pytest.mark.parametrize("names", [("SIGINT", "SIGINT"), ("SIGHUP", "SIGTERM")])
def test_a_second_request_ends_the_process_at_once(names: tuple[str, ...]) -> None:
    done = wait(*names)
    assert (done.returncode, done.stdout) == (128 + signal.Signals[names[0]], "")


def test_a_lost_terminal_does_not_keep_it_from_saving() -> None:
    script = f"import os; os.close(2)\n{WAITING}"
    done = subprocess.run(
        [sys.executable, "-c", script, "SIGHUP"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (129, "saved\n")


def test_children_of_a_blocking_process_outlive_notices() -> None:
    child = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); print('lives')"
    with notices_blocked():
        done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "lives\n")
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(NOTICES)
    assert heeded() == list(NOTICES)
