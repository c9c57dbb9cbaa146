"""Checks for the constructors of frozen configurations."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, get_type_hints


@dataclass(frozen=True)
class Bounds:
    """The values that a setting may take, as an annotation of its field.

    Attributes:
        least: the smallest value; None if there is none.
        above: a value that it must exceed; None if there is none.
        below: a value that it must stay below; None if there is none.
    """

    least: int | None = None
    above: int | None = None
    below: int | None = None


PositiveInt = Annotated[int, Bounds(least=1)]
NonNegativeInt = Annotated[int, Bounds(least=0)]
PositiveFloat = Annotated[float, Bounds(above=0)]
NonNegativeFloat = Annotated[float, Bounds(least=0)]
DecayRate = Annotated[float, Bounds(least=0, below=1)]


def require_bounds(config: object) -> None:
    """Raise `ValueError` unless every attribute of `config` is within its declared bounds."""
    for name, bounds in _bounds(type(config)):  # type: ignore[arg-type]  # a class is hashable
        if bounds.below is not None:
            require_decay_rates(config, name)
        elif bounds.least is not None:
            require_at_least(config, bounds.least, name)
        else:
            require_positive(config, name)


@cache
def _bounds(described: type) -> tuple[tuple[str, Bounds], ...]:
    """Return the bounded attributes of a class, and their bounds."""
    hints = get_type_hints(described, include_extras=True)
    return tuple(
        (name, bounds)
        for name, hint in hints.items()
        for bounds in getattr(hint, "__metadata__", ())
        if isinstance(bounds, Bounds)
    )


def require_at_least(config: object, least: int, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is at least `least`."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def require_decay_rates(config: object, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def require_positive(config: object, *names: str) -> None:
    """Raise `ValueError` unless each named attribute of `config` is above 0."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
