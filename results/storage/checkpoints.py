"""Checkpoints of groups in training, in a folder of the ledger."""

import hashlib
import json
import re
import warnings
from collections.abc import Iterable
from typing import TypedDict

import pyarrow as pa

from results.errors import DamagedFileWarning, LedgerError, because
from results.storage.faults import faults_among
from results.storage.folder import Folder
from results.storage.limits import CHECKPOINT_BYTES, RECORD_BYTES

FOLDER = "checkpoints"
_SUFFIX = ".checkpoint"
_NAME = re.compile(rf"[0-9a-f]{{32}}\{_SUFFIX}")

RunIds = tuple[str, ...]


class Header(TypedDict):
    """The first line of a checkpoint."""

    run_ids: list[str]
    sha256: str


class Checkpoints:
    """The last checkpoint of each group of runs that is being trained.

    One file per group, replaced as a whole: a header line in JSON with the run ids and the SHA-256
    of the rest, then the saved data. A part of a group is a group of its own.

    An attribute of `results.Ledger`.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._present: set[str] = set()

    def groups(self) -> list[RunIds]:
        """Return the run ids of every group with a checkpoint, in the order of its lanes.

        Raises:
            LedgerError: the folder cannot be read.
        """
        with self._folder.reading():
            self._folder.sweep(FOLDER)
            names = self._names()
        found = []
        for name in names:
            self._present.add(name)
            header = self._header(name)
            if header is not None and _name(header["run_ids"]) == name:
                found.append(tuple(header["run_ids"]))
        return found

    def faults(self) -> dict[str, str]:
        """Return the fault of each checkpoint that `load` refuses, by path.

        Raises:
            OSError, pyarrow.ArrowException: the folder cannot be read.
        """

        def fault(path: str) -> str | None:
            data = self._folder.read(path, most=CHECKPOINT_BYTES)
            return _fault(path.rpartition("/")[2], data)

        return faults_among([f"{FOLDER}/{name}" for name in self._names()], fault)

    def load(self, run_ids: Iterable[str]) -> bytes | None:
        """Return the data that was saved last for a group; None if there is none.

        A damaged checkpoint, or one of another group, raises a `DamagedFileWarning` and counts as
        none.
        """
        name = _name(run_ids)
        try:
            data = self._folder.read(f"{FOLDER}/{name}", most=CHECKPOINT_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException, MemoryError) as error:
            _warn(name, f"it cannot be read: {because(error)}")
            return None
        self._present.add(name)
        fault = _fault(name, data)
        if fault is not None:
            _warn(name, fault)
            return None
        return data.partition(b"\n")[2]

    def save(self, run_ids: Iterable[str], data: bytes) -> None:
        """Save `data` for a group, replacing its previous checkpoint atomically.

        Raises:
            LedgerError: the folder cannot be written to; the previous checkpoint is kept.
        """
        run_ids = list(run_ids)
        header: Header = {"run_ids": run_ids, "sha256": hashlib.sha256(data).hexdigest()}
        name = _name(run_ids)
        line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        self._folder.publish(f"{FOLDER}/{name}", line + data, replace=True)
        self._present.add(name)

    def remove(self, run_ids: Iterable[str]) -> None:
        """Delete the checkpoint of a group, if it has one; warn if it cannot be deleted."""
        name = _name(run_ids)
        if name in self._present:  # most groups have none, and requests to an object store are slow
            self._present.discard(name)
            try:
                self._folder.remove(f"{FOLDER}/{name}")
            except LedgerError as error:
                warnings.warn(f"a checkpoint stays: {error}", RuntimeWarning, stacklevel=2)

    def _names(self) -> list[str]:
        """Return the names of all checkpoints, sorted; other files are not ours."""
        entries = self._folder.entries(FOLDER)
        return sorted(info.base_name for info in entries if _NAME.fullmatch(info.base_name))

    def _header(self, name: str) -> Header | None:
        line = b""
        try:
            for piece in self._folder.pieces(f"{FOLDER}/{name}", most=CHECKPOINT_BYTES):
                line += piece
                if b"\n" in piece or len(line) > RECORD_BYTES:
                    break
        except (OSError, pa.ArrowException):  # removed meanwhile, or unreadable
            return None
        return _parsed(line.partition(b"\n")[0])


def _name(run_ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(run_ids).encode()).hexdigest()[:32] + _SUFFIX


def _fault(name: str, data: bytes) -> str | None:
    """Return why a checkpoint is not continued from; None if it is intact and of its group."""
    line, _, rest = data.partition(b"\n")
    header = _parsed(line)
    if header is None or hashlib.sha256(rest).hexdigest() != header["sha256"]:
        return "its content does not match its checksum"
    if _name(header["run_ids"]) != name:
        return "it is of another group of runs"
    return None


def _parsed(line: bytes) -> Header | None:
    """Return the header on a line; None if it is damaged."""
    try:
        header: Header = json.loads(line)
        whole = all(isinstance(run_id, str) for run_id in header["run_ids"]) and header["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return header if whole else None


def _warn(name: str, cause: str) -> None:
    warnings.warn(
        f"{FOLDER}/{name} is damaged: {cause}; its runs start again",
        DamagedFileWarning,
        stacklevel=3,
    )
