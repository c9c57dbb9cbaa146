"""Weights of trained networks, in a folder of the ledger: one safetensors file per run.

The name of a file holds the id of its run and the SHA-256 of its bytes, which the run's row in
`runs` has too. A file is written before the row, and never changed. One that no row names was left
by a process that was killed in between.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from results.errors import LedgerError, because
from results.identity import ID_LENGTH
from results.schema.tables import TABLES
from results.storage.claims import Claims
from results.storage.faults import faults_among
from results.storage.folder import Folder
from results.storage.limits import RECORD_BYTES, WEIGHTS_BYTES
from results.storage.reading import Reader

FOLDER = "weights"
KEY = "mupc"
"""The one key of the file's metadata, whose value is JSON. With several keys, safetensors writes
them in an order that changes, and equal weights would have unequal files."""

_LENGTH_BYTES = 8
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,200}")
"""Names of arrays, which become names of files when they are exported."""
_RESERVED = ("description", "file", "allow_pickle")  # what `numpy.savez` and exports use
_UNREADABLE = (ValueError, LookupError, TypeError, OverflowError, RecursionError)
_NAME = re.compile(rf"(?P<run_id>[0-9a-f]{{{ID_LENGTH}}})-(?P<digest>[0-9a-f]{{64}})\.safetensors")


@dataclass(frozen=True)
class KeptWeights:
    """The weights of a trained network, and what is needed to predict with them.

    Attributes:
        arrays: weights and biases by name, as `pccore.to_arrays` names them.
        description: run id, data set with its preprocessing, and sizes, activation and scalings of
            the network; see docs/networks.md.
    """

    arrays: dict[str, np.ndarray]
    description: dict[str, object]


class Weights:
    """The kept weights of a ledger. An attribute of `results.Ledger`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def save(
        self, run_id: str, arrays: Mapping[str, np.ndarray], description: Mapping[str, object]
    ) -> str:
        """Write the weights of a run, and return the digest for its row.

        Raises:
            LedgerError: they cannot be written, or are larger than `load` reads.
        """
        data = encode(arrays, {"run_id": run_id, **description})
        if len(data) > WEIGHTS_BYTES:
            raise LedgerError(
                f"the weights of run {run_id} have {len(data)} bytes, more than the "
                f"{WEIGHTS_BYTES} allowed"
            )
        digest = hashlib.sha256(data).hexdigest()
        # A file of this name has the same bytes, unless it is damaged.
        self._folder.publish(_path(run_id, digest), data, replace=True)
        return digest

    def load(self, run_id: str, digest: str) -> KeptWeights:
        """Return the weights of a run whose row has this digest.

        Raises:
            LedgerError: the file is missing, damaged, or of another run.
        """
        path = _path(run_id, digest)
        try:
            data = self._folder.read(path, most=WEIGHTS_BYTES)
        except FileNotFoundError:
            raise LedgerError(f"the weights of run {run_id} are gone: there is no {path}") from None
        except (OSError, pa.ArrowException, MemoryError) as error:
            raise LedgerError(f"{path} cannot be read: {because(error)}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise LedgerError(f"{path} is damaged: its content does not match its checksum")
        try:
            found = decode(data)
        except ValueError as error:
            raise LedgerError(f"{path} is damaged: {error}") from error
        if found.description.get("run_id") != run_id:
            raise LedgerError(f"{path} is damaged: it is of another run")
        return found

    def remove_unrecorded(self, reader: Reader, claims: Claims | None = None) -> None:
        """Remove files that no row of `runs` names, which killed processes left.

        Nothing is removed while a file of `runs` is damaged or being merged.

        Args:
            reader: of the ledger.
            claims: entered; files of runs that other drivers have claimed stay. None removes only
                files that were written more than a day ago.

        Raises:
            LedgerError: the folder cannot be read.
        """
        with self._folder.reading():
            self._folder.sweep(FOLDER)
            # First the files, then the claims, then the rows: whoever wrote a file has either still
            # claimed its run, or recorded it.
            left = {info.base_name: info for info in self._files()}
            if not left:
                return
            held = set() if claims is None else claims.held_elsewhere()
            recorded = _recorded(reader)
            if recorded is None:
                return
            for name in list(left):
                match = _NAME.fullmatch(name)
                if match and (match["run_id"] in held or match.groups() in recorded):
                    del left[name]
            unrecorded = list(left.values())
            if claims is None:
                unrecorded = self._folder.aged(FOLDER, unrecorded)
        for info in unrecorded:
            with suppress(LedgerError):  # another user's
                self._folder.remove(f"{FOLDER}/{info.base_name}")

    def faults(self) -> dict[str, str]:
        """Return the fault of each damaged file, by path; every byte is compared.

        Raises:
            OSError, pyarrow.ArrowException: the folder cannot be read.
        """
        names = sorted(info.base_name for info in self._files())
        return faults_among([f"{FOLDER}/{name}" for name in names], self._fault)

    def _files(self) -> list[pafs.FileInfo]:
        """Return the files of weights; other files are not ours."""
        return [info for info in self._folder.entries(FOLDER) if _NAME.fullmatch(info.base_name)]

    def _fault(self, path: str) -> str | None:
        match, digest = _NAME.fullmatch(path.rpartition("/")[2]), hashlib.sha256()
        for piece in self._folder.pieces(path, most=WEIGHTS_BYTES):
            digest.update(piece)
        if match is None or digest.hexdigest() != match["digest"]:
            return "its content does not match its checksum"
        return None


def _recorded(reader: Reader) -> set[tuple[str, str]] | None:
    """Return run ids and digests of all rows with weights; None if a row may be missing."""
    runs = TABLES["runs"]
    files = reader.files(runs)
    if len(reader.intact(files)) < len(files):
        return None
    try:
        rows = reader.scan(runs, files, {}, ["run_id", "weights_digest"])
    except (OSError, pa.ArrowException):  # damaged, or merged meanwhile
        return None
    kept = rows.filter(pc.is_valid(rows["weights_digest"]))
    return set(zip(*(kept[name].to_pylist() for name in ("run_id", "weights_digest")), strict=True))


def encode(arrays: Mapping[str, np.ndarray], description: Mapping[str, object]) -> bytes:
    """Return arrays and their description as the bytes of a safetensors file.

    Equal arrays and descriptions give equal bytes.
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(whole, metadata={KEY: json.dumps(description, sort_keys=True)})


def decode(data: bytes) -> KeptWeights:
    """Return the arrays and the description in the bytes of a safetensors file.

    No more memory is taken than the arrays that are there need: declared sizes that the bytes do
    not have are refused.

    Raises:
        ValueError: the bytes are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > min(RECORD_BYTES, len(data) - _LENGTH_BYTES):
        raise ValueError(f"its header declares {length} bytes, and the file has {len(data)}")
    try:
        arrays = load(data)
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        description = json.loads(header["__metadata__"][KEY])
    except (SafetensorError, *_UNREADABLE) as error:
        raise ValueError(f"it is no safetensors file of mupc: {because(error)}") from error
    if not isinstance(description, dict):
        raise ValueError("its description is no JSON object")
    for name in arrays:
        if not _ARRAY.fullmatch(name) or name in _RESERVED:
            raise ValueError(f"it is no safetensors file of mupc: it has an array named {name!r}")
    return KeptWeights(arrays, description)


def _path(run_id: str, digest: str) -> str:
    """Return the path of a file. Raises LedgerError for what is no id or digest of ours."""
    name = f"{run_id}-{digest}.safetensors"
    if not _NAME.fullmatch(name):
        raise LedgerError(f"there are no weights of run {run_id!r} with digest {digest!r}")
    return f"{FOLDER}/{name}"
