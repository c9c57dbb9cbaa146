"""Work that other processes do on a ledger while a test watches or kills them."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ledger_rows import curve_rows, run_row

import results
from results.storage import compaction, folder, reading

GROUP = 3
"""Runs of a group."""

POINTS = 4
"""Points of a curve."""

# Forked from a process that has loaded the ledger and done nothing: quick, and safe with threads.
_context = get_context("forkserver")
_context.set_forkserver_preload(["results.ledger", "ledger_rows"])


def start(work: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start `work(*arguments, report)` in a process; `report` ends in the connection returned."""
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=work, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def waiting(connection: Connection) -> list[Any]:
    """Return the reports of a live process since the last call."""
    messages = []
    while connection.poll():
        messages.append(connection.recv())
    return messages


def received(connection: Connection) -> list[Any]:
    """Return the reports of a dead process since the last call."""
    messages = []
    with suppress(EOFError, OSError):  # the last may be there in part
        while True:
            messages.append(connection.recv())
    return messages


def group(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a group of runs and their curves."""
    ids = [f"{name}-{k}" for k in range(GROUP)]
    return [run_row(i) for i in ids], [row for i in ids for row in curve_rows(i, POINTS)]


def write(place: Path, writer: str, groups: int, report: Connection) -> None:
    """Append groups; report each once it is published."""
    ledger = results.open(place, create=True)
    for number in range(groups):
        ledger.append(*group(f"{writer}.{number}"))
        report.send(f"{writer}.{number}")


def compact(place: Path, report: Connection) -> None:
    """Compact repeatedly."""
    ledger = results.open(place, create=True)
    while True:
        report.send(ledger.compact())


def compact_and_die(place: Path, point: str, report: Connection) -> None:
    """Compact until killed at a point of `POINTS_OF_DEATH`."""
    module, name, calls = POINTS_OF_DEATH[point]
    real, left = getattr(module, name), calls

    def dying(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(module, name, dying)
    results.open(place).compact()
    report.send("survived")


# Point -> whose attribute, which, and at which call of it the process dies. The test's ledger has
# four files of runs and as many of curves; tables are compacted in that order.
POINTS_OF_DEATH: dict[str, tuple[Any, str, int]] = {
    "before the merged file is written": (compaction, "encode", 1),
    "before its bytes are on disk": (folder.os, "fsync", 1),
    "before it has its name": (folder.os, "link", 1),
    "before its folder is on disk": (folder.os, "fsync", 2),
    "before the deletion is announced": (reading.Reader, "announce_deletion", 1),
    "before the first deletion": (folder.Folder, "remove", 1),
    "after the first deletion": (folder.Folder, "remove", 2),
    "before the last deletion": (folder.Folder, "remove", 4),
    "before the temporary files are swept": (folder.Folder, "sweep", 1),
    "before the merged curves have their name": (folder.os, "link", 2),
    "between the deletions of curves": (folder.Folder, "remove", 6),
}
