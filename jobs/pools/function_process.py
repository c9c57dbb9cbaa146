"""Processes that call training functions of the user's, one call at a time each.

A function has a process of its own: what it does to global random states, signals or memory is no
concern of other runs, a crash is a failed run, and a pool that is closed need not wait for it.
"""

import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from jobs.pools.function_child import LENGTH, Request, SentModule
from pccore import Outcome
from results.shapes import Shape
from transfer.engine.pool import Group, GroupResult, Worker
from transfer.functions import (
    FunctionConfig,
    FunctionLane,
    TrainingFunction,
    outcome_of,
    rates_of,
)

POLL_SECONDS = 0.1
"""Interval between two looks whether the worker must stop."""

CAUSES = {signal.SIGKILL: "killed, perhaps for its memory", signal.SIGSEGV: "segmentation fault"}

_ROOT = str(Path(__file__).parents[2])
"""Where the packages of this process are."""

# The process has the packages of this one: with -m, those of the current folder would come first,
# which on a worker of Ray is where its node was started.
_CHILD = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.insert(0, root); "
    "from jobs.pools.function_child import main; main()"
)

_idle: "list[FunctionProcess]" = []
_lock = threading.Lock()


class FunctionProcess:
    """A process that calls training functions. Ended with `close`, or with this process."""

    def __init__(self) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self._sent: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, _ROOT, str(ours[0]), str(theirs[1])],
            pass_fds=(ours[0], theirs[1]),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_number(sys.stderr) else subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is the parent's
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._writing, self._reading = ours[1], theirs[0]
        pipes = (self._writing, self._reading)
        self._finalizer = weakref.finalize(self, _end, self._process, pipes)

    def call(
        self,
        function: TrainingFunction,
        shape: Shape,
        rates: Mapping[str, float],
        seed: int,
        poll: Callable[[], None],
    ) -> Outcome:
        """Return the outcome of one call; one that failed if the process ends.

        Args:
            function: the function.
            shape: its first argument.
            rates: its second.
            seed: its third.
            poll: called now and then; what it raises ends the process.
        """
        request = Request(name=function.name, shape=shape, rates=dict(rates), seed=seed)
        if function.name not in self._sent:
            code = function.code
            request["place"], request["pickled"] = code.place, code.pickled
            request["path"] = sys.path
            request["modules"] = {
                name: SentModule(text=module.text, file=module.file, package=module.package)
                for name, module in code.modules.items()
            }
        try:
            self._send(pickle.dumps(request))
            kind, value = pickle.loads(self._receive(poll))
        except (EOFError, OSError):
            return Outcome.failed(f"its process ended: {self._ending()}")
        except BaseException:
            self.close()
            raise
        if kind != "unloaded":
            self._sent.add(function.name)
        return outcome_of(function.name, value) if kind == "returned" else Outcome.failed(value)

    @property
    def usable(self) -> bool:
        """Whether it can be called again."""
        return self._finalizer.alive and self._process.poll() is None

    def close(self) -> None:
        """End the process, and those that the function has started."""
        self._finalizer()

    def _send(self, body: bytes) -> None:
        view = memoryview(LENGTH.pack(len(body)) + body)
        while view:
            view = view[os.write(self._writing, view) :]

    def _receive(self, poll: Callable[[], None]) -> bytes:
        (length,) = LENGTH.unpack(self._read(LENGTH.size, poll))
        return self._read(length, poll)

    def _read(self, size: int, poll: Callable[[], None]) -> bytes:
        found = bytearray()
        while len(found) < size:
            poll()
            ready, _, _ = select.select([self._reading], [], [], POLL_SECONDS)
            if ready:
                piece = os.read(self._reading, size - len(found))
                if not piece:
                    raise EOFError
                found += piece
        return bytes(found)

    def _ending(self) -> str:
        """Return how the process ended, in words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        code = self._process.returncode
        self.close()
        if code is None:
            return "it closed its pipe"
        if code >= 0:
            return f"status {code}"
        number = signal.Signals(-code)
        return f"{number.name} ({CAUSES[number]})" if number in CAUSES else number.name


def call_function(
    group: Group, function: TrainingFunction, worker: Worker, poll: Callable[[], None]
) -> GroupResult:
    """Call a training function for every run of a group, in a process of its own.

    Args:
        group: the runs.
        function: the function.
        worker: this process.
        poll: called now and then; what it raises ends the call.
    """
    config = group.config
    assert isinstance(config, FunctionConfig)
    started, outcomes = datetime.now(UTC), []
    for lane in group.lanes:
        assert isinstance(lane, FunctionLane)
        process = _taken()
        rates = rates_of(config, lane)
        outcomes.append(process.call(function, config.shape, rates, lane.seed, poll))
        if process.usable:
            with _lock:
                _idle.append(process)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return GroupResult(group, tuple(outcomes), max(seconds, 0.0), started, worker)


def close_idle() -> None:
    """End the processes that wait for a call."""
    with _lock:
        ending = list(_idle)
        _idle.clear()
    for process in ending:
        process.close()


def _taken() -> FunctionProcess:
    with _lock:
        while _idle:
            process = _idle.pop()
            if process.usable:
                return process
            process.close()
    return FunctionProcess()


def _environment() -> dict[str, str]:
    """Return the environment of a process: one core, and memory of a GPU as it is needed."""
    variables = {"PJRT_NPROC": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {**os.environ, **variables}


def _has_number(stream: TextIO) -> bool:
    try:
        return isinstance(stream.fileno(), int)
    except (AttributeError, OSError, ValueError):  # of a notebook, or a test that captures it
        return False


def _end(process: "subprocess.Popen[bytes]", pipes: tuple[int, ...]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    for pipe in pipes:
        with suppress(OSError):
            os.close(pipe)
