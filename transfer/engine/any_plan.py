"""What plans of experiments and of sweeps share: arms, and their runs at every shape."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pccore
from results.landscape import Cell
from results.shapes import Shape
from results.vocabulary import Phase
from transfer.engine.grouping import work
from transfer.engine.pool import Config
from transfer.engine.runs import AnyRun
from transfer.functions import TrainingFunction
from transfer.judge.next_runs import EXPECTED_SEEDS, MOST_SEEDS
from transfer.search.samplers import SAMPLERS, missing_package
from transfer.space import Grid, Space
from transfer.spec.model import Experiment
from transfer.spec.sections import DEFAULT_IN_FLIGHT, VariantSpec
from transfer.spec.sweep import Sweep
from transfer.spec.targets import AUTO, FIRST_SEEDS
from transfer.spec.transfer_rules import TransferRule, ZeroShot

if TYPE_CHECKING:
    from pccore.data import Dataset


@dataclass(frozen=True)
class NamedFunction:
    """A training function by its name in the spec, which stands in the place of a variant."""

    name: str


@dataclass(frozen=True)
class Arm:
    """A variant with an activation, or a training function: tuned, transferred, judged by itself.

    Attributes:
        variant: the variant, or the name of the training function in the spec.
        activation: a name in `pccore.ACTIVATIONS`; `NO_ACTIVATION` for a function.
        space: the cells it may take.
        label: the variant's name, followed by the activation if the experiment has several.
    """

    variant: VariantSpec | NamedFunction
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
        fewer: how many fewer are expected.
    """

    arm: Arm
    phase: str
    shape: Shape
    config: Config
    runs: int
    known: int = 0
    at_most: bool = False
    fewer: int = 0

    @property
    def expected(self) -> int:
        """How many runs are expected: `runs` unless that is an upper bound known to be high."""
        return self.runs - self.fewer

    @property
    def training(self) -> pccore.TrainingConfig:
        """The configuration of networks; a training function has none."""
        assert isinstance(self.config, pccore.TrainingConfig)
        return self.config

    @property
    def work(self) -> float:
        """Multiply-adds (`transfer.engine.grouping.work`) of the runs not yet in the ledger."""
        return (self.runs - self.known) * work(self.config)


class AnyPlan(ABC):
    """An experiment or a sweep, resolved: its arms, and their runs at every shape."""

    experiment: Experiment | Sweep

    @cached_property
    @abstractmethod
    def arms(self) -> tuple[Arm, ...]:
        """What is tuned, transferred and judged by itself, in the order of the spec."""

    @abstractmethod
    def dataset(self, arm: Arm) -> str:
        """Return the name of the data set, or of the training function."""

    @property
    @abstractmethod
    def digests(self) -> tuple[str, ...]:
        """The digests of data sets and of training functions."""

    @property
    @abstractmethod
    def own(self) -> Sequence["Dataset | TrainingFunction"]:
        """The user's data sets and training functions, which travel to the workers."""

    @property
    @abstractmethod
    def rules(self) -> tuple[tuple[str, TransferRule], ...]:
        """The transfer rules by name."""

    @property
    def like(self) -> str | None:
        """How steps of the optimiser depend on gradients, as `pccore.Optimiser.like`."""
        return None

    @property
    def untrained_loss(self) -> float | None:
        """The loss before training; None if it is not known."""
        return None

    @property
    def batch_size(self) -> int | None:
        """B of every run; None if it is not known."""
        return None

    @abstractmethod
    def config(self, arm: Arm, shape: Shape) -> Config:
        """Return the configuration that the runs of `arm` at `shape` share."""

    @abstractmethod
    def runs(
        self, arm: Arm, shape: Shape, cells: Iterable[Cell], seeds: Sequence[int] | None = None
    ) -> Sequence[AnyRun]:
        """Return the runs of `cells`: cell by cell, each with all `seeds`, those of the search."""

    @abstractmethod
    def check(self) -> None:
        """Find what can be found before training.

        Raises:
            SpecError: an arm cannot be trained with these settings, one sentence per arm; or the
                sampler needs a package that is not installed.
        """

    def _sampler_problems(self) -> list[str]:
        """Return that the sampler needs a package that is not installed, in a sentence, or none."""
        sampler = self.experiment.tune.sampler
        missing = missing_package(sampler)
        needs = f"tune.sampler {sampler} needs {missing}, which is not installed"
        return [] if missing is None else [f"{needs}: pip install {missing}"]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every cell of the search."""
        return self.experiment.tune.seeds

    @property
    def adds_seeds(self) -> bool:
        """Whether targets get further seeds until their verdicts are decided."""
        return self.experiment.transfer.seeds == AUTO

    @property
    def first_seeds(self) -> int:
        """How many seeds every cell at a target gets at first."""
        seeds = self.experiment.transfer.seeds
        if seeds is None:
            return len(self.seeds)
        return FIRST_SEEDS if isinstance(seeds, str) else seeds

    @cached_property
    def target_seeds(self) -> tuple[int, ...]:
        """The seeds that a cell at a target may get, in their order."""
        most = MOST_SEEDS if self.adds_seeds else self.first_seeds
        return self.experiment.transfer.order_of_seeds(self.seeds, most)

    def neighbourhood(self, arm: Arm, cell: Cell) -> tuple[Cell, ...]:
        """Return the cells to run at a target for which `cell` is predicted."""
        reach = self.experiment.transfer.neighbourhood
        if reach != "all":
            return arm.space.near(cell, reach)
        return tuple(dict.fromkeys((*arm.space.cells, *arm.space.near(cell, 1))))

    def most_neighbours(self, arm: Arm) -> int:
        """Return an upper bound on the cells that the rules' neighbourhoods have together."""
        rules, space = [rule for _, rule in self.rules], arm.space
        reach = self.experiment.transfer.neighbourhood
        if reach != "all":
            return len(rules) * space.most_near(reach)
        off_grid = sum(not isinstance(rule, ZeroShot) for rule in rules)
        return len(space.cells) + off_grid * space.most_near(1)

    def most_beyond(self, arm: Arm) -> int:
        """Return an upper bound on the cells beyond the tuned grid that may run at a target."""
        reach = self.experiment.transfer.neighbourhood
        whole = arm.space.most_whole(1 if reach == "all" else reach)
        return len(self.rules) * whole if self.adds_seeds else 0

    def trials(self, arm: Arm) -> int:
        """Return the number of cells in the search of `arm`."""
        return self.experiment.tune.trials or len(arm.space.cells)

    def remaining(
        self, arm: Arm, searched: int, other_shapes: Iterable[Shape] | None = None
    ) -> list[PlannedRuns]:
        """Return an upper bound on the runs of `arm` that are still to be requested.

        Args:
            arm: the arm.
            searched: runs of the search that are still to come.
            other_shapes: shapes, besides the tuned one, whose whole grid is still to come; by
                default all that rules are fitted to.
        """
        experiment, tune, of_tuning = self.experiment, self.experiment.tune, len(self.seeds)
        bounded = tune.skip_unstable or self.in_flight is not None
        pruned = tune.prune is not None
        found = [self._planned(arm, Phase.TUNE, tune.shape, searched, bounded or pruned)]
        for shape in experiment.tuned[1:] if other_shapes is None else other_shapes:
            count = len(arm.space.cells) * of_tuning
            found.append(self._planned(arm, Phase.TUNE, shape, count, bounded))
        found += [self._extension(arm, shape) for shape in experiment.tuned]
        found += [self.at_target(arm, target) for target in experiment.targets]
        return [planned for planned in found if planned.runs]

    def at_target(self, arm: Arm, shape: Shape) -> PlannedRuns:
        """Return an upper bound on the runs at a target, and how many are expected."""
        cells, least = self.most_neighbours(arm), self.first_seeds
        if not self.adds_seeds:
            return self._planned(arm, Phase.TRANSFER, shape, cells * least, True)
        beyond = self.most_beyond(arm)
        most = (cells + beyond) * MOST_SEEDS
        return replace(
            self._planned(arm, Phase.TRANSFER, shape, most, True),
            fewer=most - round(cells * EXPECTED_SEEDS),
        )

    def _extension(self, arm: Arm, shape: Shape) -> PlannedRuns:
        """Return an upper bound on the runs by which a search is extended; none are expected."""
        most = self.experiment.tune.extend or 0
        counts = [len(v.values) for v in arm.space.searched.values() if isinstance(v, Grid)]
        longer = math.prod(count + 2 * most * (count > 1) for count in counts)
        runs = (longer - math.prod(counts)) * len(self.seeds) if most else 0
        return replace(self._planned(arm, Phase.TUNE, shape, runs, True), fewer=runs)

    def _planned(self, arm: Arm, phase: str, shape: Shape, runs: int, at_most: bool) -> PlannedRuns:
        return PlannedRuns(arm, phase, shape, self.config(arm, shape), runs, at_most=at_most)

    @property
    def in_flight(self) -> int | None:
        """How many cells the search may be ahead of its first unknown loss; None for no limit."""
        tune = self.experiment.tune
        if SAMPLERS[tune.sampler].exhaustive:
            return None
        return tune.in_flight or DEFAULT_IN_FLIGHT
