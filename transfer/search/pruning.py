"""Pruners: which cells of a search stop before their last weight update.

A pruner sees recorded learning curves alone, at fixed updates ("rungs"). Its decisions therefore do
not depend on the pool, on timing, or on how often a job was interrupted.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pccore import Registry
from pccore.registry import subclass_of
from pccore.validation import Bounds, NonNegativeFloat, PositiveFloat, PositiveInt, require_bounds
from transfer.search.samplers import WORST_LOSS

if TYPE_CHECKING:
    import optuna

Curve = Sequence[tuple[int, float]]
"""Weight updates done and mean training loss since the point before, increasing."""

BATCH = 8
"""Cells that run side by side where a pruner compares them with those before, not all at once."""
STUDY = "mupc"
"""Name of Optuna's studies, on which Hyperband's brackets depend."""
FINISHED_SHARE, SEEDS_SHARE = 0.4, 0.3
"""Trainings for each neighbour of the best cell: to finish those that were stopped, and, for each
further seed, of cells that are the best for a while. Fitted to `halving` on six landscapes
(docs/decisions/speed.md)."""


@dataclass(frozen=True, kw_only=True)
class Pruner(ABC):
    """Decides which cells of a search stop early.

    Subclasses are frozen dataclasses, whose fields are their options.

    Attributes:
        grow_seeds: whether the search runs the first seed of every cell, and the others only of
            cells that are the best so far.
    """

    at_once: ClassVar[bool] = True
    """Whether all cells of a grid are compared with each other. Otherwise the search runs as many
    at a time as `tune.in_flight` says, and compares them with those before."""

    grow_seeds: bool = True

    def __post_init__(self) -> None:
        require_bounds(self)

    @abstractmethod
    def rungs(self, steps: int, interval: int) -> tuple[int, ...]:
        """Return the updates after which runs may stop: multiples of `interval` below `steps`."""

    @abstractmethod
    def race(self, steps: int, interval: int) -> "Race":
        """Return what decides in one search of runs of `steps` updates."""

    def fewest_survivors(self, running: int) -> int:
        """Return how many of the cells that run to a rung continue at least."""
        return 0

    def fewest_trainings(
        self, cells: int, seeds: int, steps: int, interval: int, in_flight: int | None = None
    ) -> float:
        """Return a lower bound on the updates of a search in which no run diverges, over `steps`.

        Every cell runs to the first rung, as many as survive at least to each further one and to
        the end, and the best cell with all seeds.

        Args:
            cells: number of cells.
            seeds: seeds of the best cell.
            steps: updates of a whole run.
            interval: updates between two evaluations.
            in_flight: cells that are compared with each other; None for the pruner's own number.
        """
        size = in_flight or (cells if self.at_once else BATCH)
        updates, finished = 0, 0
        for start in range(0, cells, size or 1):
            running, done = min(size, cells - start), 0
            for rung in self.rungs(steps, interval):
                updates += running * (rung - done)
                running, done = min(running, self.fewest_survivors(running)), rung
            updates += running * (steps - done)
            finished += running
        if not self.grow_seeds:
            return seeds * updates / steps
        return updates / steps + (seeds - 1) * bool(finished)

    def expected_trainings(
        self,
        cells: int,
        seeds: int,
        steps: int,
        interval: int,
        neighbours: int,
        in_flight: int | None = None,
    ) -> float | None:
        """Return the updates that a search takes on average, over `steps`.

        They are those of `fewest_trainings`, and some for each neighbour of the best cell. None
        where the curves alone decide how many cells continue.

        Args:
            cells: as of `fewest_trainings`, like the arguments not named here.
            neighbours: cells of the search around the best one, at most.
        """
        least = self.fewest_trainings(cells, seeds, steps, interval, in_flight)
        if not self.rungs(steps, interval):
            return least
        if not self.fewest_survivors(cells):
            return None
        further = seeds * FINISHED_SHARE
        if self.grow_seeds:
            further = FINISHED_SHARE + SEEDS_SHARE * (seeds - 1)
        return min(float(cells * seeds), least + neighbours * further)


class Race(ABC):
    """The decisions of a pruner in one search. Cells are known by their number in the search."""

    @abstractmethod
    def survivors(self, step: int, curves: Mapping[int, Curve], running: Sequence[int]) -> set[int]:
        """Return which of the running cells continue.

        Args:
            step: the rung: updates that each of them has done.
            curves: the curve of every running cell, up to the rung.
            running: the cells that have come to this rung, at least one.
        """

    def finished(self, cell: int, curve: Curve, loss: float | None) -> None:  # noqa: B027
        """Receive a cell that has run to its end, with its final loss; None if it has none."""


Factor = Annotated[int, Bounds(least=2)]


@dataclass(frozen=True)
class Geometric(Pruner):
    """A pruner whose rungs grow by a factor.

    Attributes:
        factor: the factor.
        first: weight updates before the first decision; by default a tenth of all. Decisions are
            made at evaluations (`training.eval_every`).

    Raises:
        ValueError: `factor` is below 2, or `first` below 1.
    """

    factor: Factor = 3
    first: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first is not None and self.first < 1:
            raise ValueError(f"first must be at least 1, got {self.first}")

    def rungs(self, steps: int, interval: int) -> tuple[int, ...]:
        return geometric(self.first or steps / 10, self.factor, steps, interval)


@dataclass(frozen=True)
class Halving(Geometric):
    """Successive halving (Jamieson and Talwalkar, 2016): the best 1/factor of cells continues.

    After `first` updates, and after factor times as many each time, cells are ranked by the loss
    that their curve is expected to reach: the last loss, or what it becomes if the logarithm of the
    loss keeps its slope over the logarithm of the updates (`slope` times), so that slow starters
    are not killed for being slow.

    Attributes:
        factor: the share of cells that continues is 1/factor, rounded up.
        first: weight updates before the first decision; by default a tenth of all, or the first
            evaluation if that is later.
        slope: the share of its slope that a curve is expected to keep; 0 ranks by the last loss.
        fewest: cells that always continue.

    Raises:
        ValueError: `factor` is below 2, `first` below 1, or another number is negative.
    """

    factor: Factor = 2
    slope: NonNegativeFloat = 0.5
    fewest: PositiveInt = 2

    def fewest_survivors(self, running: int) -> int:
        return max(self.fewest, math.ceil(running / self.factor))

    def race(self, steps: int, interval: int) -> Race:
        return _Halving(self, steps)


@dataclass(frozen=True)
class _Halving(Race):
    pruner: Halving
    steps: int

    def survivors(self, step: int, curves: Mapping[int, Curve], running: Sequence[int]) -> set[int]:
        expected = {
            cell: extrapolated(curves[cell], self.steps, self.pruner.slope) for cell in running
        }
        best_first = sorted(running, key=lambda cell: (expected[cell], cell))
        return set(best_first[: self.pruner.fewest_survivors(len(running))])


@dataclass(frozen=True)
class LearningCurves(Geometric):
    """Stops cells whose curve cannot reach, at its present slope, what the best has already.

    At every decision the loss of a cell is extrapolated to the last update by a power law through
    the second half of its curve, `slope` times as steep. The cell stops if that is above the lowest
    loss of any cell so far. It stops fewer cells than halving, and is the safer of the two.

    Attributes:
        first: weight updates before the first decision; by default a tenth of all.
        factor: updates between two decisions grow by this factor.
        slope: how much steeper than so far a curve may become.

    Raises:
        ValueError: a number is not positive, or `factor` is below 2.
    """

    factor: Factor = 2
    slope: PositiveFloat = 1.0

    def race(self, steps: int, interval: int) -> Race:
        return _LearningCurves(self, steps)


class _LearningCurves(Race):
    def __init__(self, pruner: LearningCurves, steps: int) -> None:
        self._pruner, self._steps, self._lowest = pruner, steps, math.inf

    def survivors(self, step: int, curves: Mapping[int, Curve], running: Sequence[int]) -> set[int]:
        lowest = min((last(curves[cell]) for cell in running), default=math.inf)
        self._lowest = min(self._lowest, lowest)
        return {
            cell
            for cell in running
            if extrapolated(curves[cell], self._steps, self._pruner.slope) <= self._lowest
        }

    def finished(self, cell: int, curve: Curve, loss: float | None) -> None:
        self._lowest = min(self._lowest, math.inf if loss is None else loss)


@dataclass(frozen=True)
class Seeds(Pruner):
    """Stops no run early: it runs one seed of every cell, and the others of the best so far."""

    def rungs(self, steps: int, interval: int) -> tuple[int, ...]:
        return ()

    def race(self, steps: int, interval: int) -> Race:
        return _Seeds()


class _Seeds(Race):
    def survivors(self, step: int, curves: Mapping[int, Curve], running: Sequence[int]) -> set[int]:
        return set(running)


@dataclass(frozen=True)
class Median(Geometric):
    """Optuna's MedianPruner: a cell stops if it is worse than the median of those that finished.

    Nothing has finished before the first `startup` cells have, so cells run a few at a time.

    Attributes:
        factor: updates between two decisions grow by this factor.
        startup: cells that run to their end before any is stopped.
        first: weight updates before the first decision; by default a tenth of all.

    Raises:
        ValueError: a number is below 1.
    """

    at_once: ClassVar[bool] = False

    factor: Factor = 2
    startup: PositiveInt = 5

    def race(self, steps: int, interval: int) -> Race:
        from optuna.pruners import MedianPruner

        return _OfOptuna(MedianPruner(n_startup_trials=self.startup), self.rungs(steps, interval))


@dataclass(frozen=True)
class SuccessiveHalving(Geometric):
    """Optuna's SuccessiveHalvingPruner (ASHA): it decides cell by cell, not rung by rung.

    The first cells at a rung are compared with few others and pass, so that it stops fewer than
    `halving` does.

    Attributes:
        factor: the best 1/factor of the cells at a rung so far continues.
        first: weight updates before the first decision; by default a tenth of all.

    Raises:
        ValueError: `factor` is below 2, or `first` below 1.
    """

    at_once: ClassVar[bool] = False

    def race(self, steps: int, interval: int) -> Race:
        from optuna.pruners import SuccessiveHalvingPruner

        rungs = self.rungs(steps, interval)
        # Optuna counts rungs, as those of ours are rounded to evaluations.
        pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=self.factor)
        return _OfOptuna(pruner, rungs, [self.factor**place for place in range(len(rungs))])


@dataclass(frozen=True)
class Hyperband(Geometric):
    """Optuna's HyperbandPruner: brackets of successive halving, one of which stops nothing early.

    Attributes:
        factor: the best 1/factor of a bracket's cells at a rung so far continues.
        first: weight updates before the first decision; by default a tenth of all.

    Raises:
        ValueError: `factor` is below 2, or `first` below 1.
    """

    at_once: ClassVar[bool] = False

    def race(self, steps: int, interval: int) -> Race:
        from optuna.pruners import HyperbandPruner

        rungs = self.rungs(steps, interval)
        most = self.factor ** len(rungs)
        pruner = HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=self.factor)
        return _OfOptuna(pruner, rungs, [self.factor**place for place in range(len(rungs))])


class _OfOptuna(Race):
    """Asks a pruner of Optuna's, in a study in memory that is told recorded curves.

    Args:
        pruner: Optuna's.
        rungs: the updates at which it is asked.
        resources: what it is told in place of each; by default the rung itself.
    """

    def __init__(
        self,
        pruner: "optuna.pruners.BasePruner",
        rungs: Sequence[int],
        resources: Sequence[int] | None = None,
    ) -> None:
        import optuna

        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(study_name=STUDY, pruner=pruner)
        optuna.logging.set_verbosity(verbosity)
        self._resources = dict(zip(rungs, resources or rungs, strict=True))
        self._trials: dict[int, optuna.Trial] = {}

    def survivors(self, step: int, curves: Mapping[int, Curve], running: Sequence[int]) -> set[int]:
        from optuna.trial import TrialState

        found = set()
        for cell in running:
            trial = self._trial(cell)
            trial.report(min(last(curves[cell]), WORST_LOSS), self._resources[step])
            if trial.should_prune():
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                found.add(cell)
        return found

    def finished(self, cell: int, curve: Curve, loss: float | None) -> None:
        trial = self._trial(cell)
        told = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for step, resource in self._resources.items():
            if resource not in told:
                trial.report(min(at(curve, step), WORST_LOSS), resource)
        self._study.tell(trial, WORST_LOSS if loss is None else loss)

    def _trial(self, cell: int) -> "optuna.Trial":
        if cell not in self._trials:
            self._trials[cell] = self._study.ask()
        return self._trials[cell]


def geometric(first: float, factor: float, steps: int, interval: int) -> tuple[int, ...]:
    """Return first, factor first, .. below `steps`, rounded up to multiples of `interval`."""
    found: list[int] = []
    wanted = first
    while wanted < steps:
        rung = math.ceil(wanted / interval - 1e-9) * interval
        if rung < steps and rung not in found:
            found.append(rung)
        wanted *= factor
    return tuple(found)


def last(curve: Curve) -> float:
    """Return the last loss of a curve; infinity if there is none, or it is not finite."""
    return at(curve, curve[-1][0]) if curve else math.inf


def at(curve: Curve, step: int) -> float:
    """Return the loss of a curve at an update; infinity if it has none there."""
    loss = dict(curve).get(step, math.inf)
    return loss if math.isfinite(loss) else math.inf


def extrapolated(curve: Curve, steps: int, slope: float) -> float:
    """Return the loss after `steps` updates if a curve falls on by a power of the updates.

    The power is that of the least-squares line through the second half of the points in logarithms,
    times `slope`; a curve that rises is expected to stay.
    """
    lowest = last(curve)
    points = [(math.log(s), math.log(max(v, 1e-300))) for s, v in curve if s and math.isfinite(v)]
    points = points[len(points) // 2 :] if len(points) > 3 else points
    if not math.isfinite(lowest) or len(points) < 2:
        return lowest
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    power = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return lowest * (steps / curve[-1][0]) ** (slope * min(0.0, power))


PRUNERS: Registry[type[Pruner]] = Registry(
    "pruner",
    {
        "halving": Halving,
        "curves": LearningCurves,
        "seeds": Seeds,
        "median": Median,
        "successive_halving": SuccessiveHalving,
        "hyperband": Hyperband,
    },
    subclass_of(Pruner),
)
