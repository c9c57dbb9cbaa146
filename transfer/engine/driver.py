"""Running an experiment: the workflows of all arms share a scheduler and a pool."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.vocabulary import Phase
from transfer.engine.arm import ArmWorkflow, Optimum
from transfer.engine.plan import Plan
from transfer.engine.pool import Pool
from transfer.engine.progress import Progress
from transfer.engine.runs import Run
from transfer.engine.scheduler import Scheduler
from transfer.engine.verdict_rows import summary
from transfer.spec.model import Experiment

if TYPE_CHECKING:
    from results import Ledger


@dataclass(frozen=True)
class TransferResult:
    """The result of an experiment.

    Attributes:
        optima: the optimum of every arm, by its label: "mupc", or "mupc tanh" with several
            activations.
        verdicts: rows of the `verdicts` table, one per arm, target and rule.
        skipped: by arm, how many runs were left out because of `tune.skip_unstable`.
    """

    optima: dict[str, Optimum]
    verdicts: list[dict[str, Any]]
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The verdicts in plain text, a line each, and how many runs were skipped."""
        return summary(self.verdicts, self.skipped)


def run(
    experiment: Experiment,
    ledger: "Ledger",
    pool: Pool,
    *,
    progress: Progress | None = None,
    data_dir: Path | str | None = None,
) -> TransferResult:
    """Tune every variant of an experiment, transfer its optimum and judge the transfer.

    Runs that the ledger has are not trained again: the same call continues an interrupted one and
    arrives at the same verdicts.

    Args:
        experiment: the spec.
        ledger: where every run, curve and verdict is recorded; see `results.open`.
        pool: trains the runs; it is left open.
        progress: receives the events of the job.
        data_dir: where the data set's files are; None means the default place.

    Raises:
        ValueError: the data set is missing or damaged, a variant cannot be trained with these
            settings, or the ledger cannot be written to. Nothing has been trained or recorded then.
    """
    plan = Plan.of(experiment, None if data_dir is None else Path(data_dir))
    plan.check()
    ledger.ensure_writable()
    scheduler = Scheduler(experiment.name, [plan.digest], ledger, pool, plan.data_dir)
    scheduler.remove_stale_checkpoints()
    progress = progress or Progress()
    workflows = Workflows(plan, scheduler, progress)
    with _recorded_usage(scheduler):
        while workflows.advance():
            scheduler.submit()
            workflows.report()
            for trained, outcome in scheduler.collect():
                progress.finished(trained, outcome)
    workflows.report()
    return workflows.result


def train(
    name: str,
    runs: Sequence[Run],
    ledger: "Ledger",
    pool: Pool,
    *,
    progress: Progress | None = None,
    data_dir: Path | str | None = None,
) -> None:
    """Train runs that belong to no search, unless the ledger has them.

    Args:
        name: name of the experiment under which they are recorded.
        runs: runs of any data sets and shapes; the longest are trained first.
        ledger: where every run, curve and measurement is recorded.
        pool: trains the runs; it is left open.
        progress: receives the events of the job.
        data_dir: where the files of data sets are; None means the default place.
    """
    if not runs:
        return
    ledger.ensure_writable()
    progress = progress or Progress()
    folder = None if data_dir is None else Path(data_dir)
    scheduler = Scheduler(name, {run.digest for run in runs}, ledger, pool, folder)
    scheduler.remove_stale_checkpoints()
    scheduler.request(runs, Phase.REPRODUCE)
    with _recorded_usage(scheduler):
        while True:
            scheduler.submit()
            progress.phase(Phase.REPRODUCE, scheduler.requested, scheduler.done)
            progress.workload(scheduler.work_done, scheduler.work_requested)
            if scheduler.all_done(runs):
                return
            for trained, outcome in scheduler.collect():
                progress.finished(trained, outcome)


@contextmanager
def _recorded_usage(scheduler: Scheduler) -> Iterator[None]:
    """Record at the end how busy the slots were, even if the user interrupts the job."""
    try:
        yield
    except KeyboardInterrupt:
        scheduler.record_usage(over=False)
        raise
    scheduler.record_usage(over=True)


class Workflows:
    """The workflows of all arms of an experiment, and the runs that each waits for."""

    def __init__(self, plan: Plan, scheduler: Scheduler, progress: Progress) -> None:
        self.arms = [ArmWorkflow(plan, arm, scheduler, progress) for arm in plan.arms]
        self._scheduler, self._progress = scheduler, progress
        self._steps = {arm: arm.steps() for arm in self.arms}
        self._waits: dict[ArmWorkflow, Sequence[Run]] = dict.fromkeys(self.arms, ())

    def advance(self) -> bool:
        """Advance every workflow as far as finished runs allow; return whether any is left."""
        for arm, wait in list(self._waits.items()):
            while self._scheduler.all_done(wait):
                try:
                    wait = self._waits[arm] = next(self._steps[arm])
                except StopIteration:
                    del self._waits[arm]
                    break
        return bool(self._waits)

    def report(self) -> None:
        """Report to the progress callbacks how much is done and how much is expected."""
        scheduler = self._scheduler
        remaining = [planned for arm in self.arms for planned in arm.remaining()]
        phase = Phase.TUNE if any(arm.optimum is None for arm in self.arms) else Phase.TRANSFER
        total = scheduler.requested + sum(planned.runs for planned in remaining)
        self._progress.phase(phase, total, scheduler.done)
        work = scheduler.work_requested + sum(planned.work for planned in remaining)
        self._progress.workload(scheduler.work_done, work)

    @property
    def result(self) -> TransferResult:
        """The result of the experiment, as far as the workflows have come."""
        return TransferResult(
            {arm.label: arm.optimum for arm in self.arms if arm.optimum is not None},
            [row for arm in self.arms for row in arm.verdicts],
            {arm.label: arm.skipped for arm in self.arms if arm.skipped},
        )
