"""The scheduler: it looks runs up in the ledger, trains the others on a pool, and records them."""

import heapq
import math
import time
import warnings
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pccore import Outcome, Status
from results.landscape import NOT_RUN
from results.vocabulary import Phase
from transfer.engine.admission import Submitted
from transfer.engine.any_plan import PlannedRuns
from transfer.engine.budget import Budget, part
from transfer.engine.grouping import (
    cut,
    resumed,
    steps,
    trained_together,
    weight_bytes,
    work,
    work_between,
)
from transfer.engine.known_runs import RESULT, KnownRuns, Wanted, suffices
from transfer.engine.pool import Config, Group, GroupResult, Pool
from transfer.engine.progress import Progress
from transfer.engine.recorder import Recorder
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.engine.stopped_runs import StoppedRuns
from transfer.engine.usage import Usage
from transfer.spec.budget import BudgetSpec

if TYPE_CHECKING:
    from pccore.data import Dataset
    from results import Claims, Ledger
    from transfer.functions import TrainingFunction

KEPT_BYTES = 2**30
"""The most bytes of kept weights in one group of several lanes: they travel in one message."""

SNAPSHOT_COPIES = 4
"""About how many times the weights a snapshot has: Adam has two moments of each."""

MEASURE = "measure"
"""The phase of untrained networks that are measured: rows of `measurements`, not of `runs`."""

GROUPS_PER_SLOT = 2
"""One group that trains and one that waits: a slot stays busy while a group is recorded."""

POLL_SECONDS = 2.0
"""Interval between two looks for results of runs that another driver trains."""

LOOKING_SHARE = 0.1
"""The largest share of the time that these looks may take, on a ledger that answers slowly."""


@dataclass(frozen=True)
class Request:
    """A run that is to be trained.

    Attributes:
        run: the run.
        phase: the part of the experiment that it belongs to.
        keep: whether its weights are kept.
        until: the update after which it stops; None: the last one.
        part: the number of the group that it belongs to, whichever of its runs are known; None if
            groups may be cut as suits the slots.
    """

    run: AnyRun
    phase: str
    keep: bool = False
    until: int | None = None
    part: int | None = None


@dataclass(frozen=True)
class Stop:
    """The first `step` updates of a run, for which a workflow waits."""

    run: AnyRun
    step: int


Awaited = AnyRun | Stop
"""What a workflow waits for: a whole run, or the first updates of one."""


class Scheduler:
    """Trains every requested run once, unless the ledger has its result.

    A run that fails counts as done in this process; the next process trains it again. A result that
    the ledger has under another experiment is copied under this experiment's name.

    Runs that another driver trains on the same ledger are left to it: their results are read when
    they are there, and those that it fails, or leaves behind when it dies, are trained here.

    Args:
        name: name of the experiment under which everything is recorded.
        digests: digests of the data sets that its runs are trained on, or of training functions.
        ledger: where runs are looked up and recorded.
        pool: trains the runs that the ledger does not have.
        data_dir: where the files of data sets are; None means the default place.
        claims: of this driver, entered; None where nothing is trained.
        datasets: the data sets that are the user's own, and training functions; workers load others
            by their names.
        budget: what may be spent; runs beyond it count as done, with the outcome `NOT_RUN`.
    """

    def __init__(
        self,
        name: str,
        digests: Iterable[str],
        ledger: "Ledger",
        pool: Pool,
        data_dir: Path | None = None,
        claims: "Claims | None" = None,
        datasets: "Iterable[Dataset | TrainingFunction]" = (),
        budget: BudgetSpec | None = None,
    ) -> None:
        self._budget = Budget.of(budget, ledger, name)
        self._left_out = 0
        self._claims = claims
        self.name, self.ledger, self.pool, self.data_dir = name, ledger, pool, data_dir
        self._own_data = {data.name: data for data in datasets}
        self._known = KnownRuns(name, sorted(set(digests)), ledger)
        self._stopped = StoppedRuns(ledger)
        self._results: dict[str, Row] = {}  # done, or done so far, by run id
        self._measured: dict[str, Mapping[str, float]] = {}  # done: readings by quantity
        self._recorder = Recorder(name, ledger, self._stopped)
        self._new: dict[str, Request] = {}  # not yet in a group
        self._ready: list[tuple[tuple[bool, bool, float, int], Group]] = []  # a heap
        self._training: dict[str, Request] = {}  # in a group
        self._elsewhere: dict[str, Request] = {}  # claimed by other drivers
        self._look_after = 0.0  # monotonic seconds
        self._in_pool = Submitted()
        self.runs_left: Counter[Config] = Counter()  # of the requested ones
        self._order, self._parts = count(), count()
        self._usage = Usage()
        self.work_done = self.work_requested = 0.0

    @property
    def requested(self) -> int:
        """How many different runs have been requested, not counting those that are measured."""
        return len(self._results.keys() | self._pending) - self._left_out

    @property
    def done(self) -> int:
        """How many of the requested runs are done, as far as they are to go."""
        return len(self._results.keys() - self._pending) - self._left_out

    @property
    def _pending(self) -> set[str]:
        every = (self._new, self._training, self._elsewhere)
        return {
            run_id
            for requests in every
            for run_id, request in requests.items()
            if request.phase != MEASURE
        }

    @property
    def sharing(self) -> tuple[list[str], int]:
        """The other drivers on the ledger, in words, and how many requested runs they have."""
        if self._claims is None or not self._claims.met:
            return [], 0
        return sorted(str(register) for register in self._claims.others()), len(self._elsewhere)

    def remove_leftovers(self) -> None:
        """Remove the checkpoints of finished runs, and weights that no run has.

        A process leaves a checkpoint when it is killed after recording a group and before removing
        the group's checkpoint, and weights when it is killed just before recording the group.
        """
        if self._claims is not None:
            self.ledger.remove_unrecorded_weights(self._claims)
        for run_ids in self._stopped.groups:
            if self._known.finished(run_ids):
                self.ledger.checkpoints.remove(run_ids)
        left = self._stopped.run_ids
        self._stopped.remove(run_id for run_id in left if self._known.finished([run_id]))

    def request(
        self,
        runs: Iterable[AnyRun],
        phase: str,
        keep: Container[str] = (),
        until: int | None = None,
        *,
        together: bool = False,
    ) -> None:
        """Request runs; requesting a run again changes nothing.

        Args:
            runs: the runs.
            phase: the part of the experiment that they belong to.
            keep: ids of those whose weights are kept, if they are trained here.
            until: the update after which they stop, which is no longer pending when this is called
                with a later one; None: the last one.
            together: whether runs of one config are cut into the same groups whichever of them are
                known, so that an interrupted job has the lanes of an undisturbed one.
        """
        runs = list(runs)
        if phase == MEASURE:
            self._look_up_measurements(runs)
        done = [self.all_done([run if until is None else Stop(run, until)]) for run in runs]
        new = {run.run_id: until for run, is_done in zip(runs, done, strict=True) if not is_done}
        known = self._known.look_up(new)
        parts = self._part_of(runs) if together else {}
        for run in runs:
            run_id = run.run_id
            pending = run_id in self._new or run_id in self._training or run_id in self._elsewhere
            if run_id not in new or pending:
                continue
            if run_id in known:
                self._accept(Request(run, phase), known[run_id])
            else:
                chosen = parts.get(run_id)
                self._new[run_id] = Request(run, phase, run_id in keep, until, chosen)
                self.work_requested += self._work(self._new[run_id])
                self.runs_left[run.config] += 1

    def forget_snapshots(self, runs: Iterable[AnyRun]) -> None:
        """Remove the snapshots of runs that stopped early and will not continue."""
        self._stopped.forget(run.run_id for run in runs)

    def all_done(self, awaited: Iterable[Awaited]) -> bool:
        """Return whether all that is awaited is done."""
        return all(map(self._is_done, awaited))

    def _is_done(self, awaited: Awaited) -> bool:
        run, until = (awaited.run, awaited.step) if isinstance(awaited, Stop) else (awaited, None)
        row = self._results.get(run.run_id)
        if row is None:
            return run.run_id in self._measured
        return suffices(row, until)

    def results(self, runs: Iterable[AnyRun]) -> list[Row]:
        """Return the rows of runs that are done, with at least the columns of `RESULT`."""
        return [self._results[run.run_id] for run in runs]

    def result_so_far(self, run: AnyRun) -> Row | None:
        """Return the row of a run that is done, or was stopped; None if it has no row."""
        return self._results.get(run.run_id)

    def requested_of(self, runs: Iterable[AnyRun]) -> int:
        """Return how many of these runs have been requested."""
        known = self._results.keys() | self._pending
        return sum(run.run_id in known for run in runs)

    def measured(self, runs: Iterable[AnyRun]) -> list[Mapping[str, float]]:
        """Return the readings of runs that are done, by the names of quantities."""
        return [self._measured[run.run_id] for run in runs]

    def submit(self) -> None:
        """Record copied runs, and submit groups until every slot has one to train and one more."""
        self._recorder.copies()
        self._form_groups()
        while self._ready and len(self._in_pool) < GROUPS_PER_SLOT * self.pool.slots:
            priority, group = heapq.heappop(self._ready)
            allowed = self._budget.allowed(group, self._usage, self._in_pool.groups)
            count = 0 if allowed is None else len(allowed.lanes)
            if count < len(group.lanes):
                heapq.heappush(self._ready, (priority, part(group, count, len(group.lanes))))
            if allowed is None:
                break
            claimed = self._claimed(allowed)
            if claimed is not None:
                self.pool.submit(claimed)
                self._in_pool.add(claimed)

        if self._ready and not self._in_pool and self._used_up:
            self._leave_out()

    @property
    def _used_up(self) -> bool:
        group = self._ready[0][1]
        return self._budget.allowed(group, self._usage, self._in_pool.groups) is None

    def _leave_out(self) -> None:
        """Take the runs that the budget does not allow as done, without a result."""
        for _, group in self._ready:
            for run_id in group.run_ids:
                request = self._training.pop(run_id)
                self.work_requested -= self._work(request)
                self.runs_left[group.config] -= 1
                if request.phase == MEASURE:
                    self._measured[run_id] = {}
                    continue
                row: Row = {"run_id": run_id, "experiment": self.name, "outcome": NOT_RUN}
                self._results[run_id] = row
                self._left_out += 1
        self._ready = []

    def report(self, progress: Progress, remaining: Sequence[PlannedRuns] = ()) -> None:
        """Report how much is done and how much is left.

        Args:
            progress: receives `workload`, `pending` and `sharing`.
            remaining: runs that have not been requested yet.
        """
        progress.workload(self.work_done, self.work_requested + sum(p.work for p in remaining))
        runs = self.runs_left.copy()
        for planned in remaining:
            runs[planned.config] += planned.runs - planned.known
        progress.pending(runs, self._in_pool.groups, self.pool.slots)
        progress.sharing(*self.sharing)

    def collect(self, progress: Progress) -> None:
        """Wait for groups, record them, and report the runs that were trained to `progress`.

        While other drivers have requested runs, it waits no longer than until the next look.
        """
        timeout = max(0.0, self._look_after - time.monotonic()) if self._elsewhere else None
        if timeout is not None and not self._in_pool:
            time.sleep(timeout)
        answers = self.pool.collect(timeout) if self._in_pool else ()
        for result in self._in_pool.results(answers):
            self._usage.add(result, self.pool.slots)
            progress.trained(result)
            requests = [self._training.pop(run_id) for run_id in result.group.run_ids]
            self.work_done += sum(map(self._work, requests))
            self.runs_left[result.group.config] -= len(requests)
            if requests[0].phase == MEASURE:  # then all are, as their config is another
                runs = [request.run for request in requests]
                self._measured |= self._recorder.measured(runs, result)
            else:
                pairs = self._without_repeated(requests, result)
                self._record_trained(pairs, result)
                for request, outcome in pairs:
                    if outcome.status is not Status.PRUNED:  # it may continue
                        progress.finished(request.run, outcome)
        if self._elsewhere and time.monotonic() >= self._look_after:
            self._look_elsewhere()
        if self._usage.due or (self._budget and answers):
            self.record_usage(over=False)

    def record_usage(self, *, over: bool) -> None:
        """Append how busy the slots were; `over` as in `Usage.rows`."""
        self._recorder.measurements(self._usage.rows(self.name, over=over))

    def record_verdicts(self, verdicts: Sequence[Row], measurements: Sequence[Row]) -> list[Row]:
        """Append rows of `verdicts` and of `measurements`, after the runs that they are about.

        Returns:
            The verdicts as they were recorded.
        """
        self._recorder.copies()
        self._recorder.measurements(measurements)
        return self._recorder.verdicts(verdicts)

    def _claimed(self, group: Group) -> Group | None:
        """Return the part of a group that this driver is to train; None if there is none.

        Runs that other drivers have claimed are left to them, and results that they have recorded
        since the last look are accepted.
        """
        run_ids = group.run_ids
        if self._claims is None or self._training[run_ids[0]].phase == MEASURE:
            return group
        mine = self._claims.take(run_ids)
        met = self._claims.met
        recorded = self._recorded_since(self._wanted(self._training, mine)) if met else {}
        for run_id in run_ids:
            if run_id not in mine:
                self._elsewhere[run_id] = self._training.pop(run_id)
            elif run_id in recorded:
                self._accept_from_elsewhere(self._training.pop(run_id), recorded[run_id])
        self._claims.release(recorded)
        kept = [place for place, run_id in enumerate(run_ids) if run_id in self._training]
        return (
            replace(
                group,
                lanes=tuple(group.lanes[place] for place in kept),
                run_ids=tuple(run_ids[place] for place in kept),
            )
            if kept
            else None
        )

    def _look_elsewhere(self) -> None:
        """Accept what other drivers have recorded; request what they no longer have."""
        assert self._claims is not None
        begun = time.monotonic()
        held = self._claims.held_elsewhere()  # before the results: a run is recorded, then dropped
        recorded = self._recorded_since(self._wanted(self._elsewhere, self._elsewhere))
        for run_id in list(self._elsewhere):
            if run_id in recorded:
                self._accept_from_elsewhere(self._elsewhere.pop(run_id), recorded[run_id])
            elif run_id not in held:
                self._new[run_id] = self._elsewhere.pop(run_id)
        if self._new:
            self._stopped.look()
        now = time.monotonic()
        self._look_after = now + max(POLL_SECONDS, (now - begun) / LOOKING_SHARE)

    def _accept_from_elsewhere(self, request: Request, row: Row) -> None:
        self.work_requested -= self._work(request)
        self._accept(request, row)
        self.runs_left[request.run.config] -= 1

    def _accept(self, request: Request, row: Row) -> None:
        """Take a row of the ledger as the result of a run; copy it from another experiment."""
        run, row_of_run = request.run, dict(row)
        self._results[run.run_id] = row_of_run
        if row["experiment"] != self.name:
            own = {"experiment": self.name, "phase": request.phase, "variant": run.variant}
            self._recorder.copy(row_of_run | own)

    def _recorded_since(self, wanted: Wanted) -> dict[str, Row]:
        """Return the rows of those runs that the ledger has by now, by id."""
        return self._known.recorded_since(wanted)

    def _wanted(self, requests: Mapping[str, Request], run_ids: Iterable[str]) -> Wanted:
        return {run_id: requests[run_id].until for run_id in run_ids}

    def _without_repeated(
        self, requests: Sequence[Request], result: GroupResult
    ) -> list[tuple[Request, Outcome]]:
        """Return the outcomes that are to be recorded: not those that another driver has recorded.

        That happens if this process did not run for so long that the others took it for dead.
        """
        pairs = list(zip(requests, result.outcomes, strict=True))
        if self._claims is None or not self._claims.silent:
            return pairs
        recorded = self._recorded_since(dict.fromkeys(result.group.run_ids, result.group.until))
        if recorded:
            warnings.warn(
                f"{len(recorded)} runs were trained twice: another driver took this one for dead, "
                "and its results count",
                RuntimeWarning,
                stacklevel=2,
            )
        for request, _ in pairs:
            if request.run.run_id in recorded:
                self._accept(request, recorded[request.run.run_id])
        return [pair for pair in pairs if pair[0].run.run_id not in recorded]

    def _look_up_measurements(self, runs: Sequence[AnyRun]) -> None:
        known = self.ledger.measurements(run_id=[run.run_id for run in runs])
        for run_id, rows in known.groupby("run_id"):
            self._measured[str(run_id)] = dict(zip(rows["quantity"], rows["value"], strict=True))

    def _form_groups(self) -> None:
        """Cut the new runs into groups: tuning before transfer, the longest first.

        The first group of every shape goes before all others, so that the slots compile different
        programs rather than the same one at the same time.
        """
        share = (self.work_requested - self.work_done) / self.pool.slots
        for runs in trained_together(request.run for request in self._new.values()):
            config = runs[0].config
            groups = [
                group
                for same in self._alike(runs)
                for group in self._cut(same, self._lanes(runs), share)
            ]
            for place, group in enumerate(groups):
                later = self._new[group[0].run_id].phase not in (MEASURE, Phase.TUNE)
                priority = later, place > 0, -work(config), next(self._order)
                heapq.heappush(self._ready, (priority, self._as_group(group)))
        self._training |= self._new
        self._new = {}

    def _alike(self, runs: Sequence[AnyRun]) -> list[list[AnyRun]]:
        """Return the runs that begin and stop after the same updates, and by their part."""
        found: dict[tuple[object, ...], list[AnyRun]] = {}
        for run in runs:
            request = self._new[run.run_id]
            key = (request.part, self._begun(request), request.until)
            found.setdefault(key, []).append(run)
        return list(found.values())

    def _cut(self, runs: Sequence[AnyRun], lanes: int, share: float) -> list[list[AnyRun]]:
        """Cut runs that begin and stop after the same updates into groups."""
        groups, left = resumed(runs, self._stopped.groups)
        if not left:
            return groups
        if self._new[left[0].run_id].part is not None:
            return [*groups, left]
        return groups + cut(left, lanes, share)

    def _part_of(self, runs: Sequence[AnyRun]) -> dict[str, int]:
        """Return the numbers of the groups that runs are cut into, which do not depend on slots."""
        found: dict[str, int] = {}
        for alike in trained_together(runs):
            config = alike[0].config
            most = KEPT_BYTES // (SNAPSHOT_COPIES * weight_bytes(config))
            for group in cut(alike, max(1, min(most, self.pool.lanes(config))), math.inf):
                found |= dict.fromkeys((run.run_id for run in group), next(self._parts))
        return found

    def _begun(self, request: Request) -> int:
        """Return the updates that a run has done and need not do again."""
        last = steps(request.run.config) if request.until is None else request.until
        return self._stopped.begun(request.run.run_id, last)

    def _work(self, request: Request) -> float:
        """Return the multiply-adds of what is to be trained of a run."""
        return work_between(request.run.config, self._begun(request), request.until)

    def _as_group(self, runs: Sequence[AnyRun]) -> Group:
        first = self._new[runs[0].run_id]
        return Group(
            dataset=runs[0].dataset,
            data_dir=None if self.data_dir is None else str(self.data_dir),
            config=runs[0].config,
            lanes=tuple(run.lane for run in runs),
            run_ids=tuple(run.run_id for run in runs),
            kept=frozenset(run.run_id for run in runs if self._new[run.run_id].keep),
            own=self._own_data.get(runs[0].dataset),
            until=first.until,
            begun=self._begun(first),
        )

    def _lanes(self, runs: Sequence[AnyRun]) -> int:
        """Return the most lanes of a group of runs that share a config."""
        lanes = self.pool.lanes(runs[0].config)
        if not any(self._new[run.run_id].keep for run in runs):
            return lanes
        return max(1, min(lanes, KEPT_BYTES // weight_bytes(runs[0].config)))

    def _record_trained(
        self, pairs: Sequence[tuple[Request, Outcome]], result: GroupResult
    ) -> None:
        trained = [(request.run, request.phase, outcome) for request, outcome in pairs]
        rows = self._recorder.trained(trained, result)
        if self._claims is not None:
            self._claims.release(result.group.run_ids)
        self._results |= {str(row["run_id"]): {name: row[name] for name in RESULT} for row in rows}
