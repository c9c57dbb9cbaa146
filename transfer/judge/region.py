"""Where the optimum of a shape is sought between the cells that ran."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from results.landscape import Landscape
from transfer.judge.estimate import TAIL, Estimate, summarise
from transfer.judge.observations import Observations

POINTS = {1: 9, 2: 9, 3: 6, 4: 4}
"""Points of the region per axis, between which the optimum is sought, by the number of rates."""
FEWEST_POINTS = 3
"""The same for more rates: a parabola needs as many."""


@dataclass(frozen=True)
class Optima:
    """The lowest points of draws over a region.

    Attributes:
        places: log2 of their rates (R, D).
        losses: the draws there (R,).
        below, above: for each rate, whether the optimum may lie beyond the region on that side.
    """

    places: Float[ndarray, "R D"]
    losses: Float[ndarray, " R"]
    below: tuple[bool, ...]
    above: tuple[bool, ...]

    def estimate(self, axis: int) -> Estimate:
        """Return the log2 of one rate."""
        return summarise(self.places[:, axis], below=self.below[axis], above=self.above[axis])


@dataclass(frozen=True)
class Region:
    """A lattice over the cells that count at a shape, and half-way to those that do not.

    A point belongs to it if the cell nearest to it counts.

    Attributes:
        lowest: the lowest log2 of each rate (D,).
        steps: the distance of neighbouring points in each rate (D,); 0 for a rate with one value.
        inside: which points of the lattice belong to it, an axis for each rate.
        closed: for each rate, whether the optimum is not below the region, and not above it.
    """

    lowest: Float[ndarray, " D"]
    steps: Float[ndarray, " D"]
    inside: ndarray
    closed: tuple[tuple[bool, bool], ...]

    @classmethod
    def of(
        cls,
        landscape: Landscape,
        cells: Observations,
        rates: tuple[str, ...],
        limits: tuple[ndarray, ndarray] | None = None,
    ) -> "Region":
        """Return the region of the cells of a landscape that count.

        Args:
            landscape: the runs.
            cells: those that count.
            rates: the searched rates.
            limits: the lowest and highest log2 of the rates at which cells could count; by default
                all could, and those that do not have a run that did not train.
        """
        axes = len(rates)
        if not len(cells.points):
            nothing = np.zeros((1,) * axes, bool)
            return cls(np.zeros(axes), np.zeros(axes), nothing, ((False, False),) * axes)
        ran = np.log2([[cell[rate] for rate in rates] for cell in landscape.cells])
        chosen = np.isin(np.arange(len(ran)), cells.places)
        # A cell that only failed says nothing about its surroundings; a pruned one was no optimum.
        tried = (landscape.tried > 0) | landscape.pruned
        ran, counted = ran.reshape(len(ran), axes)[tried], chosen[tried]
        least, most = limits or (np.full(axes, -np.inf), np.full(axes, np.inf))
        upper = [_end(ran[:, i], cells.points[:, i], most[i]) for i in range(axes)]
        lower = [_end(-ran[:, i], -cells.points[:, i], -least[i]) for i in range(axes)]
        lowest = np.array([-end for end, _ in lower])
        highest = np.array([end for end, _ in upper])
        counts = np.where(highest > lowest, POINTS.get(axes, FEWEST_POINTS), 1)
        steps = (highest - lowest) / np.maximum(counts - 1, 1)
        lattice = lowest + steps * np.array(list(product(*map(range, counts)))).reshape(-1, axes)
        away = ((lattice[:, None] - ran) ** 2).sum(axis=2)
        nearest = away[:, counted].min(axis=1) <= away.min(axis=1) + 1e-9
        closed = tuple((below, above) for (_, below), (_, above) in zip(lower, upper, strict=True))
        return cls(lowest, steps, nearest.reshape(tuple(counts)), closed)

    @property
    def points(self) -> Float[ndarray, "n D"]:
        """The points, log2 of rates."""
        return self.lowest + self.steps * np.argwhere(self.inside)

    def optima(self, draws: Float[ndarray, "R n"]) -> Optima:
        """Return the lowest point of each draw, refined by a parabola along each rate."""
        values = np.full((len(draws), *self.inside.shape), np.inf)
        values[:, self.inside] = draws
        flat = values.reshape(len(draws), -1)
        lowest = flat.argmin(axis=1)
        index = np.stack(np.unravel_index(lowest, self.inside.shape), axis=1)
        index = index.reshape(len(draws), -1)
        rows = np.arange(len(draws))
        losses = flat[rows, lowest]
        places, least = self.lowest + self.steps * index, losses.copy()
        for axis, count in enumerate(self.inside.shape):
            near = [index + side * (np.arange(index.shape[1]) == axis) for side in (-1, 1)]
            exists = (index[:, axis] > 0) & (index[:, axis] < count - 1)
            down, up = (
                np.where(exists, values[(rows, *np.clip(n, 0, count - 1).T)] - losses, np.inf)
                if count > 1
                else np.full(len(draws), np.inf)
                for n in near
            )
            fits = np.isfinite(down) & np.isfinite(up) & (down + up > 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                shift = np.where(fits, (down - up) / (2 * (down + up)), 0.0)
            places[:, axis] += self.steps[axis] * shift
            least -= np.where(fits, shift**2 * np.where(fits, down + up, 0.0) / 2, 0.0)
        lower, upper = (
            (index == end).mean(axis=0) > TAIL for end in (0, np.array(self.inside.shape) - 1)
        )
        open_below, open_above = ~np.array(self.closed).reshape(-1, 2).T
        below, above = lower & open_below, upper & open_above
        places = places.round(9)  # equal ends of two regions differ by nothing
        return Optima(places, least, tuple(below.tolist()), tuple(above.tolist()))


def _end(ran: ndarray, counted: ndarray, limit: float) -> tuple[float, bool]:
    """Return where a region ends above along one rate, and whether the optimum is not beyond.

    It is not where the next cells could have counted and did not: it ends half-way to them.

    Args:
        ran: log2 of the rate of every cell (C,).
        counted: of the cells that count (n,).
        limit: the highest at which a cell could count.
    """
    highest = float(counted.max())
    beyond = ran[ran > highest + 1e-9]
    if not beyond.size or beyond.min() > limit:
        return highest, False
    return (highest + float(beyond.min())) / 2, True
