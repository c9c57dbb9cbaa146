"""Running an experiment: the workflows of all arms share a scheduler and a pool."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from results.vocabulary import Phase
from transfer.engine.any_plan import AnyPlan
from transfer.engine.arm import ArmWorkflow
from transfer.engine.interrupts import no_interrupt_dropped
from transfer.engine.plan import plan_of
from transfer.engine.pool import Pool
from transfer.engine.progress import Callbacks, Progress, broadcast
from transfer.engine.result import TransferResult
from transfer.engine.runs import Run
from transfer.engine.scheduler import Awaited, Scheduler
from transfer.spec.errors import SpecError
from transfer.spec.model import Experiment
from transfer.spec.sweep import Sweep

if TYPE_CHECKING:
    from pccore.data import Dataset
    from results import Ledger


def run(
    experiment: Experiment | Sweep,
    ledger: "Ledger",
    pool: Pool,
    *,
    progress: Callbacks = None,
    data_dir: Path | str | None = None,
    dataset: "Dataset | None" = None,
) -> TransferResult:
    """Tune every variant of an experiment, transfer its optimum and judge the transfer.

    Runs that the ledger has are not trained again: the same call continues an interrupted one and
    arrives at the same verdicts. Several calls at the same time, in any processes on any machines,
    share the runs: each is trained by one of them.

    Args:
        experiment: the spec of networks, or of a sweep of training functions.
        ledger: where every run, curve and verdict is recorded; see `results.open`.
        pool: trains the runs; it is left open.
        progress: receives the events of the job: an object, or several.
        data_dir: where the data set's files are; None means the default place.
        dataset: a data set in place of the experiment's; see `pccore.data.Dataset.from_arrays`.

    Raises:
        TypeError: the ledger is a path.
        ValueError: the data set is missing or damaged, a variant cannot be trained with these
            settings, or the ledger cannot be written to. Nothing has been trained or recorded then.
    """
    if isinstance(ledger, str | Path):
        raise TypeError(f"open the ledger first: mupc.open({str(ledger)!r}, create=True)")
    if dataset is not None:
        if isinstance(experiment, Sweep):
            raise SpecError("dataset must be left out: a training function reads its own data")
        experiment = experiment.with_dataset(dataset)
    folder = None if data_dir is None else Path(data_dir)
    plan = plan_of(experiment, folder)
    plan.check()
    ledger.ensure_writable()
    receiver = broadcast(progress)
    with ledger.claims(experiment.name) as claims, _announced(receiver, experiment.name, ledger):
        scheduler = Scheduler(
            experiment.name,
            plan.digests,
            ledger,
            pool,
            folder,
            claims,
            plan.own,
            experiment.budget,
        )
        scheduler.remove_leftovers()
        workflows = Workflows(plan, scheduler, receiver)
        with _recorded_usage(scheduler):
            while workflows.advance():
                scheduler.submit()
                workflows.report()
                scheduler.collect(receiver)
        workflows.report()
    return workflows.result


def train(
    name: str,
    runs: Sequence[Run],
    ledger: "Ledger",
    pool: Pool,
    *,
    progress: Callbacks = None,
    data_dir: Path | str | None = None,
    datasets: "Sequence[Dataset]" = (),
) -> None:
    """Train runs that belong to no search, unless the ledger has them.

    Args:
        name: name of the experiment under which they are recorded.
        runs: runs of any data sets and shapes; the longest are trained first.
        ledger: where every run, curve and measurement is recorded.
        pool: trains the runs; it is left open.
        progress: receives the events of the job: an object, or several.
        data_dir: where the files of data sets are; None means the default place.
        datasets: those of the runs' data sets that are the user's own.
    """
    if not runs:
        return
    ledger.ensure_writable()
    receiver = broadcast(progress)
    folder = None if data_dir is None else Path(data_dir)
    with ledger.claims(name) as claims, _announced(receiver, name, ledger):
        digests = {run.digest for run in runs}
        scheduler = Scheduler(name, digests, ledger, pool, folder, claims, datasets)
        scheduler.remove_leftovers()
        scheduler.request(runs, Phase.REPRODUCE)
        with _recorded_usage(scheduler):
            while True:
                scheduler.submit()
                receiver.phase(Phase.REPRODUCE, scheduler.requested, scheduler.done)
                scheduler.report(receiver)
                if scheduler.all_done(runs):
                    return
                scheduler.collect(receiver)


@contextmanager
def _announced(receiver: Progress, name: str, ledger: "Ledger") -> Iterator[None]:
    """Report the start and the end of a job, however it ends."""
    receiver.begin(name, ledger)
    try:
        with no_interrupt_dropped():
            yield
    except BaseException as error:
        receiver.end(error)
        raise
    receiver.end(None)


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

    def __init__(self, plan: AnyPlan, scheduler: Scheduler, progress: Progress) -> None:
        self.arms = [ArmWorkflow(plan, arm, scheduler, progress) for arm in plan.arms]
        self._scheduler, self._progress = scheduler, progress
        self._steps = {arm: arm.steps() for arm in self.arms}
        self._waits: dict[ArmWorkflow, Sequence[Awaited]] = dict.fromkeys(self.arms, ())

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
        planned_runs = (planned for arm in self.arms for planned in arm.remaining())
        remaining = [replace(each, runs=each.expected, fewer=0) for each in planned_runs]
        phase = Phase.TUNE if any(arm.optimum is None for arm in self.arms) else Phase.TRANSFER
        total = scheduler.requested + sum(planned.runs for planned in remaining)
        self._progress.phase(phase, total, scheduler.done)
        scheduler.report(self._progress, remaining)

    @property
    def result(self) -> TransferResult:
        """The result of the experiment, as far as the workflows have come."""
        return TransferResult(
            {arm.label: arm.optimum for arm in self.arms if arm.optimum is not None},
            [row for arm in self.arms for row in arm.verdicts],
            {arm.label: arm.skipped for arm in self.arms if arm.skipped},
            tuple(each for arm in self.arms for each in arm.transferred),
            self._scheduler.ledger,
        )
