"""What an experiment still has to run, counted before anything runs."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from transfer.engine.driver import Journey
from transfer.engine.plan import Demand, Plan
from transfer.engine.pool import Pool
from transfer.engine.progress import Silent
from transfer.engine.runs import Run
from transfer.engine.scheduler import MEASURE, TUNE, Dispatcher

if TYPE_CHECKING:
    from results import Ledger


def census(plan: Plan, ledger: "Ledger", pool: Pool) -> list[Demand]:
    """The runs of an experiment, by arm, phase and shape, in the order of the spec.

    Every arm goes along its road as far as the ledger takes it, and tells what it asks for there,
    which is exact, and what may come after, which is a bound. Nothing is trained or written. Runs
    that fail are to be run again; networks that are measured untrained are not counted.

    Args:
        plan: of the experiment.
        ledger: what has been run.
        pool: is given nothing to do.
    """
    clerk = _Clerk(plan.experiment.name, [plan.digest], ledger, pool, plan.data_dir)
    journey = Journey(plan, clerk, Silent())
    journey.advance()
    places = {label: place for place, label in enumerate(arm.label for arm in plan.arms)}

    def place(demand: Demand) -> tuple[Any, ...]:
        shape = demand.shape
        return places[demand.arm.label], demand.phase != TUNE, shape.width, shape.depth

    demands = clerk.demands(plan) + [d for road in journey.roads for d in road.ahead()]
    return [_together(same) for _, same in groupby(sorted(demands, key=place), place)]


def direct(plan: Plan) -> list[Demand]:
    """The search that tunes every arm at every target itself, and transfers nothing."""
    return [
        replace(search, phase=TUNE, shape=shape, config=plan.config(arm, shape))
        for arm in plan.arms
        for search in plan.ahead(arm, plan.trials(arm), ())[:1]
        for shape in plan.experiment.targets
    ]


class _Clerk(Dispatcher):
    """Notes what is asked for, and neither trains nor writes."""

    def __init__(self, *settings: Any) -> None:
        self._asked: dict[str, tuple[Run, str]] = {}
        super().__init__(*settings)

    def request(self, runs: Iterable[Run], phase: str) -> None:
        runs = list(runs)
        if phase != MEASURE:
            for run in runs:
                self._asked.setdefault(run.run_id, (run, phase))
        super().request(runs, phase)

    def record_verdicts(
        self, rows: list[dict[str, Any]], measured: list[dict[str, Any]]
    ) -> None: ...

    def demands(self, plan: Plan) -> list[Demand]:
        """What was asked for, a demand a run."""
        shapes = dict.fromkeys((*plan.experiment.tuned, *plan.experiment.targets))
        whose = {
            (arm.variant.name, config): (arm, shape, config)
            for arm in plan.arms
            for shape in shapes
            for config in [plan.config(arm, shape)]
        }
        found = []
        for run, phase in self._asked.values():
            arm, shape, config = whose[run.variant, run.config]
            found.append(Demand(arm, phase, shape, config, runs=1, known=int(self.has([run]))))
        return found


def _together(demands: Iterable[Demand]) -> Demand:
    first, *others = demands
    every = [first, *others]
    return replace(
        first,
        runs=sum(demand.runs for demand in every),
        known=sum(demand.known for demand in every),
        at_most=any(demand.at_most for demand in every),
    )
