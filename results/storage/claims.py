"""Claims of runs, so that several drivers on one ledger share the work.

Every driver process has a register in the ledger: one file, which it alone writes, atomically, with
the runs that it is training. To claim runs it writes them there and then reads the registers of the
others; it keeps those that are in none of them. Of two drivers that claim a run at the same time,
the one whose register was written last sees the other's, so at most one keeps the run. This needs
no exclusive creation, which Arrow has for no object store. It needs that reading shows what was
written before, which disks and object stores guarantee.

A register also carries a sign of life, a number that changes every few seconds. Its owner counts as
dead when the reader has seen the same number for `EXPIRY_SECONDS` by the reader's own monotonic
clock, so that no two clocks are compared; or at once, if it ran on this machine and its process is
gone.
"""

import json
import os
import random
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Self
from uuid import uuid4

import pyarrow as pa

from results.errors import LedgerError
from results.storage.folder import Folder
from results.storage.limits import RECORD_BYTES
from results.storage.regular import UnfitFileError

FOLDER = "claims"
HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0
"""Silence after which a driver counts as dead.

It exceeds the time for which a network file system may show an old file, one minute by default.
"""
SILENCE_SECONDS = EXPIRY_SECONDS / 2
"""Silence after which a driver must expect that another one has taken its claims."""
ATTEMPTS = 8
BACKOFF_SECONDS = 0.5  # at most, before drivers that claimed the same runs try again
_SUFFIX = ".json"
_REFUSALS = (LedgerError, OSError, pa.ArrowException)


@dataclass(frozen=True)
class Register:
    """What a driver writes about itself.

    Attributes:
        about: name of the experiment that it trains.
        host: name of its machine, for messages.
        machine: identity of its machine; process ids of equal machines can be compared.
        pid: its process id.
        beat: the sign of life.
        ended: whether it has ended, with all its results in the ledger.
        runs: ids of the runs that it trains.
    """

    about: str
    host: str
    machine: str
    pid: int
    beat: int
    ended: bool
    runs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.about} on {self.host}, process {self.pid}"


class Claims:
    """The claims of this driver, a context manager: outside of it nothing is claimed.

    From `results.Ledger.claims`. Read the ledger's runs inside the context only, so that the
    results of a driver that ends meanwhile are not missed.

    Args:
        folder: of the ledger.
        about: name of the experiment, for the other drivers' messages.
        clock: seconds, monotonic.

    Attributes:
        met: whether any other driver has been here since this one entered: then runs may be in the
            ledger that this driver has not looked up.
        silent: whether this driver ever gave no sign of life for so long that another one may have
            taken its claims: it was stopped, its machine slept, or the ledger was out of reach.

    Raises:
        LedgerError: the folder cannot be read or written to.
    """

    def __init__(
        self, folder: Folder, about: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.met = self.silent = False
        self._folder, self._about, self._clock = folder, about, clock
        self._name = uuid4().hex[:16] + _SUFFIX
        self._beat, self._written = 0, _seconds_since_boot()
        self._runs: set[str] = set()
        self._watched: dict[str, tuple[int, float]] = {}  # last beat and when it was first seen
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._give_signs_of_life, daemon=True)

    def __enter__(self) -> Self:
        self._write()
        with suppress(*_REFUSALS):
            self._folder.sweep(FOLDER, suffix=_SUFFIX)  # a register this old is of a dead driver
        self._clear()
        self.met = False
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._thread.join()
        with suppress(*_REFUSALS):  # they would hide what ended the job; the claims then expire
            self._write(drop=self._runs, ended=True)
            if self._clear():
                self._folder.remove(self._path(self._name))

    def take(self, run_ids: Iterable[str]) -> set[str]:
        """Claim runs; return those that are claimed now, without those of other drivers."""
        wanted = set(run_ids)
        granted = wanted & self._runs
        for _ in range(ATTEMPTS):
            free = wanted - granted - self.held_elsewhere()
            if not free:
                break
            self._write(add=free)
            lost = free & self.held_elsewhere()
            granted |= free - lost
            if not lost:
                break
            self._write(drop=lost)
            time.sleep(random.uniform(0.0, BACKOFF_SECONDS))
        return granted

    def release(self, run_ids: Iterable[str]) -> None:
        """Drop claims; other drivers see it within `HEARTBEAT_SECONDS`."""
        with self._lock:
            self._runs = self._runs.difference(run_ids)

    def held_elsewhere(self) -> set[str]:
        """Return the runs that other living drivers have claimed."""
        return {run_id for register in self.others() for run_id in register.runs}

    def others(self) -> list[Register]:
        """Return the registers of the other drivers that are alive."""
        return [
            register
            for name, register in self._registers().items()
            if not register.ended and self._alive(name, register)
        ]

    def _registers(self) -> dict[str, Register]:
        """Return the registers of the other drivers, whether alive or not, by file name."""
        found = {}
        with self._folder.reading():
            for info in self._folder.entries(FOLDER):
                name = info.base_name
                if name == self._name or name.startswith(".") or not name.endswith(_SUFFIX):
                    continue
                self.met = True
                register = self._read(name)
                if register is not None:
                    found[name] = register
        return found

    def _read(self, name: str) -> Register | None:
        """Return a register; None if it is gone or no register."""
        try:
            content = json.loads(self._folder.read(self._path(name), most=RECORD_BYTES))
            register = Register(**{**content, "runs": tuple(content["runs"])})
        except (FileNotFoundError, UnfitFileError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return register if _is_whole(register) else None

    def _alive(self, name: str, register: Register) -> bool:
        if _is_gone(register):
            return False
        now = self._clock()
        beat, since = self._watched.get(name, (None, now))
        if beat != register.beat:
            since = now
        self._watched[name] = register.beat, since
        return now - since < EXPIRY_SECONDS

    def _clear(self) -> bool:
        """Remove the registers of drivers that have ended, unless another one may be alive.

        That one may not have seen yet that they were here. Return whether none may be.
        """
        registers = self._registers()
        if not all(register.ended or _is_gone(register) for register in registers.values()):
            return False
        for name in registers:
            with suppress(*_REFUSALS):  # of another user, in a folder with the sticky bit
                self._folder.remove(self._path(name))
        return True

    def _write(
        self, add: Iterable[str] = (), drop: Iterable[str] = (), *, ended: bool = False
    ) -> None:
        """Replace the register, with claims added or dropped and a new sign of life."""
        with self._lock:
            self._runs = self._runs.union(add).difference(drop)
            self._beat += 1
            register = Register(
                self._about,
                socket.gethostname(),
                this_machine(),
                os.getpid(),
                self._beat,
                ended,
                tuple(sorted(self._runs)),
            )
            data = json.dumps(asdict(register)).encode()
            self._folder.publish(self._path(self._name), data, replace=True)
            now = _seconds_since_boot()
            self.silent |= now - self._written > SILENCE_SECONDS
            self._written = now

    def _give_signs_of_life(self) -> None:
        warned = False
        while not self._closing.wait(HEARTBEAT_SECONDS):
            try:
                self._write()
            except _REFUSALS as error:
                if not warned:
                    warnings.warn(f"no sign of life: {error}", RuntimeWarning, stacklevel=1)
                warned = True

    def _path(self, name: str) -> str:
        return f"{FOLDER}/{name}"


@cache
def this_machine() -> str:
    """Return what machines have in common if and only if they share process ids.

    Containers may have equal host names, and process ids of their own.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _seconds_since_boot() -> float:
    """Return seconds that, where the system counts them, include those in which it slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def _is_whole(register: Register) -> bool:
    """Return whether the fields of a register that was read have the right types."""
    texts = (register.about, register.host, register.machine, *register.runs)
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(number) is int for number in (register.pid, register.beat))
        and isinstance(register.ended, bool)
        and 0 < register.pid < 2**31
    )


def _is_gone(register: Register) -> bool:
    """Return whether the driver is known to be dead; others may be paused, or out of sight."""
    return register.machine == this_machine() and not _exists(register.pid)


def _exists(pid: int) -> bool:
    """Return whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
