"""How many layers are predicted to learn in the cells of a search space."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from pccore import TrainingConfig
from pccore.theory import predicted_layers
from transfer.space import Grid, Range, Space

RANGE_VALUES = 9
"""Number of values, at equal ratios, for which a range is predicted."""


@dataclass(frozen=True)
class LearnedLayers:
    """The prediction for a shape, over the cells in which inference does not blow up.

    Attributes:
        layers: L, the number of weight matrices.
        least: the fewest that learn in a cell.
        most: the most that learn in a cell.
    """

    layers: int
    least: int
    most: int

    @property
    def shallow(self) -> bool:
        """Whether fewer than half of the layers learn in every cell."""
        return 2 * self.most < self.layers


@cache
def learned_layers(config: TrainingConfig, space: Space) -> LearnedLayers | None:
    """Predict the layers that learn (`pccore.theory.predicted_layers`); None if that is unknown."""
    betas = (None,) if space.activity_lr is None else _values(space.activity_lr)
    etas = _values(space.weight_lr)
    cells = {(eta, beta) for eta in (min(etas), max(etas)) for beta in betas}  # it rises with eta
    found = [predicted_layers(config, eta, beta) for eta, beta in cells]
    known = [count for count in found if count is not None]
    if not known:
        return None
    return LearnedLayers(config.network.sized_parts()[0].depth + 1, min(known), max(known))


def _values(rates: Grid | Range) -> tuple[float, ...]:
    if isinstance(rates, Grid):
        return rates.values
    return tuple(np.geomspace(rates.low, rates.high, RANGE_VALUES).tolist())
