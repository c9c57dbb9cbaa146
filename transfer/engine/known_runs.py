"""Runs that the ledger has: their results, looked up by id."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pccore import Status
from transfer.engine.run_rows import Row

if TYPE_CHECKING:
    from results import Ledger

RESULT = (
    *("final_train_loss", "min_train_loss", "test_accuracy", "layers", "layers_learned"),
    *("outcome", "steps_done", "cause", "run_id", "experiment"),
)
"""The columns of `runs` that verdicts depend on, and the columns that identify the run."""

FINISHED = [str(status) for status in Status if status not in (Status.FAILED, Status.PRUNED)]

Wanted = Mapping[str, int | None]
"""By run id, the weight updates that are needed; None for all of them."""


def suffices(row: Row, until: int | None) -> bool:
    """Return whether a row is the result of a run, or of its first `until` updates."""
    if row["outcome"] != Status.PRUNED:
        return True
    steps = row.get("steps_done")
    return until is not None and isinstance(steps, int | float) and steps >= until


class KnownRuns:
    """Finished and pruned runs of some data sets in a ledger, of every experiment.

    Args:
        name: name of the experiment, whose own rows are kept in memory.
        digests: digests of the data sets; without a digest a row's id proves nothing.
        ledger: the ledger.
    """

    def __init__(self, name: str, digests: Sequence[str], ledger: "Ledger") -> None:
        self._name, self._digests, self._ledger = name, digests, ledger
        self._ids: set[str] = set()  # of every experiment: up to a million
        self._own: dict[str, Row] = {}
        self._pruned: dict[str, int] = {}  # updates done by pruned runs
        self._read({})

    def finished(self, run_ids: Iterable[str]) -> bool:
        """Return whether all these runs were finished when the ledger was last read."""
        return self._ids.issuperset(run_ids)

    def look_up(self, wanted: Wanted) -> dict[str, Row]:
        """Return the rows that suffice, by id: whole rows if of another experiment or pruned."""
        known = self._ids.intersection(wanted)
        found = {run_id: self._own[run_id] for run_id in known if run_id in self._own}
        elsewhere = sorted(known - found.keys())
        if elsewhere:
            found |= _by_id(self._select(FINISHED, {"run_id": elsewhere}))
        stopped = sorted(
            run_id
            for run_id, until in wanted.items()
            if until is not None and run_id not in found and self._pruned.get(run_id, 0) >= until
        )
        if stopped:
            rows = _by_id(self._select([Status.PRUNED], {"run_id": stopped}))
            found |= {each: row for each, row in rows.items() if suffices(row, wanted[each])}
        return found

    def steps_done(self, run_id: str) -> int:
        """Return the updates that a pruned run had done when the ledger was last read."""
        return self._pruned.get(run_id, 0)

    def recorded_since(self, wanted: Wanted) -> dict[str, Row]:
        """Return the rows of those runs that suffice by now, by id."""
        self._read({"run_id": sorted(wanted)})
        return self.look_up(wanted)

    def _read(self, filters: Mapping[str, object]) -> None:
        ids = self._select(FINISHED, filters, ["run_id"], arrow=False)
        self._ids.update(ids["run_id"].to_numpy())
        own = self._select(FINISHED, {"experiment": self._name, **filters}, RESULT)
        self._own |= _by_id(own)
        pruned = self._select([Status.PRUNED], filters, ["run_id", "steps_done"], arrow=False)
        self._pruned |= {
            str(run_id): int(steps)
            for run_id, steps in zip(pruned["run_id"], pruned["steps_done"], strict=True)
        }

    def _select(
        self,
        outcomes: Sequence[str],
        filters: Mapping[str, object],
        columns: Sequence[str] | None = None,
        *,
        arrow: bool = True,
    ) -> pd.DataFrame:
        chosen = {"dataset_digest": self._digests, "outcome": list(map(str, outcomes)), **filters}
        return self._ledger.runs(columns, arrow=arrow, **chosen)


def _by_id(frame: pd.DataFrame) -> dict[str, Row]:
    """Return the rows as Python values, None for a null, by run id."""
    rows = [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    return {str(row["run_id"]): row for row in rows}
