"""A spec resolved against its data set: the runs that each step of the experiment needs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import pccore
from results.landscape import Cell
from results.shapes import Shape
from results.vocabulary import Phase
from transfer.engine.grouping import work
from transfer.engine.runs import Run
from transfer.search.samplers import SAMPLERS
from transfer.space import Space
from transfer.spec.building import trace, training_config
from transfer.spec.errors import SpecError
from transfer.spec.model import Experiment
from transfer.spec.sections import DEFAULT_IN_FLIGHT, VariantSpec
from transfer.spec.transfer_rules import ZeroShot


@dataclass(frozen=True)
class Arm:
    """A variant with an activation, which is tuned, transferred and judged by itself.

    Attributes:
        variant: the variant.
        activation: a name in `pccore.ACTIVATIONS`.
        space: the cells it may take.
        label: the variant's name, followed by the activation if the experiment has several.
    """

    variant: VariantSpec
    activation: str
    space: Space
    label: str


@dataclass(frozen=True)
class PlannedRuns:
    """How many runs an experiment needs of one arm at one shape in one phase.

    Attributes:
        arm: the arm.
        phase: "tune" or "transfer".
        shape: the shape.
        config: the configuration that the runs share.
        runs: how many.
        known: how many of them the ledger has.
        at_most: whether `runs` is an upper bound, because the number depends on earlier runs.
    """

    arm: Arm
    phase: str
    shape: Shape
    config: pccore.TrainingConfig
    runs: int
    known: int = 0
    at_most: bool = False

    @property
    def work(self) -> float:
        """Multiply-adds (`transfer.engine.grouping.work`) of the runs not yet in the ledger."""
        return (self.runs - self.known) * work(self.config)


@dataclass(frozen=True)
class Plan:
    """An experiment resolved against its data set.

    Attributes:
        experiment: the spec.
        data: sizes and task of the data set.
        digest: SHA-256 of its content.
        data_dir: where its files are; None means the default place.
    """

    experiment: Experiment
    data: pccore.data.DatasetInfo
    digest: str
    data_dir: Path | None = None

    @classmethod
    def of(cls, experiment: Experiment, data_dir: Path | None = None) -> Self:
        """Return the plan of `experiment`; this reads its data set.

        Raises:
            pccore.data.DatasetError: the data set is missing or damaged.
        """
        own = experiment.own_data
        data = pccore.data.load(experiment.data.name, data_dir) if own is None else own
        return cls(experiment, experiment.data, data.digest, data_dir)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every variant with every activation, in the order of the spec."""
        experiment = self.experiment
        activations = experiment.network.activations
        return tuple(
            Arm(
                variant,
                activation,
                experiment.space(variant),
                variant.name if len(activations) == 1 else f"{variant.name} {activation}",
            )
            for activation in activations
            for variant in experiment.variants
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every cell."""
        return self.experiment.tune.seeds

    @property
    def untrained_loss(self) -> float | None:
        """The loss of predicting zero, or equal chances; None for a regression, of other scale."""
        if self.data.task != "classification":
            return None
        if self.experiment.network.output == "cross_entropy":
            return math.log(self.data.output_size)
        return 0.5  # half the squared length of a one-hot target

    def config(self, arm: Arm, shape: Shape) -> pccore.TrainingConfig:
        """Return the configuration that the runs of `arm` at `shape` share."""
        return training_config(self.experiment, arm.variant, arm.activation, shape)

    def check(self) -> None:
        """Trace a training step of every arm, so that errors show before training.

        Raises:
            SpecError: an arm cannot be trained with these settings; one sentence per arm.
        """
        problems = []
        for arm in self.arms:
            try:
                trace(self.config(arm, self.experiment.tune.shape))
            except Exception as error:
                if not (isinstance(error, ValueError) or self.experiment.own):
                    raise
                cause = (str(error).splitlines() or [type(error).__name__])[0]
                problems.append(f"{arm.label} cannot be trained: {cause}")
        if problems:
            raise SpecError(problems)

    def runs(self, arm: Arm, shape: Shape, cells: Iterable[Cell]) -> list[Run]:
        """Return the runs of `cells`: cell by cell, each with every seed."""
        config = self.config(arm, shape)
        return [
            Run(
                self.data.name,
                self.digest,
                arm.variant.name,
                config,
                pccore.Lane(cell.weight_lr, cell.activity_lr, seed),
            )
            for cell in cells
            for seed in self.seeds
        ]

    def neighbourhood(self, arm: Arm, cell: Cell) -> tuple[Cell, ...]:
        """Return the cells to run at a target for which `cell` is predicted."""
        reach = self.experiment.transfer.neighbourhood
        if reach != "all":
            return arm.space.near(cell, reach)
        return tuple(dict.fromkeys((*arm.space.cells, *arm.space.near(cell, 1))))

    def most_neighbours(self, arm: Arm) -> int:
        """Return an upper bound on the cells that the rules' neighbourhoods have together."""
        transfer, space = self.experiment.transfer, arm.space
        reach = transfer.neighbourhood
        if reach != "all":
            return len(transfer.rules) * space.most_near(reach)
        off_grid = sum(not isinstance(rule, ZeroShot) for rule in transfer.rules)
        return len(space.cells) + off_grid * space.most_near(1)

    def trials(self, arm: Arm) -> int:
        """Return the number of cells in the search of `arm`."""
        return self.experiment.tune.trials or len(arm.space.cells)

    def remaining(
        self, arm: Arm, trials: int, other_shapes: Iterable[Shape] | None = None
    ) -> list[PlannedRuns]:
        """Return an upper bound on the runs of `arm` that are still to be requested.

        Args:
            arm: the arm.
            trials: cells of the search that are still to come.
            other_shapes: shapes, besides the tuned one, whose whole grid is still to come; by
                default all that rules are fitted to.
        """
        experiment, tune = self.experiment, self.experiment.tune
        cells = [(Phase.TUNE, tune.shape, trials)]
        for shape in experiment.tuned[1:] if other_shapes is None else other_shapes:
            cells.append((Phase.TUNE, shape, len(arm.space.cells)))
        at_target = self.most_neighbours(arm)
        cells += [(Phase.TRANSFER, target, at_target) for target in experiment.targets]
        return [
            PlannedRuns(
                arm,
                phase,
                shape,
                self.config(arm, shape),
                runs=count * len(self.seeds),
                at_most=phase == Phase.TRANSFER or tune.skip_unstable or self.in_flight is not None,
            )
            for phase, shape, count in cells
            if count
        ]

    @property
    def in_flight(self) -> int | None:
        """How many cells the search may be ahead of its first unknown loss; None for no limit."""
        tune = self.experiment.tune
        if SAMPLERS[tune.sampler].exhaustive:
            return None
        return tune.in_flight or DEFAULT_IN_FLIGHT
