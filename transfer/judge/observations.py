"""The losses of one landscape as the judge sees them: means by cell, and their noise.

    log loss = cell + seed + noise

A seed is the same draw for every cell of one shape, so its effect is common to the cells and is
taken out by least squares. What is left is noise, and its variance is pooled over cells and shapes,
as two or three seeds do not determine the variance of one cell.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from results.landscape import TINY, Landscape

FLOOR = 1e-6
"""Losses below this fraction of the untrained loss are zero for all purposes."""

PRIOR_NOISE, PRIOR_DOF = 0.05, 4
"""The standard deviation of a log loss over seeds, as known before any run, and how many degrees of
freedom it counts for."""
NOISIER = 1.25
"""How much noisier, in standard deviations, a target is expected to be than the tuned shape."""
CELL_DOF = 8
"""How many degrees of freedom the pooled noise counts for in the noise of one cell."""


@dataclass(frozen=True)
class Observations:
    """The cells of one shape that trained.

    Attributes:
        places: the index of each cell in the landscape (n,).
        points: log2 of the searched rates (n, D).
        means: mean log loss of each cell, adjusted for the seeds that ran (n,).
        counts: seeds that trained, of each cell (n,).
        squares: sum of squared residuals of each cell (n,).
        dof: degrees of freedom of all residuals together.
        seeds: seeds with a trained run.
    """

    places: Int[ndarray, " n"]
    points: Float[ndarray, "n D"]
    means: Float[ndarray, " n"]
    counts: Int[ndarray, " n"]
    squares: Float[ndarray, " n"]
    dof: int
    seeds: int

    @classmethod
    def of(
        cls,
        landscape: Landscape,
        rates: tuple[str, ...],
        *,
        keep: int | None = None,
        floor: float = 0.0,
    ) -> Self:
        """Return the observations of a landscape.

        A cell counts if all of its runs that the machine finished trained, at least one.

        Args:
            landscape: the runs.
            rates: the searched rates, in the order of the columns of `points`.
            keep: the index of a cell that counts if any of its runs trained.
            floor: added to every loss.
        """
        chosen = landscape.complete
        if keep is not None:
            chosen[keep] = np.isfinite(landscape.losses[keep]).any()
        places = np.flatnonzero(chosen)
        logs = np.log(np.maximum(landscape.losses[places] + floor, TINY))
        exists = np.isfinite(logs)
        logs, seeds = logs[:, exists.any(axis=0)], int(exists.any(axis=0).sum())
        means, residuals = without_seeds(logs)
        counts = np.isfinite(logs).sum(axis=1)
        points = [[landscape.cells[place][rate] for rate in rates] for place in places]
        return cls(
            places,
            np.log2(np.array(points, float).reshape(len(places), len(rates))),
            means,
            counts,
            np.nansum(residuals**2, axis=1),
            max(0, int(counts.sum()) - len(places) - max(0, seeds - 1)),
            seeds,
        )

    def only(self, chosen: ndarray) -> Self:
        """Return the observations of some of the cells; the degrees of freedom stay."""
        names = ("places", "points", "means", "counts", "squares")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def variance(self, prior: float) -> float:
        """Return the pooled variance of a log loss, given the standard deviation expected."""
        return float((self.squares.sum() + PRIOR_DOF * prior**2) / (self.dof + PRIOR_DOF))

    def cell_variances(self, pooled: float) -> Float[ndarray, " n"]:
        """Return the variance of each cell's mean, from its own residuals and the pooled ones."""
        own = self.squares * (self.seeds / (self.seeds - 1) if self.seeds > 1 else 0.0)
        of_run = (CELL_DOF * pooled + own) / (CELL_DOF + self.counts - 1)
        return of_run / self.counts


def without_seeds(logs: Float[ndarray, "n S"]) -> tuple[Float[ndarray, " n"], ndarray]:
    """Return the means of cells and the residuals (n, S), with the effects of seeds taken out.

    The least-squares fit of cell + seed; the effects of the seeds sum to zero.

    Args:
        logs: log losses of n cells with S seeds; NaN where there is none.
    """
    exists = np.isfinite(logs)
    filled = np.where(exists, logs, 0.0)
    counts = exists.sum(axis=1)
    means = filled.sum(axis=1) / counts
    weights = exists.astype(float)
    # The normal equations of the seeds, after the cells are eliminated.
    normal = np.diag(weights.sum(axis=0)) - weights.T @ (weights / counts[:, None])
    right = np.where(exists, logs - means[:, None], 0.0).sum(axis=0)
    effects = np.linalg.pinv(normal, hermitian=True) @ right
    means = means - weights @ effects / counts
    return means, np.where(exists, logs - means[:, None] - effects, np.nan)


def floor_of(*landscapes: Landscape, untrained: float | None) -> float:
    """Return what to add to every loss before its logarithm.

    It is 0 unless a loss is below `FLOOR` times the untrained loss: logarithms would then tell
    apart what training does not.

    Args:
        landscapes: the runs that are compared.
        untrained: the loss before training; None if it is not known.
    """
    if untrained is None:
        return 0.0
    least = min(np.nanmin(landscape.losses, initial=np.inf) for landscape in landscapes)
    return FLOOR * untrained if least < FLOOR * untrained else 0.0


def searched_rates(*landscapes: Landscape) -> tuple[str, ...]:
    """Return the rates with several values in the cells of the landscapes."""
    cells = [cell for landscape in landscapes for cell in landscape.cells]
    names = dict.fromkeys(name for cell in cells for name in cell)
    return tuple(rate for rate in names if len({cell.get(rate) for cell in cells}) > 1)
