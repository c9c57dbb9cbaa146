"""The runs of a ledger as a bridge takes them: in batches, each once."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from results.errors import unknown
from results.rates import cell_in
from results.row import Row
from results.schema.tables import TABLES
from results.vocabulary import NO_ACTIVATION, RATES, OutcomeLabel

if TYPE_CHECKING:
    from results import Ledger

BATCH = 200
"""Runs that are read at a time, with their curves."""

_NOT_SETTINGS = {*TABLES["runs"].key, *RATES, "rates", "seed"}


@dataclass(frozen=True)
class TrainedRun:
    """A run of the ledger.

    Attributes:
        row: its row of `runs`, None for null and NaN.
        curve: its rows of `curves`, by step.
    """

    row: Row
    curve: Sequence[Row]

    @property
    def key(self) -> str:
        """The run's id, marked if it failed: a failed run that is trained later counts again."""
        return run_key(self.row)

    @property
    def title(self) -> str:
        """The run in a few words: "mupc 32 x 8, weight_lr 0.1, seed 0"."""
        rates = [f"{name} {rate:g}" for name, rate in self.rates.items()]
        words = ", ".join([f"{self.arm} {self.shape}", *rates])
        return f"{words}, seed {self.row['seed']}"

    @property
    def arm(self) -> str:
        """The variant."""
        return str(self.row["variant"])

    @property
    def arm_in_full(self) -> str:
        """The variant and the activation, which training functions do not have."""
        return arm_in_full(self.row)

    @property
    def shape(self) -> str:
        """Width and depth: "32 x 8"."""
        return f"{self.row['width']} x {self.row['depth']}"

    @property
    def rates(self) -> dict[str, float]:
        """The learning rates that the run has."""
        usual = {name: self.row[name] for name in RATES}
        rates = (cell_in(self.row) or usual).items()
        return {name: float(rate) for name, rate in rates if rate is not None}

    @property
    def settings(self) -> dict[str, object]:
        """What was set before the run started, but for its learning rates and its seed."""
        names = (name for name in TABLES["runs"].fixed if name not in _NOT_SETTINGS)
        return {name: self.row[name] for name in names if self.row[name] is not None}

    @property
    def findings(self) -> dict[str, object]:
        """What is known of the run since it ended."""
        table = TABLES["runs"]
        names = (column.name for column in table.columns if not column.fixed)
        found = {name: self.row[name] for name in names if self.row[name] is not None}
        return {name: value for name, value in found.items() if not isinstance(value, datetime)}

    @property
    def started(self) -> datetime:
        """When it started."""
        found: datetime = self.row["started"] or self.row["recorded"]
        return found

    @property
    def ended(self) -> datetime:
        """When its group had been trained."""
        seconds = (self.row["seconds"] or 0.0) * (self.row["lanes"] or 1)
        return self.started + timedelta(seconds=seconds)


def arm_in_full(row: Row) -> str:
    """Return the variant and the activation of a row of runs or verdicts."""
    activation = row["activation"]
    return f"{row['variant']}" + ("" if activation == NO_ACTIVATION else f" {activation}")


def run_key(row: Row) -> str:
    """Return what a bridge remembers of a run that it has written."""
    failed = row["outcome"] == OutcomeLabel.FAILED
    return f"{row['run_id']} failed" if failed else str(row["run_id"])


@dataclass(frozen=True)
class Source:
    """Runs and verdicts of a ledger.

    Args:
        ledger: the ledger.
        experiments: names of the experiments to take; none means all, also those that begin later.
    """

    ledger: "Ledger"
    experiments: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """The names of the experiments."""
        return self.experiments or self.ledger.experiments()

    def new(self, written: Collection[str], experiment: str) -> "Iterator[list[TrainedRun]]":
        """Yield the runs of an experiment that are not `written`, in batches, the oldest first.

        Args:
            written: keys of runs (`run_key`); with a run's own id it is written whatever its state.
            experiment: name of the experiment.
        """
        columns = ["run_id", "outcome", "recorded", "started"]
        there = self.ledger.runs(columns, experiment=experiment)
        there["recorded"] = there["recorded"].fillna(there["started"])
        there = there.sort_values(["recorded", "run_id"])
        wanted = [
            row["run_id"]
            for row in _rows(there[["run_id", "outcome"]])
            if run_key(row) not in written and row["run_id"] not in written
        ]
        for start in range(0, len(wanted), BATCH):
            yield self._read(wanted[start : start + BATCH], experiment)

    def verdicts(self, experiment: str) -> list[Row]:
        """Return the newest verdicts of an experiment."""
        return _rows(self.ledger.verdicts(arrow=True, experiment=experiment))

    def _read(self, run_ids: Sequence[str], experiment: str) -> list[TrainedRun]:
        rows = _rows(self.ledger.runs(arrow=True, experiment=experiment, run_id=list(run_ids)))
        points = self.ledger.curves(run_id=list(run_ids))
        curves = {run_id: _rows(group) for run_id, group in points.groupby("run_id")}
        found = {row["run_id"]: TrainedRun(row, curves.get(row["run_id"], ())) for row in rows}
        return [found[run_id] for run_id in run_ids if run_id in found]


def check_experiments(ledger: "Ledger", names: Sequence[str]) -> None:
    """Check that the ledger has experiments.

    Raises:
        LedgerError: one is not there.
    """
    known = ledger.experiments() if names else ()
    for name in names:
        if name not in known:
            raise unknown("experiment", name, known)


def settings_text(run: TrainedRun) -> str:
    """Return the settings of a run as JSON; equal runs of a search have equal texts."""
    names = ("compiler_settings", "dataset_digest", "conventions", "eval_every")
    settings = {name: value for name, value in run.settings.items() if name not in names}
    return json.dumps(settings, sort_keys=True)


def _rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows as Python values, None for null and NaN."""
    return [
        {str(name): None if pd.isna(value) else _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _plain(value: object) -> object:
    return value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
