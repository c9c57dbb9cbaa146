"""Power laws that take learning rates from tuned shapes to others: pure functions.

    rate(N, L) = rate(N0, L0) (L / L0)^q (N / N0)^p,   L = H + 1 weight matrices

(N0, L0) is the tuned shape. The exponents q and p have the sign of powers: with q = -1/2 the rate
falls as 1 / sqrt(L). The laws use L rather than H because muPC scales its layers by L (thesis
table 5.1).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy import ndarray

from results.landscape import Cell
from results.shapes import Shape
from results.vocabulary import SIZE_SYMBOLS, SIZES, rate_name
from transfer.judge.estimate import LEVEL, Estimate, summarise
from transfer.judge.refine import RefinedOptimum
from transfer.space import describe_edges, rounded

WIDEST = 1.0
"""An exponent with a wider interval is not determined."""


class UnfittedError(ValueError):
    """The runs do not determine a law; the message gives the reason."""


@dataclass(frozen=True)
class Exponents:
    """The exponents of L / L0 and of N / N0 in the law of one rate.

    Attributes:
        depth: q.
        width: p.
    """

    depth: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """The learning rates that a law predicts for a shape.

    Attributes:
        cell: the rates; those that the law changes are rounded to four significant digits.
        rates: the rates that have an interval, by name, not rounded.
    """

    cell: Cell
    rates: Mapping[str, Estimate] = field(default_factory=dict)


class Law(Protocol):
    """The law that a transfer rule makes for one arm."""

    @property
    def base(self) -> Cell | None:
        """The tuned optimum that predictions start from; None if a fit replaces it."""
        ...

    @property
    def exponents(self) -> Mapping[str, Mapping[str, Estimate]]:
        """The exponents by rate and size ("depth", "width"), as far as the law has them."""
        ...

    @property
    def note(self) -> str:
        """Text to add to the reason of a verdict."""
        ...

    def predict(self, shape: Shape) -> Prediction:
        """Return the rates for a shape."""
        ...


@dataclass(frozen=True)
class Prescribed:
    """A law with prescribed exponents.

    Attributes:
        origin: the tuned shape.
        base: the best cell there.
        powers: the exponents by rate; a rate without exponents stays.
        note: text to add to the reason of a verdict.
    """

    origin: Shape
    base: Cell
    powers: Mapping[str, Exponents]
    note: str = ""

    @property
    def exponents(self) -> Mapping[str, Mapping[str, Estimate]]:
        return {
            rate: {size: Estimate(getattr(powers, size)) for size in SIZES}
            for rate, powers in self.powers.items()
            if rate in self.base
        }

    def predict(self, shape: Shape) -> Prediction:
        """Return the rates of the tuned optimum times (L / L0)^q (N / N0)^p."""
        depth, width = _log_sizes(self.origin, shape)
        growth = {
            name: powers.depth * depth + powers.width * width
            for name, powers in self.powers.items()
            if name in self.base
        }
        return Prediction(
            self.base.but(
                {
                    name: rounded(self.base[name] * math.exp(power))
                    for name, power in growth.items()
                    if power != 0
                }
            )
        )


@dataclass(frozen=True)
class Combination:
    """A product of powers of the rates, and its exponent in a size.

    Attributes:
        powers: of each rate; the largest is 1.
        exponent: of the product.
    """

    powers: Mapping[str, float]
    exponent: Estimate

    def __str__(self) -> str:
        """Return the product in words: "eta beta^0.5"."""
        return " ".join(
            rate_name(rate) + ("" if power == 1 else f"^{power:g}")
            for rate, power in self.powers.items()
            if power
        )


@dataclass(frozen=True)
class Fitted:
    """A law fitted by least squares to the logarithms of optima at several shapes.

    The fit is repeated for each draw of the optima, in all rates at once. Its intervals cover the
    variation over seeds at these shapes. They do not cover deviations from the law beyond the
    shapes, which the runs at the target reveal.

    Attributes:
        origin: the tuned shape.
        base: None, as no single optimum decides.
        kept: a cell with the rates that were searched at one value only, or not at all.
        coefficients: for each rate with several values, draws of the logarithm of the rate at
            `origin` and of the exponents of depth and width (R, 3). The exponent of a size in which
            the shapes do not differ is NaN.
        optima: the optima that it was fitted to.
        note: text to add to the reason of a verdict.
    """

    origin: Shape
    kept: Cell
    coefficients: Mapping[str, ndarray]
    optima: Mapping[Shape, RefinedOptimum]
    note: str = ""
    base: None = None

    @property
    def exponents(self) -> Mapping[str, Mapping[str, Estimate]]:
        return {rate: self._exponents(values) for rate, values in self.coefficients.items()}

    @property
    def combination(self) -> Mapping[str, Combination]:
        """The product of powers of the rates of which the runs determine the exponent best.

        By size; empty with a single rate.
        """
        if len(self.coefficients) < 2:
            return {}
        found = {}
        for place, size in enumerate(SIZES, 1):
            draws = np.array([values[:, place] for values in self.coefficients.values()])
            if np.isnan(draws).any():
                continue
            _, axes = np.linalg.eigh(np.cov(draws))
            powers = axes[:, 0] / axes[np.abs(axes[:, 0]).argmax(), 0]
            powers = np.round(powers, 1)
            exponent = self._estimate(powers @ draws)
            found[size] = Combination(
                dict(zip(self.coefficients, powers.tolist(), strict=True)), exponent
            )
        return found

    def predict(self, shape: Shape) -> Prediction:
        """Return the rates of the law, each with its interval."""
        at = {name: self.rate(name, shape) for name in self.coefficients}
        return Prediction(self.kept.but({n: rounded(r.value) for n, r in at.items()}), at)

    def rate(self, name: str, shape: Shape) -> Estimate:
        """Return one rate at a shape, not rounded."""
        values = self.coefficients[name]
        sizes = np.array([1.0, *_log_sizes(self.origin, shape)])
        used = sizes != 0  # exponents that were not fitted are NaN
        return self._estimate(np.exp(values[:, used] @ sizes[used]))

    def _exponents(self, coefficients: ndarray) -> dict[str, Estimate]:
        """Return the exponents of one rate."""
        columns = {size: coefficients[:, 1 + place] for place, size in enumerate(SIZES)}
        return {
            size: self._estimate(draws) for size, draws in columns.items() if not np.isnan(draws[0])
        }

    def _estimate(self, draws: ndarray) -> Estimate:
        """Return the estimate of draws, without an interval where a shape has one seed."""
        found = summarise(draws)
        single = any(best.seeds < 2 for best in self.optima.values())
        return Estimate(found.value) if single else found


@dataclass(frozen=True)
class RulePredictions:
    """The predictions of one transfer rule for one arm.

    Attributes:
        rule: a name in `transfer.spec.transfer_rules.TRANSFER_RULES`.
        law: the law that the rule makes of the search; None if the runs do not determine it.
        predicted: learning rates by target; empty without a law.
        note: text that the law, or its absence, adds to the reason of a verdict.
    """

    rule: str
    law: Law | None
    predicted: Mapping[Shape, Prediction]
    note: str


def fit(origin: Shape, optima: Mapping[Shape, RefinedOptimum | None]) -> Fitted:
    """Return the law fitted by least squares to the optima of several shapes.

    A shape whose best cell lies on the edge of the grid is left out for both rates, as the optimal
    value of one depends on the other.

    Args:
        origin: the tuned shape.
        optima: the optimum of every shape that was searched; None if nothing trained there.

    Raises:
        UnfittedError: too few shapes are left.
    """
    usable = {shape: best for shape, best in optima.items() if best and not best.edges}
    remarks = list(_left_out(optima))
    varied = varied_sizes(list(optima))
    sizes = np.array([_log_sizes(origin, shape) for shape in usable]).reshape(-1, 2)
    columns = [0, *(1 + SIZES.index(size) for size in varied)]
    design = np.column_stack([np.ones(len(usable)), sizes])[:, columns]
    if len(usable) < needed(varied) or np.linalg.matrix_rank(design) < len(columns):
        inside = f"{len(usable)} of {len(optima)} shapes have an optimum inside the grid"
        raise UnfittedError("; ".join([f"no law could be fitted: {inside}", *remarks]))
    solve = np.linalg.pinv(design)
    some = next(iter(usable.values()))
    coefficients = {}
    draws = {shape: best.log_rates for shape, best in usable.items()}
    for name in some.rates:
        observed = np.array([draws[shape][name] for shape in usable])
        coefficients[name] = np.full((observed.shape[1], 3), np.nan)
        coefficients[name][:, columns] = (solve @ observed).T
    law = Fitted(origin, some.cell, coefficients, usable)
    laws = [describe(rate, exponents) for rate, exponents in law.exponents.items()]
    return replace(law, note="; ".join([*laws, *_combined(law), *remarks]))


def varied_sizes(shapes: Sequence[Shape]) -> list[str]:
    """Return the sizes in which the shapes differ."""
    return [size for size in SIZES if len({getattr(shape, size) for shape in shapes}) > 1]


def needed(varied: Sequence[str]) -> int:
    """Return the number of shapes that a fit needs: one more than it has unknowns.

    With fewer shapes the fit passes through all optima and cannot fail.
    """
    return 2 + len(varied)


def compatible_with_zero(exponent: Estimate) -> bool:
    """Return whether the interval contains 0, which means that the rate may stay."""
    return exponent.bounded and exponent.low <= 0 <= exponent.high


def determined(exponent: Estimate) -> bool:
    """Return whether the runs determine an exponent: its interval is at most `WIDEST` wide.

    Where there is no interval, they do.
    """
    return not exponent.bounded or exponent.high - exponent.low <= WIDEST


def describe(rate: str, exponents: Mapping[str, Estimate]) -> str:
    """Return the fitted law of one rate in words."""
    name = rate_name(rate)
    known = {size: e for size, e in exponents.items() if determined(e)}
    parts = []
    if known:
        powers = " ".join(f"{SIZE_SYMBOLS[size]}^{_interval(e)}" for size, e in known.items())
        across = " and ".join(size for size, e in known.items() if compatible_with_zero(e))
        zero = f", compatible with zero-shot transfer across {across}" if across else ""
        parts.append(f"{name} scales as {powers}{zero}")
    parts += [
        f"the exponent of {name} in {SIZE_SYMBOLS[size]} is not determined "
        f"({LEVEL:.0%} interval {e.low:.2f} to {e.high:.2f})"
        for size, e in exponents.items()
        if size not in known
    ]
    return "; ".join(parts)


def _combined(law: Fitted) -> Iterator[str]:
    """Yield the combination of rates whose exponent is determined where one rate's is not."""
    for size, found in law.combination.items():
        alone = all(determined(exponents[size]) for exponents in law.exponents.values())
        if not alone and determined(found.exponent):
            yield f"{found} scales as {SIZE_SYMBOLS[size]}^{_interval(found.exponent)}"


def _interval(exponent: Estimate) -> str:
    if not exponent.bounded:
        return f"{exponent.value:.2f}"
    return f"{exponent.value:.2f} ({LEVEL:.0%} interval {exponent.low:.2f} to {exponent.high:.2f})"


def _log_sizes(origin: Shape, shape: Shape) -> tuple[float, float]:
    """Return log(L / L0) and log(N / N0)."""
    return (
        math.log((shape.depth + 1) / (origin.depth + 1)),
        math.log(shape.width / origin.width),
    )


def _left_out(optima: Mapping[Shape, RefinedOptimum | None]) -> Iterator[str]:
    for shape, best in optima.items():
        if best is None:
            yield f"nothing trained at {shape}"
        elif best.edges:
            yield f"{shape} was left out, as its optimum is at the {describe_edges(best.edges)}"
