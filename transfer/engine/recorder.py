"""Rows of results, appended to the ledger in the order in which a killed driver loses none."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pccore import Outcome, Status
from transfer.engine.kept_weights import keep
from transfer.engine.pool import GroupResult
from transfer.engine.run_rows import Row, curve_rows, layer_rows, measurement_rows, run_row
from transfer.engine.runs import AnyRun
from transfer.engine.stopped_runs import StoppedRuns

if TYPE_CHECKING:
    from results import Ledger


class Recorder:
    """Appends the results of an experiment.

    Args:
        name: name of the experiment.
        ledger: where they are appended.
        stopped: the snapshots of runs that stopped early.
    """

    def __init__(self, name: str, ledger: "Ledger", stopped: StoppedRuns) -> None:
        self._name, self._ledger, self._stopped = name, ledger, stopped
        self._copies: list[Row] = []

    def copy(self, row: Row) -> None:
        """Take a row of another experiment, changed to one of this one, for `copies`."""
        self._copies.append(row)

    def copies(self) -> None:
        """Append the rows that were taken."""
        if self._copies:
            recorded = self._ledger.now()
            self._ledger.append([{**row, "recorded": recorded} for row in self._copies])
            self._copies = []

    def measurements(self, rows: Sequence[Row]) -> None:
        """Append rows of `measurements`."""
        if rows:
            created = self._ledger.now()
            self._ledger.append_measurements([{**row, "created": created} for row in rows])

    def verdicts(self, rows: Sequence[Row]) -> list[Row]:
        """Append rows of `verdicts`, and return them as they were recorded."""
        created = self._ledger.now()
        recorded = [{**row, "created": created} for row in rows]
        self._ledger.append_verdicts(recorded)
        return recorded

    def trained(
        self, trained: Iterable[tuple[AnyRun, str, Outcome]], result: GroupResult
    ) -> list[Row]:
        """Append the outcomes of runs, each with its phase, and return the rows of `runs`."""
        rows: list[Row] = []
        curves: list[Row] = []
        layers: list[Row] = []
        measurements: list[Row] = []
        failed = set()
        for run, phase, outcome in trained:
            row = run_row(run, outcome, result, self._name, phase)
            rows.append(row | {"weights_digest": keep(self._ledger, run, result)})
            curves += curve_rows(run, outcome)
            layers += layer_rows(run, outcome)
            measurements += measurement_rows(run, outcome, self._name)
            if outcome.status is Status.FAILED:
                failed.add(run.run_id)
        # Before the runs: a run that the ledger has is never measured again, and one that stopped
        # has its snapshot.
        self.measurements(measurements)
        self._stopped.save(result)
        recorded = self._ledger.now()
        self._ledger.append([{**row, "recorded": recorded} for row in rows], curves, layers)
        self._ledger.checkpoints.remove(result.group.run_ids)
        ended = [run_id for run_id in result.group.run_ids if run_id not in failed]
        self._stopped.remove(ended, but=result.group.until or 0)
        return rows

    def measured(
        self, runs: Sequence[AnyRun], result: GroupResult
    ) -> dict[str, Mapping[str, float]]:
        """Append readings without learning rates, which untrained networks do not depend on.

        Returns:
            The readings of each run by the names of quantities, by run id.
        """
        rows: list[Row] = []
        readings: dict[str, Mapping[str, float]] = {}
        for run, outcome in zip(runs, result.outcomes, strict=True):
            found = measurement_rows(run, outcome, self._name)
            rows += [{**row, "weight_lr": None, "activity_lr": None} for row in found]
            readings[run.run_id] = {each.quantity: each.value for each in outcome.readings}
        self.measurements(rows)
        return readings
