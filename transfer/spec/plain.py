"""Values from Python as a spec has them: mappings, lists, numbers, strings.

Specs written in Python hold numbers and containers of other libraries. They are taken for what they
are: a range or an array is a list, an integer of NumPy an integer. A container is recognised by its
interface, so that no library but NumPy has to be known here.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np

from pccore.own import Own
from transfer.spec.errors import RejectedError

DEEPEST = 20
LONGEST = 100_000


def plain(value: object) -> object:
    """Return the mappings, lists and scalars that `value` stands for.

    Mappings become dictionaries; sequences, ranges and arrays (of NumPy, pandas or JAX: anything
    with `__array__`) lists; scalars of NumPy those of Python. A number in less than double
    precision becomes the shortest decimal that rounds to it: float32(0.1) is 0.1, with the run ids
    of 0.1. Everything else, such as sets and generators, stays as it is.

    Raises:
        RejectedError: a sequence of more than 100,000 entries, more than 20 levels, or a container
            whose entries cannot be read.
    """
    return _plain(value, "", DEEPEST)


def _plain(value: object, where: str, levels: int) -> object:
    entries = _entries(value, where)
    if not isinstance(entries, dict | list):
        return _scalar(entries)
    if not levels:
        raise RejectedError(f"must have at most {DEEPEST} levels", type(value), where)
    if isinstance(entries, dict):
        return {k: _plain(entry, f"{where}.{k}", levels - 1) for k, entry in entries.items()}
    return [_plain(entry, f"{where}[{n}]", levels - 1) for n, entry in enumerate(entries)]


def _entries(value: object, where: str) -> object:
    """Return the entries of a container in a dictionary or a list, or the value if it is none."""
    if isinstance(value, str | bytes | bytearray | memoryview | np.generic | type):
        return value
    try:
        if isinstance(value, Mapping):
            return {_scalar(key): entry for key, entry in value.items()}
        if hasattr(value, "__array__"):
            array = np.asanyarray(value)
            value = array if array.ndim else array[()]
        if isinstance(value, tuple) and hasattr(value, "_fields") and any(map(callable, value)):
            return value  # such as an Optax transformation, which is no list
        if isinstance(value, Sequence | np.ndarray) and len(value) <= LONGEST:
            return list(value)
    except Exception as error:  # of the container's own, such as an interpolation without a value
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise RejectedError(f"cannot be read: {cause}", type(value), where) from None
    if isinstance(value, Sequence | np.ndarray):
        raise RejectedError(f"must have at most {LONGEST:,} entries", value, where)
    return value


def _scalar(value: object) -> object:
    """Return the number, truth value or string of Python that a scalar is; others as they are."""
    match value:
        case bool() | np.bool_():
            return bool(value)
        case int() | np.integer():
            return int(value)
        case float():
            return float(value)
        case np.floating():
            return float(np.format_float_scientific(value))
        case Decimal() | Fraction():
            return float(value)
        case str() if not isinstance(value, Own):
            return str.__str__(value)
    return value
