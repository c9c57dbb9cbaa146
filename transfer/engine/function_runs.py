"""One run of a training function of the user's, and its id."""

import json
from dataclasses import dataclass
from functools import cached_property

from results import identity
from results.landscape import Cell
from results.schema.columns import FIRST_SETTINGS
from results.shapes import Shape
from results.vocabulary import NO_ACTIVATION
from transfer.functions import FunctionConfig, FunctionLane, rates_of


@dataclass(frozen=True)
class FunctionRun:
    """Everything that determines one run of a training function; see `transfer.engine.runs.Run`.

    Attributes:
        dataset: name of the function, which has the digest of its code.
        digest: that of the `TrainingFunction`.
        variant: the name of the function in the spec.
        config: what the runs at its shape share.
        lane: its rates and seed.
    """

    dataset: str
    digest: str
    variant: str
    config: FunctionConfig
    lane: FunctionLane

    @cached_property
    def run_id(self) -> str:
        """The hash of `determinants` (`results.identity`)."""
        return identity.run_id(self.determinants)

    @property
    def cell(self) -> Cell:
        """Its point of the search space."""
        return self.lane.cell

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.config.shape

    @property
    def activation(self) -> str:
        """What stands in the place of an activation."""
        return NO_ACTIVATION

    @cached_property
    def determinants(self) -> dict[str, object]:
        """The columns of the `runs` table that determine the others."""
        return {
            **dict.fromkeys(FIRST_SETTINGS),
            "dataset": self.dataset,
            "dataset_digest": self.digest,
            "activation": NO_ACTIVATION,
            "width": self.shape.width,
            "depth": self.shape.depth,
            "seed": self.lane.seed,
            "rates": json.dumps(rates_of(self.config, self.lane), sort_keys=True),
        }
