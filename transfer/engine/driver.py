"""Runs an experiment: drives the road of every arm until all have arrived."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.engine.arm import Optimum, Road
from transfer.engine.plan import Plan
from transfer.engine.pool import Pool
from transfer.engine.progress import Progress, Silent
from transfer.engine.runs import Run
from transfer.engine.scheduler import REPRODUCE, TRANSFER, TUNE, Dispatcher
from transfer.engine.verdict_rows import summary
from transfer.spec.model import Experiment

if TYPE_CHECKING:
    from results import Ledger


@dataclass(frozen=True)
class TransferResult:
    """What became of an experiment.

    Attributes:
        optima: of every arm, by its label: "mupc", or "mupc tanh" with several activations.
        verdicts: rows of the `verdicts` table, one per arm and target.
        skipped: by arm, runs left out because of `tune.skip_unstable`.
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
    """Tune, transfer and judge every variant of `experiment`.

    Runs that the ledger has are not trained again, so that an interrupted call is continued by the
    same call, to the same verdicts.

    Args:
        experiment: what to do.
        ledger: where every run, curve and verdict goes; see `results.open`.
        pool: trains the runs; it is left open.
        progress: told what happens.
        data_dir: where the data set's files are; None means the default place.

    Raises:
        ValueError: the data set is missing or damaged, or cannot be trained as asked. Nothing has
            been trained or written then.
    """
    plan = Plan.of(experiment, None if data_dir is None else Path(data_dir))
    plan.check()
    dispatcher = Dispatcher(experiment.name, [plan.digest], ledger, pool, plan.data_dir)
    dispatcher.tidy()
    journey = Journey(plan, dispatcher, progress or Silent())
    with _watched(dispatcher):
        while journey.advance():
            dispatcher.dispatch()
            journey.announce()
            journey.collect()
    journey.announce()
    roads = journey.roads
    return TransferResult(
        {road.arm.label: road.optimum for road in roads if road.optimum is not None},
        [row for road in roads for row in road.verdicts],
        {road.arm.label: road.skipped for road in roads if road.skipped},
    )


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
        name: of the experiment under which they are recorded.
        runs: of any data sets and shapes; the longest are trained first.
        ledger: where every run, curve and measurement goes.
        pool: trains the runs; it is left open.
        progress: told what happens.
        data_dir: where the files of data sets are; None means the default place.
    """
    if not runs:
        return
    progress = progress or Silent()
    place = None if data_dir is None else Path(data_dir)
    dispatcher = Dispatcher(name, {run.digest for run in runs}, ledger, pool, place)
    dispatcher.tidy()
    dispatcher.request(runs, REPRODUCE)
    dispatcher.dispatch()
    with _watched(dispatcher):
        while True:
            progress.phase(REPRODUCE, dispatcher.wanted, dispatcher.done)
            progress.workload(dispatcher.work_done, dispatcher.work_wanted)
            if dispatcher.has(runs):
                return
            for run, outcome in dispatcher.collect():
                progress.finished(run, outcome)
            dispatcher.dispatch()


@contextmanager
def _watched(dispatcher: Dispatcher) -> Iterator[None]:
    """Record at the end how busy the slots were, also where the user stops the job."""
    try:
        yield
    except KeyboardInterrupt:
        dispatcher.record_usage(over=False)
        raise
    dispatcher.record_usage(over=True)


class Journey:
    """All roads, and the runs that each waits for."""

    def __init__(self, plan: Plan, dispatcher: Dispatcher, progress: Progress) -> None:
        self.dispatcher, self.progress = dispatcher, progress
        self.roads = [Road(plan, arm, dispatcher, progress) for arm in plan.arms]
        self._steps = {road: road.travel() for road in self.roads}
        self._waits: dict[Road, Sequence[Run]] = dict.fromkeys(self.roads, ())

    def advance(self) -> bool:
        """Let every road go on as far as it can; whether one is still on its way."""
        for road, wait in list(self._waits.items()):
            while self.dispatcher.has(wait):
                try:
                    wait = self._waits[road] = next(self._steps[road])
                except StopIteration:
                    del self._waits[road]
                    break
        return bool(self._waits)

    def collect(self) -> None:
        """Wait for what the pool finishes next."""
        for run, outcome in self.dispatcher.collect():
            self.progress.finished(run, outcome)

    def announce(self) -> None:
        """Tell the progress how much is done and expected."""
        ahead = [demand for road in self.roads for demand in road.ahead()]
        dispatcher = self.dispatcher
        phase = TUNE if any(road.optimum is None for road in self.roads) else TRANSFER
        total = dispatcher.wanted + sum(demand.runs for demand in ahead)
        self.progress.phase(phase, total, dispatcher.done)
        work = dispatcher.work_wanted + sum(demand.work for demand in ahead)
        self.progress.workload(dispatcher.work_done, work)
