"""Snapshots of runs that stopped before their last update, in the checkpoints of the ledger."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from results.errors import LedgerError
from transfer.engine.pool import GroupResult, stopped_name

if TYPE_CHECKING:
    from results import Ledger


class StoppedRuns:
    """The snapshots from which stopped runs continue, each a checkpoint of its own.

    A snapshot is saved before the row that says how far its run came, and removed after the row of
    a later update. A run without one starts from the beginning.

    Args:
        ledger: where they are kept.
    """

    def __init__(self, ledger: "Ledger") -> None:
        self._checkpoints = ledger.checkpoints
        self._steps: dict[str, set[int]] = {}
        self.groups: list[tuple[str, ...]] = []
        """Run ids of the groups that have checkpoints of their own."""
        self.look()

    def look(self) -> None:
        """Look for checkpoints that other processes have left."""
        self.groups = []
        for name in self._checkpoints.groups():
            run_id, at, step = name[0].partition("@")
            if at and step.isdecimal():
                self._steps.setdefault(run_id, set()).add(int(step))
            else:
                self.groups.append(name)

    def begun(self, run_id: str, most: int) -> int:
        """Return the updates after which a run has a snapshot, at most `most`; 0 if none."""
        return max((step for step in self._steps.get(run_id, ()) if step <= most), default=0)

    def save(self, result: GroupResult) -> None:
        """Save the snapshots of a result; warn where the ledger cannot."""
        for run_id, snapshot in result.snapshots.items():
            step = result.group.until
            assert step is not None  # admitted
            try:
                self._checkpoints.save(stopped_name(run_id, step), snapshot)
            except LedgerError as error:
                warnings.warn(f"no checkpoint: {error}", RuntimeWarning, stacklevel=2)
                continue
            self._steps.setdefault(run_id, set()).add(step)

    def remove(self, run_ids: Iterable[str], but: int = 0) -> None:
        """Remove the snapshots of runs, except those after `but` updates."""
        for run_id in run_ids:
            for step in sorted(self._steps.get(run_id, set()) - {but}):
                self._checkpoints.remove(stopped_name(run_id, step))
                self._steps[run_id].discard(step)

    def forget(self, run_ids: Iterable[str]) -> None:
        """Remove the snapshots of runs, and the checkpoints of groups that have only such runs.

        A process leaves these when it is killed just after it recorded that a group stopped.
        """
        gone = set(run_ids)
        self.remove(gone)
        for group in [group for group in self.groups if gone.issuperset(group)]:
            self._checkpoints.remove(group)
            self.groups.remove(group)

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs that have snapshots."""
        return [run_id for run_id, steps in self._steps.items() if steps]
