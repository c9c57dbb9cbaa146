"""The judge on plain arrays: verdicts and laws without a spec, a ledger or a pool."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from results.landscape import Cell, Landscape, optimum
from results.shapes import Shape
from results.vocabulary import RATES, OutcomeLabel
from transfer.judge.law import Fitted, fit
from transfer.judge.refine import refine
from transfer.judge.verdict import Verdict, judge, without_optimum
from transfer.space import Grid, Space

Runs = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike]
"""The runs of C cells with S seeds each at one shape: (rates, losses) or (rates, losses, statuses).

    rates       (C,) or (C, 1): eta of each cell; (C, 2): eta and beta; (C, n): any n rates, which
                `names` names; positive
    losses      (C, S): final training loss; NaN where a run did not train or does not exist
    statuses    (C, S): "trained", "at_chance", "diverged", "failed" (the machine's fault: missing),
                or "" for a run that does not exist; by default "trained" where the loss is finite,
                and "diverged" elsewhere
"""


def judge_landscapes(
    tuned: Runs,
    target: Runs,
    transferred: ArrayLike | None = None,
    *,
    tolerance: float = 0.1,
    untrained_loss: float | None = None,
    names: Sequence[str] = RATES,
) -> Verdict:
    """Judge whether the best rates of a tuned shape are good at a target.

    The same model and words as those of an experiment; the same arrays give the same verdict.

        tuned = rates, losses              # 25 cells, 3 seeds: shapes (25, 2) and (25, 3)
        target = near_rates, near_losses   # 9 cells, 3 seeds: shapes (9, 2) and (9, 3)
        verdict = transfer.judge_landscapes(tuned, target)
        verdict.label, verdict.probability, verdict.regret.low, verdict.drift["weight_lr"].high

    Args:
        tuned: the runs at the tuned shape.
        target: the runs at the target, those of the transferred cell and of others around it.
        transferred: the rates of the cell to judge, one of the target's; by default the cell with
            the lowest mean loss at the tuned shape.
        tolerance: how far, as a fraction, the loss may be above that of the best cell.
        untrained_loss: the loss before training. Losses below a millionth of it count as that.
        names: of the rates, in the order of the columns.

    Returns:
        label: "held", "drifted", "inconclusive" or "untrained". The label "edge" needs the searched
        space, and is not given here.
        regret, achievable: log(loss / best loss), against the best cell that ran and trained, and
        against the best rates between the cells; `value`, `low` and `high`. None without rivals.
        probability: that the regret is at most log(1 + tolerance).
        drift, optimum: by the name of the rate, such as "weight_lr". An infinite bound is an open
            side.
        With one seed at either shape there are no intervals (NaN) and no probability.

    Raises:
        ValueError: the shapes of the arrays do not agree, a rate is not positive, a status is
            unknown, or the transferred cell did not run at the target.
    """
    here, there = landscape(*tuned, names=names), landscape(*target, names=names)
    if transferred is None:
        cell = optimum(here)
        if cell is None:
            return without_optimum(here)
    else:
        cell = _cell(np.atleast_1d(np.asarray(transferred, float)), names)
    if cell not in there.cells:
        raise ValueError(f"the transferred cell, {cell}, must be one of the target's cells")
    return judge(here, there, cell, None, tolerance, untrained=untrained_loss)


def fit_landscapes(
    origin: tuple[int, int],
    landscapes: Mapping[tuple[int, int], Runs],
    *,
    untrained_loss: float | None = None,
    names: Sequence[str] = RATES,
) -> Fitted:
    """Fit power laws through the optima of several shapes, jointly in all rates.

        rate(N, L) = rate(N0, L0) (L / L0)^q (N / N0)^p,   L = H + 1 weight matrices

        law = transfer.fit_landscapes((32, 7), {(32, 3): runs, (32, 7): runs, (32, 15): runs})
        q = law.exponents["weight_lr"]["depth"]   # value, low, high
        transfer.determined(q)                    # whether the interval is at most 1 wide

    Args:
        origin: (N0, H0), the shape that exponents refer to.
        landscapes: the runs of a full grid of rates at each shape, by (width N, hidden layers H).
        untrained_loss: the loss before training. Losses below a millionth of it count as that.
        names: of the rates, in the order of the columns.

    Returns:
        exponents: by rate ("weight_lr", "activity_lr") and size ("depth": q, "width": p).
        combination: by size, the product of powers of the rates whose exponent is known best.

    Raises:
        UnfittedError: too few shapes have an optimum inside their grid.
        ValueError: the shapes of the arrays do not agree, or a rate is not positive.
    """
    optima = {}
    for seed, (shape, runs) in enumerate(landscapes.items()):
        found = landscape(*runs, names=names)
        optima[Shape(*shape)] = refine(found, _space(found), seed, untrained_loss)
    return fit(Shape(*origin), optima)


def landscape(
    rates: ArrayLike,
    losses: ArrayLike,
    statuses: ArrayLike | None = None,
    *,
    names: Sequence[str] = RATES,
) -> Landscape:
    """Return the landscape of plain arrays; see `Runs`.

    Raises:
        ValueError: the shapes do not agree, a rate is not positive, or a status is unknown.
    """
    at, values = np.asarray(rates, float), np.asarray(losses, float)
    at = at[:, None] if at.ndim == 1 else at
    if at.ndim != 2 or not 1 <= at.shape[1] <= len(names):
        named = "" if names is RATES else f" for the names {', '.join(names)}"
        shapes = ", ".join(f"(C, {n})" for n in range(1, len(names)))
        raise ValueError(
            f"rates must have the shape (C,), {shapes} or (C, {len(names)}){named}, got {at.shape}"
        )
    if values.ndim != 2 or len(values) != len(at):
        raise ValueError(f"losses must have the shape ({len(at)}, S), got {values.shape}")
    if not (np.isfinite(at) & (at > 0)).all():
        raise ValueError("rates must be positive")
    if statuses is None:
        return Landscape.of_losses([_cell(row, names) for row in at], values)
    words = np.array(np.asarray(statuses), str)
    if words.shape != values.shape:
        raise ValueError(f"statuses must have the shape {values.shape}, got {words.shape}")
    unknown = sorted(set(words.ravel().tolist()) - {"", *OutcomeLabel})
    if unknown:
        allowed = ", ".join(OutcomeLabel)
        raise ValueError(f'statuses must be {allowed} or "", got {unknown[0]!r}')
    return Landscape.of_losses([_cell(row, names) for row in at], values, words)


def _cell(rates: np.ndarray, names: Sequence[str]) -> Cell:
    return Cell(**dict(zip(names, rates.tolist(), strict=False)))


def _space(found: Landscape) -> Space:
    """Return the grid of the cells."""
    return Space(
        **{
            name: Grid(tuple(sorted({cell[name] for cell in found.cells})))
            for name in found.cells[0]
        }
    )
