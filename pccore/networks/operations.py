"""Multiply-adds of traced functions, counted without a device."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


def multiply_adds(jaxpr: Jaxpr) -> int:
    """Return the multiply-adds of the products and convolutions in a program.

    The body of a scan counts as often as it runs, that of a loop of unknown length once.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            shape = _shape(equation.invars[0])
            total += math.prod(_shape(equation.outvars[0])) * math.prod(
                shape[axis] for axis in contracted
            )
        elif name == "conv_general_dilated":
            kernel = _shape(equation.invars[1])
            features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
            total += math.prod(_shape(equation.outvars[0])) * math.prod(kernel) // features
        else:
            times = parameters["length"] if name == "scan" else 1
            total += times * sum(map(multiply_adds, _inner(parameters.values())))
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = variable.aval.shape
    return shape


def _inner(values: Iterable[object]) -> Iterator[Jaxpr]:
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner(value)
