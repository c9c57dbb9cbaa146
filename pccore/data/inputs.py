"""Inputs of any source as the array that training reads: (n, D), uint8 or float32.

Equal numbers become equal arrays, whatever type they had: whole numbers from 0 to 255 are stored as
uint8, everything else as float32.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pccore.data.errors import DatasetError

_ROWS = 4096  # read at a time, so that no second copy of the data is needed
_KINDS = {"U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "durations"}
_EXACT = 2**24  # whole numbers up to here are exact in float32


def array_of(values: object, what: str) -> np.ndarray:
    """Return an array, list, tensor or sequence of such as an array of numbers or of text.

    Args:
        values: anything that NumPy reads, or a sequence of arrays, tensors or images of one shape.
        what: its name in an error message.

    Raises:
        DatasetError: it is no array, its samples have different shapes, or one is missing.
    """
    try:
        if isinstance(values, list | tuple) and values and hasattr(values[0], "__array__"):
            values = [np.asarray(value) for value in values]
        array = np.asarray(values)
    except ValueError:  # NumPy's sentence is about sequences and dimensions
        raise DatasetError(
            f"{what} has samples of different shapes, and all need the same"
        ) from None
    except Exception as error:  # of the container's own
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"{what} cannot be read as an array: {cause}") from None
    if array.dtype.kind == "U" and isinstance(values, list | tuple) and array.ndim == 1:
        array = np.array(values, object)  # numbers among text would have become text
    return _of_objects(array, what) if array.dtype == object else array


def inputs_of(values: object, what: str, names: Sequence[str] = ()) -> tuple[np.ndarray, str]:
    """Return inputs as stored, and a word about what was done to them.

    Args:
        values: samples (n, ...) of any real or integer type and any shape; (n,) has one input.
        what: its name in an error message.
        names: names of the inputs for error messages, if there are D.

    Returns:
        An array (n, D), uint8 or float32, and a note such as "(8, 8) float64 rounded to float32".

    Raises:
        DatasetError: there are no samples, or an input is no finite number in single precision.
    """
    array = array_of(values, what)
    if array.dtype.kind not in "biuf":
        found = _KINDS.get(array.dtype.kind, f"the type {array.dtype}")
        raise DatasetError(f"{what} must have numbers, got {found}{_example(array)}")
    if array.ndim == 0 or array.size == 0:
        raise DatasetError(f"{what} must have samples (n, ...), got the shape {array.shape}")
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind == "f":
        _require_finite(flat, what, names)
    note = f"{array.shape[1:]} " if array.ndim > 2 else ""
    if _is_bytes(flat):
        return flat.astype(np.uint8), note.strip()
    with np.errstate(over="ignore"):
        stored = flat.astype(np.float32)
    if flat.dtype.itemsize > 4 or flat.dtype.kind in "iu":
        _require_finite(stored, what, names, flat)
        if any(
            not np.array_equal(new, old)
            for new, old in zip(_parts(stored), _parts(flat), strict=True)
        ):
            note += f"{flat.dtype} rounded to float32"
    return stored, note.strip()


def require_pairs(x: np.ndarray, y: np.ndarray, inputs: str, targets: str) -> None:
    """Raise `DatasetError` unless there is one target per sample."""
    if len(x) != len(y):
        raise DatasetError(f"{inputs} has {len(x):,} samples, {targets} has {len(y):,}")


def _parts(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _ROWS):
        yield x[start : start + _ROWS]


def _is_bytes(flat: np.ndarray) -> bool:
    """Return whether all entries are whole numbers from 0 to 255."""
    if flat.dtype in (np.uint8, np.bool_):
        return True
    if flat.min() < 0 or flat.max() > 255:
        return False
    return flat.dtype.kind in "iu" or all((part == np.floor(part)).all() for part in _parts(flat))


def _require_finite(
    stored: np.ndarray, what: str, names: Sequence[str], given: np.ndarray | None = None
) -> None:
    for number, part in enumerate(_parts(stored)):
        finite = np.isfinite(part)
        if not finite.all():
            row, column = (int(each) for each in np.argwhere(~finite)[0])
            row += number * _ROWS
            named = (
                f"column {names[column]!r}" if len(names) == part.shape[1] else f"input {column}"
            )
            place = f"sample {row} (counted from 0), {named}"
            value = (stored if given is None else given)[row, column]
            if given is not None:
                raise DatasetError(f"{what} has {value} in {place}, too large for float32")
            found = "no number (nan)" if np.isnan(value) else value
            raise DatasetError(f"{what} has {found} in {place}: give finite numbers only")


def _of_objects(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array of Python objects as one of numbers or of text."""
    entries = array.ravel().tolist()
    width = max(1, array.size // max(1, len(array))) if array.ndim else 1
    has_text = any(isinstance(entry, str) for entry in entries)
    for place, entry in enumerate(entries):
        if _is_missing(entry) or (has_text and isinstance(entry, float)):
            raise DatasetError(f"{what} has no value in sample {place // width}")
    if entries and all(isinstance(entry, str) for entry in entries):
        return np.array(entries, np.str_).reshape(array.shape)
    if all(_is_number(entry) for entry in entries):
        return np.array(entries).reshape(array.shape)
    if all(hasattr(entry, "__array__") or isinstance(entry, list | tuple) for entry in entries):
        return array_of([array_of(entry, what) for entry in entries], what)
    odd = next(place for place, entry in enumerate(entries) if not _is_number(entry))
    raise DatasetError(
        f"{what} must have numbers only or text only, got a {type(entries[odd]).__name__} in "
        f"sample {odd // width}"
    )


def _is_missing(entry: object) -> bool:
    return entry is None or type(entry).__name__ in ("NAType", "NaTType")


def _is_number(entry: object) -> bool:
    return isinstance(entry, bool | int | float | np.number | np.bool_)


def _example(array: np.ndarray) -> str:
    return f" such as {str(array.ravel()[0])[:20]!r}" if array.size else ""
