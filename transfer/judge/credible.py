"""Where the optimum of one shape lies with 95 % probability, for a figure of its landscape."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from results.landscape import Landscape
from transfer.judge.comparison import near_optimum
from transfer.judge.estimate import LEVEL, Estimate, exponential
from transfer.judge.observations import floor_of, searched_rates
from transfer.judge.surface import Posterior

FEWEST_CELLS = 3
"""Cells that trained, below which the prior says more than the runs."""


@dataclass(frozen=True)
class CredibleRegion:
    """The region of the optimum: tiles of a lattice between the cells that ran.

    Attributes:
        rates: the searched rates, one or two.
        tiles: the fewest tiles that hold the optimum with 95 % probability; of each its lowest and
            highest value in every rate: ((low, high), ...).
        estimates: of the best value of each rate, with its 95 % interval.
    """

    rates: tuple[str, ...]
    tiles: tuple[tuple[tuple[float, float], ...], ...]
    estimates: Mapping[str, Estimate]


def credible_region(landscape: Landscape) -> CredibleRegion | None:
    """Return the region of the optimum of a landscape by the judge's model (`surface`).

    None where the runs do not tell: with one seed, or with fewer than three cells that trained.

    Args:
        landscape: the runs of one variant at one shape.
    """
    rates = searched_rates(landscape)
    if not rates or int(landscape.complete.sum()) < FEWEST_CELLS:
        return None
    near, region = near_optimum(landscape, rates, floor_of(landscape, untrained=None))
    if near.seeds < 2 or len(near.means) < FEWEST_CELLS or not region.inside.any():
        return None
    posterior = Posterior.of(near.only(np.zeros(len(near.means), bool)), near)
    optima = region.optima(posterior.draw(target=region.points)[:, len(near.means) :])
    steps = np.where(region.steps > 0, region.steps, 1.0)
    places = np.rint((optima.places - region.lowest) / steps).astype(int)
    tiles, counts = np.unique(places, axis=0, return_counts=True)
    likeliest = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[likeliest]) - counts[likeliest]
    chosen = tiles[likeliest[before < LEVEL * counts.sum()]]
    middles = region.lowest + region.steps * chosen
    low, high = 2.0 ** (middles - steps / 2), 2.0 ** (middles + steps / 2)
    return CredibleRegion(
        rates,
        tuple(
            tuple((float(a), float(b)) for a, b in zip(*ends, strict=True))
            for ends in zip(low, high, strict=True)
        ),
        {rate: exponential(optima.estimate(axis)) for axis, rate in enumerate(rates)},
    )
