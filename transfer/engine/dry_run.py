"""A dry run: count the runs that an experiment still needs, without training any."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from results.vocabulary import Phase
from transfer.engine.any_plan import AnyPlan, PlannedRuns
from transfer.engine.driver import Workflows
from transfer.engine.pool import Pool
from transfer.engine.progress import Progress
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.engine.scheduler import MEASURE, Request, Scheduler

if TYPE_CHECKING:
    from results import Ledger


def dry_run(plan: AnyPlan, ledger: "Ledger", pool: Pool) -> list[PlannedRuns]:
    """Return the runs of an experiment by arm, phase and shape, in the order of the spec.

    The workflow of every arm advances as far as the ledger takes it. The runs that it requests
    there are counted exactly; those that may follow are bounded. Nothing is trained or recorded.
    Runs that failed count as runs to come; untrained networks that are measured do not count.

    Args:
        plan: the plan of the experiment.
        ledger: the runs that are done.
        pool: the pool that would train the others; nothing is submitted to it.
    """
    scheduler = _CountingScheduler(plan, ledger, pool)
    workflows = Workflows(plan, scheduler, Progress())
    workflows.advance()
    places = {arm.label: place for place, arm in enumerate(plan.arms)}

    def place(planned: PlannedRuns) -> tuple[int, bool, int, int]:
        shape = planned.shape
        return places[planned.arm.label], planned.phase != Phase.TUNE, shape.width, shape.depth

    remaining = [planned for arm in workflows.arms for planned in arm.remaining()]
    counted = sorted(scheduler.planned_runs() + remaining, key=place)
    return [_sum(same) for _, same in groupby(counted, place)]


def direct_tuning(plan: AnyPlan) -> list[PlannedRuns]:
    """Return the runs of the alternative to transfer: every arm is tuned at every target."""
    return [
        replace(search, phase=Phase.TUNE, shape=shape, config=plan.config(arm, shape))
        for arm in plan.arms
        for search in plan.remaining(arm, plan.trials(arm) * len(plan.seeds), ())[:1]
        for shape in plan.experiment.targets
    ]


class _CountingScheduler(Scheduler):
    """Keeps the requests that it gets, and records nothing."""

    def __init__(self, plan: AnyPlan, ledger: "Ledger", pool: Pool) -> None:
        super().__init__(plan.experiment.name, plan.digests, ledger, pool)
        self._plan = plan
        self._requests: dict[str, Request] = {}

    def request(
        self,
        runs: Iterable[AnyRun],
        phase: str,
        keep: Container[str] = (),
        until: int | None = None,
        *,
        together: bool = False,
    ) -> None:
        runs = list(runs)
        if phase != MEASURE:
            for run in runs:
                self._requests.setdefault(run.run_id, Request(run, phase))
        super().request(runs, phase, keep, until, together=together)

    def record_verdicts(self, verdicts: Sequence[Row], measurements: Sequence[Row]) -> list[Row]:
        return list(verdicts)

    def planned_runs(self) -> list[PlannedRuns]:
        """Return the requested runs, each by itself."""
        plan = self._plan
        shapes = dict.fromkeys((*plan.experiment.tuned, *plan.experiment.targets))
        origin = {
            (arm.variant.name, config): (arm, shape)
            for arm in plan.arms
            for shape in shapes
            for config in [plan.config(arm, shape)]
        }
        found = []
        for run, phase in ((request.run, request.phase) for request in self._requests.values()):
            arm, shape = origin[run.variant, run.config]
            known = int(self.all_done([run]))
            found.append(PlannedRuns(arm, phase, shape, run.config, runs=1, known=known))
        return found


def _sum(planned: Iterable[PlannedRuns]) -> PlannedRuns:
    same = list(planned)
    return replace(
        same[0],
        runs=sum(some.runs for some in same),
        known=sum(some.known for some in same),
        at_most=any(some.at_most for some in same),
        fewer=sum(some.fewer for some in same),
    )
