"""Weights in files of the user's choice: safetensors, NumPy's npz, or a folder of npy files."""

import io
import json
from pathlib import Path
from uuid import uuid4

import numpy as np

from results.errors import LedgerError, because
from results.storage.limits import WEIGHTS_BYTES
from results.storage.regular import open_regular, require_size
from results.storage.weights import KeptWeights, decode, encode

DESCRIPTION = "description"
"""The name, in npz and in folders, of the JSON text that describes the network."""

SUFFIXES = (".safetensors", ".npz")
_ZIP = b"PK\x03\x04"
"""How an npz begins. No safetensors file of ours does: its header would have 64 MiB."""


def export(kept: KeptWeights, place: Path) -> None:
    """Write weights with their description.

    A file is complete as soon as it exists. A folder is complete when it has `description.json`.

    Args:
        kept: the weights.
        place: a file that ends in .safetensors or .npz; any other name is a folder with an npy file
            per array.

    Raises:
        FileExistsError: there is something at `place`.
        OSError: it cannot be written.
    """
    if place.suffix == ".safetensors":
        _write(place, encode(kept.arrays, kept.description))
    elif place.suffix == ".npz":
        buffer = io.BytesIO()
        arrays = {**kept.arrays, DESCRIPTION: np.array(json.dumps(kept.description))}
        np.savez(buffer, allow_pickle=False, **arrays)
        _write(place, buffer.getvalue())
    else:
        place.mkdir(parents=True)
        for name, array in kept.arrays.items():
            np.save(place / f"{name}.npy", array, allow_pickle=False)
        text = json.dumps(kept.description, indent=2) + "\n"
        (place / f"{DESCRIPTION}.json").write_text(text)


def read_weights(path: Path | str) -> KeptWeights:
    """Return the weights in a safetensors file that `mupc export` wrote.

    Raises:
        LedgerError: the file cannot be read, is too large, or is no such file.
    """
    try:
        with open_regular(path) as file:
            require_size(Path(path).stat().st_size, WEIGHTS_BYTES, str(path))
            data = file.read(WEIGHTS_BYTES + 1)
    except (OSError, MemoryError) as error:
        raise LedgerError(f"cannot read {str(path)!r}: {because(error)}") from error
    if data.startswith(_ZIP):
        raise LedgerError(
            f"{str(path)!r} is an npz file, which numpy.load reads: networks are in the "
            "safetensors files that `mupc export RUN` writes without --to"
        )
    try:
        return decode(data)
    except ValueError as error:
        raise LedgerError(f"{str(path)!r} has no network: {error}") from error


def _write(path: Path, data: bytes) -> None:
    """Write a new file atomically."""
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
