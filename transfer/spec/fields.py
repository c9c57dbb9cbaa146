"""How the values of a spec are read: a function per kind of value.

Each takes what YAML or Python gave and returns the typed value, or raises `RejectedError` with the
rule and the value. `where` is the place inside the key's value, such as "[2]".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import pccore
from pccore import Registry, UnknownNameError
from transfer.space import Grid, Range
from transfer.spec.errors import RejectedError, unknown_key

T = TypeVar("T")
Reader = Callable[..., T]
"""Takes a value and, optionally, where it is."""

# Rates must be numbers in single precision, with room to spare.
SMALLEST_RATE: float = 1e-30
LARGEST_RATE: float = 1e30
LARGEST_WIDTH, LARGEST_DEPTH = 65_536, 4_096
LARGEST_SEED = 2**32 - 1
LARGEST_COUNT = 10**8
MOST_ENTRIES = 1_000
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def integer(low: int, high: int, alternative: str | None = None) -> Reader[Any]:
    """A reader of integers from `low` to `high`, or else of the word `alternative`."""
    also = f" or {alternative!r}" if alternative else ""

    def read(value: object, where: str = "") -> Any:
        if isinstance(value, str) and value == alternative:
            return value
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise RejectedError(
            f"must be an integer from {low:,} to {high:,}{also}", value, where=where
        )

    return read


def number(low: float, high: float) -> Reader[float]:
    """A reader of numbers from `low` to `high`."""

    def read(value: object, where: str = "") -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise RejectedError(f"must be a number from {low:g} to {high:g}", value, where=where)

    return read


def name_in(registry: Registry[Any]) -> Reader[str]:
    """A reader of names that `registry` holds."""

    def read(value: object, where: str = "") -> str:
        if not isinstance(value, str):
            raise RejectedError(f"must be one of {', '.join(registry)}", value, where=where)
        try:
            registry[value]
        except UnknownNameError as error:
            raise RejectedError(f"is an {error}", where=where) from None
        return value

    return read


def list_of(read: Callable[[object, str], T]) -> Reader[tuple[T, ...]]:
    """A reader of lists of different entries, each as `read` reads it."""

    def read_all(value: object, where: str = "") -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise RejectedError("must be a list", value, where=where)
        if not 1 <= len(value) <= MOST_ENTRIES:
            raise RejectedError(f"must have 1 to {MOST_ENTRIES:,} entries, got {len(value):,}")
        result: list[T] = []
        for place, entry in enumerate(value):
            item = read(entry, f"{where}[{place}]")
            if item in result:
                raise RejectedError("must not be given twice", entry, where=f"{where}[{place}]")
            result.append(item)
        return tuple(result)

    return read_all


width = integer(1, LARGEST_WIDTH)
depth = integer(1, LARGEST_DEPTH)
count = integer(1, LARGEST_COUNT)
inference_steps = integer(1, LARGEST_COUNT, "depth")
neighbourhood = integer(0, MOST_ENTRIES, "all")
rate = number(SMALLEST_RATE, LARGEST_RATE)
epochs = number(1e-6, 1e6)
tolerance = number(1e-6, 1e6)
decay = number(0, LARGEST_RATE)
exponent = number(-10, 10)
activation = name_in(pccore.ACTIVATIONS)


def flag(value: object, where: str = "") -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise RejectedError("must be true or false", value, where=where)
    return value


def label(value: object) -> str:
    """A name of up to 64 letters, digits, dots, dashes and underscores."""
    if not isinstance(value, str) or not LABEL.fullmatch(value):
        raise RejectedError(
            "must be a name of up to 64 letters, digits, dots, dashes and underscores that starts "
            "with a letter or digit",
            value,
        )
    return value


def rates(value: object) -> Grid | Range:
    """A list of learning rates, or a range."""
    if isinstance(value, Grid | Range):  # from Python: checked like what YAML gives
        value = rates_as_yaml(value)
    if isinstance(value, list | tuple):
        return Grid(tuple(sorted(list_of(rate)(value))))
    if not isinstance(value, Mapping):
        raise RejectedError(
            "must be a list of learning rates or a range {low: ..., high: ..., log: true}", value
        )
    _require_keys(value, ("low", "high"), ("log",))
    low, high = rate(value["low"], ".low"), rate(value["high"], ".high")
    if low >= high:
        raise RejectedError(f"must be above low ({low:g})", high, where=".high")
    return Range(low, high, flag(value.get("log", True), ".log"))


def rates_as_yaml(value: Grid | Range) -> Any:
    """What `rates` reads back as `value`."""
    return list(value.values) if isinstance(value, Grid) else asdict(value)


def activations(value: object) -> tuple[str, ...]:
    """One activation, or a list of them."""
    return (activation(value),) if isinstance(value, str) else list_of(activation)(value)


def activations_as_yaml(value: tuple[str, ...]) -> Any:
    """What `activations` reads back as `value`."""
    return value[0] if len(value) == 1 else list(value)


def seeds(value: object) -> tuple[int, ...]:
    """A count n, for the seeds 0 .. n - 1, or a list of seeds."""
    if isinstance(value, list | tuple):
        return list_of(integer(0, LARGEST_SEED))(value)
    return tuple(range(integer(1, MOST_ENTRIES)(value)))


def seeds_as_yaml(value: tuple[int, ...]) -> Any:
    """What `seeds` reads back as `value`."""
    return len(value) if value == tuple(range(len(value))) else list(value)


def sections(value: object) -> tuple[Any, ...]:
    """A list of mappings, which pydantic reads."""
    return list_of(lambda entry, where: entry)(value)


def variants(value: object) -> tuple[Any, ...]:
    """A list of variants: a name stands for the mapping {name: ...}."""
    return tuple({"name": v} if isinstance(v, str) else v for v in sections(value))


def _require_keys(
    value: Mapping[Any, Any], required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    for key in value:
        if key not in required + optional:
            raise RejectedError(f"has the {unknown_key(key, required + optional)}")
    for key in required:
        if key not in value:
            raise RejectedError(f"must have the key {key!r}", value)
