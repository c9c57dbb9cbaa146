"""Half-trained groups, kept beside the tables until their runs are finished."""

import hashlib
import json
import warnings
from collections.abc import Iterable

import pyarrow as pa

from results.errors import DamagedFileWarning, because
from results.storage.folder import Folder

FOLDER = "checkpoints"
_SUFFIX = ".checkpoint"

RunIds = tuple[str, ...]


class Checkpoints:
    """The last checkpoint of each group of runs that is being trained.

    One file per group, replaced as a whole: a header line in JSON, which names the runs and the
    SHA-256 of the rest, then what was saved. Half a group has a checkpoint of its own.

    Made by `Ledger.checkpoints`.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._there: set[str] = set()

    def groups(self) -> list[RunIds]:
        """The run ids of every group that has a checkpoint, in the order of its lanes.

        Raises:
            LedgerError: the folder cannot be read.
        """
        with self._folder.reading():
            self._folder.sweep(FOLDER)
            names = [
                info.base_name
                for info in self._folder.entries(FOLDER)
                if info.base_name.endswith(_SUFFIX) and not info.base_name.startswith(".")
            ]
        found = []
        for name in sorted(names):
            self._there.add(name)
            header = self._header(name)
            if header is not None and _name(header["run_ids"]) == name:
                found.append(tuple(header["run_ids"]))
        return found

    def load(self, run_ids: Iterable[str]) -> bytes | None:
        """What was saved last for a group; None if nothing was.

        A checkpoint that is damaged is warned of (`DamagedFileWarning`) and counts as none.
        """
        name = _name(run_ids)
        try:
            data = self._folder.read(f"{FOLDER}/{name}")
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            _warn(name, f"it cannot be read: {because(error)}")
            return None
        self._there.add(name)
        line, _, rest = data.partition(b"\n")
        header = _parsed(line)
        if header is None or hashlib.sha256(rest).hexdigest() != header["sha256"]:
            _warn(name, "its content does not match its checksum")
            return None
        return rest

    def save(self, run_ids: Iterable[str], data: bytes) -> None:
        """Keep `data` for a group, in place of what was kept before; never half of it.

        Raises:
            LedgerError: the folder cannot be written to. What was kept before is kept then.
        """
        run_ids = list(run_ids)
        header = {"run_ids": run_ids, "sha256": hashlib.sha256(data).hexdigest()}
        name = _name(run_ids)
        line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        self._folder.publish(f"{FOLDER}/{name}", line + data, replace=True)
        self._there.add(name)

    def remove(self, run_ids: Iterable[str]) -> None:
        """Forget a group; no matter if nothing is known of it."""
        name = _name(run_ids)
        if name in self._there:  # most groups never had one, and asking an object store takes time
            self._there.discard(name)
            self._folder.remove(f"{FOLDER}/{name}")

    def _header(self, name: str) -> dict[str, list[str]] | None:
        path = self._folder.path(f"{FOLDER}/{name}")
        try:
            with self._folder.filesystem.open_input_stream(path) as source:
                line = b""
                while b"\n" not in line and (more := source.read(4096)):
                    line += more
        except (OSError, pa.ArrowException):  # removed since, or unreadable: no group begins there
            return None
        return _parsed(line.partition(b"\n")[0])


def _name(run_ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(run_ids).encode()).hexdigest()[:32] + _SUFFIX


def _parsed(line: bytes) -> dict[str, list[str]] | None:
    """A header, or None if it is not one."""
    try:
        header = json.loads(line)
        whole = all(isinstance(run_id, str) for run_id in header["run_ids"]) and header["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return header if whole else None


def _warn(name: str, cause: str) -> None:
    warnings.warn(
        f"{FOLDER}/{name} is damaged: {cause}; its runs begin again",
        DamagedFileWarning,
        stacklevel=3,
    )
