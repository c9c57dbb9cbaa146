"""Inputs and targets in the containers that users have: tables, pairs, data sets of libraries.

A container is recognised by its interface, so that no library has to be known here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np

from pccore.data.errors import DatasetError
from pccore.data.inputs import array_of


@runtime_checkable
class Columns(Protocol):
    """A table, which has its columns by name."""

    def __getitem__(self, name: str, /) -> Iterable[object]: ...


@runtime_checkable
class Samples(Protocol):
    """A sequence of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> object: ...


def inputs_and_targets(
    x: object, y: object, what: str = "x", columns: Sequence[str] = ()
) -> tuple[object, object, tuple[str, ...]]:
    """Return inputs and targets taken apart, and the names of the inputs if they are columns.

    Args:
        x: an array; a table with named columns (a mapping, a frame, a data set of Hugging Face); or
            a sequence of pairs (x, y) or of mappings.
        y: an array, the name of the column of targets, several names, or None for pairs.
        what: name of the inputs in an error message.
        columns: names of the inputs, in the order in which they are wanted; all by default.

    Raises:
        DatasetError: there are no targets, or no such column.
    """
    names = column_names(x)
    if names is None and _is_samples(x, y):
        x, names = _columns_of_samples(x, what)
        if y is None and names == ("0", "1"):
            return x["0"], x["1"], ()
    if names is None or not isinstance(x, Columns):
        if y is None or isinstance(y, str):
            raise DatasetError(f"{what} has no columns, so give the targets as an array")
        return x, y, ()
    if y is None:
        raise DatasetError(
            f"{what} has the columns {', '.join(names)}: say which is the target, as y"
        )
    targets = [y] if isinstance(y, str) else _columns_in(names, y)
    if isinstance(y, str):
        require_column(y, names, what)
    used = tuple(columns) or tuple(name for name in names if name not in targets)
    for name in used:
        require_column(name, names, what)
    inputs = joined({name: x[name] for name in used}, what)
    if isinstance(y, str):
        y = _plain(x[y])
    elif targets:
        y = joined({name: x[name] for name in targets}, what)
    return inputs, y, used


def column_names(table: object) -> tuple[str, ...] | None:
    """Return the names of the columns of a table; None if it is no table.

    Raises:
        DatasetError: two columns have the same name.
    """
    found = table if isinstance(table, Mapping) else getattr(table, "column_names", None)
    if found is None:
        found = getattr(table, "columns", None)
    if found is None or callable(found) or not isinstance(table, Columns):
        return None
    names = list(found)
    counts = Counter(map(str, names))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DatasetError(f"two columns have the name {twice[0]!r}: rename one of them")
    if not all(isinstance(name, str) for name in names):
        raise DatasetError(f"columns must have names in text, got {names[0]!r}")
    return tuple(names)


def require_column(name: object, names: Sequence[str], what: str) -> None:
    """Raise `DatasetError` unless there is a column of this name."""
    if name in names:
        return
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise DatasetError(f"{what} has no column {name!r}: it has {shown}{hint}")


def joined(columns: Mapping[str, Iterable[object]], what: str) -> np.ndarray:
    """Return columns side by side; a single column keeps its shape.

    Raises:
        DatasetError: there is none, or one of several has no numbers, or vectors.
    """
    if not columns:
        raise DatasetError(f"{what} has no column of inputs beside the targets")
    if len(columns) == 1:
        (name,) = columns
        return array_of(_plain(columns[name]), f"column {name!r}")
    arrays = {}
    for name, column in columns.items():
        arrays[name] = array = array_of(_plain(column), f"column {name!r}")
        if array.dtype.kind not in "biuf" or array.ndim != 1:
            found = "text" if array.dtype.kind in "US" else f"{array.dtype} {array.shape}"
            raise DatasetError(
                f"column {name!r} must have a number per sample, got {found}: leave it out of the "
                "inputs, or make it the target"
            )
    return np.column_stack(list(arrays.values()))


def _plain(column: Iterable[object]) -> Iterable[object]:
    """Return a column as NumPy reads it; a lazy one of a library as a list."""
    if hasattr(column, "__array__") or isinstance(column, list | tuple):
        return column
    return list(column)


def _columns_in(names: Sequence[str], y: object) -> list[str]:
    """Return the names in a list of names of columns; none if it is a list of something else."""
    if not isinstance(y, list | tuple) or not all(isinstance(each, str) for each in y):
        return []
    return list(y) if set(y) <= set(names) else []


def _is_samples(x: object, y: object) -> TypeGuard[Samples]:
    """Return whether `x` is a sequence of samples that have their targets with them."""
    if hasattr(x, "__array__") or not isinstance(x, Samples):
        return False
    return y is None or (isinstance(y, str) and len(x) > 0 and isinstance(x[0], Mapping))


def _columns_of_samples(
    samples: Samples, what: str
) -> tuple[dict[str, list[object]], tuple[str, ...]]:
    """Return the columns of samples that are pairs ("0" and "1") or mappings."""
    columns: dict[str, list[object]] = {}
    names: tuple[str, ...] = ()
    for place in range(len(samples)):
        sample = samples[place]
        if isinstance(sample, tuple | list) and len(sample) == 2:
            sample = {"0": sample[0], "1": sample[1]}
        if not isinstance(sample, Mapping):
            raise DatasetError(
                f"{what} must have pairs (x, y) if y is left out, got a {type(sample).__name__} as "
                f"sample {place}"
            )
        if not columns:
            names = tuple(map(str, sample))
            columns = {name: [] for name in names}
        if tuple(map(str, sample)) != names:
            raise DatasetError(f"{what} has other columns in sample {place} than in the first")
        for name, value in sample.items():
            columns[str(name)].append(value)
    if not columns:
        raise DatasetError(f"{what} has no samples")
    return columns, names
