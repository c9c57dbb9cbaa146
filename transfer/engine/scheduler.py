"""Runs wanted in, rows out: between those who want runs, the ledger that knows, and the pool."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pccore import Outcome, Status
from results.vocabulary import Phase
from transfer.engine.grouping import cut, taken_up, trained_together, work
from transfer.engine.pool import Group, Pool
from transfer.engine.runs import Run
from transfer.engine.usage import Usage

if TYPE_CHECKING:
    from results import Ledger

TUNE, TRANSFER, REPRODUCE = Phase.TUNE, Phase.TRANSFER, Phase.REPRODUCE
MEASURE = "measure"
"""The phase of networks that are measured untrained: rows of `measurements`, and not of `runs`."""

# One that trains and one that waits: a slot need not idle while a group's rows are being written.
GROUPS_PER_SLOT = 2

RESULT = ("final_train_loss", "min_train_loss", "test_accuracy", "outcome", "run_id", "experiment")
"""The columns of `runs` that an experiment is decided by, and what says whose they are."""

FINISHED = [str(status) for status in Status if status is not Status.FAILED]


class Dispatcher:
    """Trains each run that is asked for once, unless the ledger already knows how it ended.

    A run that failed counts as unknown in the ledger, and as done here: it is tried again by the
    next process. Rows of other experiments are copied under this one's name.

    Args:
        name: of the experiment, under which everything is recorded.
        digests: of the data sets that its runs learn.
        ledger: where runs are looked up and recorded.
        pool: trains what is unknown.
        data_dir: where the files of data sets are; None means the default place.
    """

    def __init__(
        self,
        name: str,
        digests: Iterable[str],
        ledger: "Ledger",
        pool: Pool,
        data_dir: Path | None = None,
    ) -> None:
        self.name, self.ledger, self.pool, self.data_dir = name, ledger, pool, data_dir
        known = ledger.runs(["run_id"], dataset_digest=sorted(set(digests)), outcome=FINISHED)
        self._known = set(known["run_id"].to_numpy())  # in whatever experiment, perhaps a million
        own = ledger.runs(RESULT, experiment=self.name, outcome=FINISHED)
        self._own = {row["run_id"]: row for row in _values(own)}
        self._rows: dict[str, Mapping[str, Any]] = {}  # done, by run id
        self._measured: dict[str, Mapping[str, Any]] = {}  # likewise: values of quantities
        self._copies: list[dict[str, Any]] = []
        self._new: dict[str, tuple[Run, str]] = {}  # wanted, not yet in a group; with its phase
        self._ready: list[tuple[tuple[bool, bool, float, int], Group]] = []  # a heap
        self._training: dict[str, tuple[Run, str]] = {}  # in a group; with its phase
        self._submitted = 0
        self._order = count()
        self._begun = ledger.checkpoints.groups()
        self._usage = Usage()
        self.work_done = self.work_wanted = 0.0

    @property
    def wanted(self) -> int:
        """How many different runs have been asked for."""
        to_train = (*self._new.values(), *self._training.values())
        return len(self._rows) + sum(phase != MEASURE for _, phase in to_train)

    @property
    def done(self) -> int:
        """How many of them are done."""
        return len(self._rows)

    def tidy(self) -> None:
        """Remove the checkpoints of finished runs, which a process leaves that is killed between
        recording a group and removing its checkpoint."""
        for run_ids in self._begun:
            if self._known.issuperset(run_ids):
                self.ledger.checkpoints.remove(run_ids)

    def request(self, runs: Iterable[Run], phase: str) -> None:
        """Ask for runs; asking again changes nothing."""
        runs = list(runs)
        if phase == MEASURE:
            self._recall(runs)
        known = self._known_rows(run.run_id for run in runs if not self.has([run]))
        for run in runs:
            key = run.run_id
            if self.has([run]) or key in self._new or key in self._training:
                continue
            if key not in known:
                self._new[key] = run, phase
                self.work_wanted += work(run.config)
                continue
            row = self._rows[key] = known[key]
            if row["experiment"] != self.name:
                copy = {**row, "experiment": self.name, "phase": phase, "variant": run.variant}
                self._copies.append(copy)

    def has(self, runs: Iterable[Run]) -> bool:
        """Whether all `runs` are done."""
        return all(run.run_id in self._rows or run.run_id in self._measured for run in runs)

    def rows(self, runs: Iterable[Run]) -> list[Mapping[str, Any]]:
        """The rows of runs that are done: `RESULT` at least."""
        return [self._rows[run.run_id] for run in runs]

    def measured(self, runs: Iterable[Run]) -> list[Mapping[str, Any]]:
        """What was measured on runs that are done: values by the names of quantities."""
        return [self._measured[run.run_id] for run in runs]

    def dispatch(self) -> None:
        """Record what was found under other names, and give the pool work for all its slots."""
        self._record_copies()
        self._group()
        while self._ready and self._submitted < GROUPS_PER_SLOT * self.pool.slots:
            self.pool.submit(heapq.heappop(self._ready)[1])
            self._submitted += 1

    def collect(self) -> list[tuple[Run, Outcome]]:
        """Wait for a group, record what is done, and return it."""
        finished = []
        for result in self.pool.collect():
            self._submitted -= 1
            self._usage.add(result, self.pool.slots)
            runs = [self._training.pop(key) for key in result.group.run_ids]
            pairs = list(zip(runs, result.outcomes, strict=True))
            self.work_done += len(pairs) * work(result.group.config)
            if runs[0][1] == MEASURE:  # then all are: their config is another
                self._record_measured([(run, outcome) for (run, _), outcome in pairs])
                continue
            rows = [run.row(outcome, result, self.name, phase) for (run, phase), outcome in pairs]
            curves = [row for (run, _), outcome in pairs for row in run.curve_rows(outcome)]
            # before the runs: a run that is known is not measured again
            self.ledger.append_measurements(
                [
                    row
                    for (run, _), outcome in pairs
                    for row in run.measurement_rows(outcome, self.name)
                ]
            )
            self.ledger.append(rows, curves)
            self.ledger.checkpoints.remove(result.group.run_ids)
            self._rows.update((row["run_id"], {name: row[name] for name in RESULT}) for row in rows)
            finished += [(run, outcome) for (run, _), outcome in pairs]
        if self._usage.due:
            self.record_usage(over=False)
        return finished

    def record_usage(self, *, over: bool) -> None:
        """Append how busy the slots were; `over` as in `Usage.rows`."""
        rows = self._usage.rows(self.name, over=over)
        if rows:
            self.ledger.append_measurements(rows)

    def record_verdicts(self, rows: list[dict[str, Any]], measured: list[dict[str, Any]]) -> None:
        """Append rows of `verdicts`, and of `measurements`, after the runs that they are about."""
        self._record_copies()
        self.ledger.append_measurements(measured)
        self.ledger.append_verdicts(rows)

    def _recall(self, runs: Sequence[Run]) -> None:
        """Find what the ledger knows about runs that are to be measured."""
        known = self.ledger.measurements(run_id=[run.run_id for run in runs])
        for run_id, rows in known.groupby("run_id"):
            self._measured[str(run_id)] = dict(zip(rows["quantity"], rows["value"], strict=True))

    def _record_measured(self, pairs: Sequence[tuple[Run, Outcome]]) -> None:
        """Learning rates play no part in what is measured before training."""
        rows = []
        for run, outcome in pairs:
            found = run.measurement_rows(outcome, self.name)
            rows += [{**row, "weight_lr": None, "activity_lr": None} for row in found]
            self._measured[run.run_id] = {row["quantity"]: row["value"] for row in found}
        self.ledger.append_measurements(rows)

    def _record_copies(self) -> None:
        if self._copies:
            self.ledger.append(self._copies)
            self._copies = []

    def _group(self) -> None:
        """Cut the new runs into groups: tuning before transfer, the longest first.

        The first group of every shape goes before all others, so that the slots compile different
        programs rather than the same one at the same time.
        """
        share = (self.work_wanted - self.work_done) / self.pool.slots
        for runs in trained_together(run for run, _ in self._new.values()):
            config = runs[0].config
            groups, left = taken_up(runs, self._begun)
            if left:
                groups += cut(left, self.pool.lanes(config), share)
            for place, group in enumerate(groups):
                phase = self._new[group[0].run_id][1]
                priority = phase not in (MEASURE, TUNE), place > 0, -work(config), next(self._order)
                heapq.heappush(self._ready, (priority, self._as_group(group)))
        self._training |= self._new
        self._new = {}

    def _known_rows(self, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What the ledger has of these runs, by id; of another experiment's, whole rows."""
        known = self._known.intersection(run_ids)
        found = {run_id: self._own[run_id] for run_id in known if run_id in self._own}
        elsewhere = sorted(known - found.keys())
        if elsewhere:
            rows = self.ledger.runs(run_id=elsewhere, outcome=FINISHED)
            found |= {row["run_id"]: row for row in _values(rows)}
        return found

    def _as_group(self, runs: Sequence[Run]) -> Group:
        return Group(
            dataset=runs[0].dataset,
            data_dir=None if self.data_dir is None else str(self.data_dir),
            config=runs[0].config,
            lanes=tuple(run.lane for run in runs),
            run_ids=tuple(run.run_id for run in runs),
        )


def _values(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Python values, None where there is none."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
