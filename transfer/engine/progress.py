"""Progress callbacks."""

from collections.abc import Mapping, Sequence
from typing import Any

from pccore.training.outcomes import Outcome
from results.landscape import Cell
from results.shapes import Shape
from transfer.engine.pool import Config, Group, GroupResult
from transfer.engine.runs import AnyRun


class Progress:
    """Progress callbacks of a job, which do nothing: override those of interest.

    Every method must return quickly and raise nothing.

    One variant may be tuned while another is transferred, so that no slot waits between phases. The
    totals are therefore those of the whole job in every phase.
    """

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Receive the phase and the totals, whenever one of them changes.

        Args:
            name: "tune" while any variant is being tuned, then "transfer".
            total_runs: runs expected in the whole job; an upper bound for variants whose optimum is
                not known yet.
            already_done: how many of them are in the ledger.
        """

    def workload(self, done: float, total: float) -> None:
        """Receive the multiply-adds trained and expected in this process, after every `phase`.

        Runs differ in cost by orders of magnitude. Both numbers are approximate and exclude runs
        that were found in the ledger.
        """

    def pending(self, runs: Mapping[Config, int], training: Sequence[Group], slots: int) -> None:
        """Receive what is left, after every `workload`.

        Args:
            runs: how many runs of each configuration are still to be trained, those in training
                included; upper bounds as in `phase`.
            training: the groups that the pool has, in the order of submission.
            slots: how many of them train at the same time.
        """

    def trained(self, result: GroupResult) -> None:
        """Receive a group that was trained, before its runs come by `finished`."""

    def sharing(self, drivers: Sequence[str], runs: int) -> None:
        """Receive which other drivers train on the ledger, after every `workload`.

        Args:
            drivers: one description each: "digits on node7, process 4711".
            runs: how many runs of this job they have; their results are waited for.
        """

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Receive a run that was trained and is in the ledger."""

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        """Receive the number of runs left out because their beta is beyond the step limit."""

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Receive the optimum of a variant that is tuned.

        Args:
            variant: "mupc", or "mupc tanh" in an experiment with several activations.
            cell: the best cell; None when nothing trained.
            loss: its final training loss, averaged over seeds.
        """

    def verdict(self, row: Mapping[str, Any]) -> None:
        """Receive the verdict on a target shape: a row of the `verdicts` table."""
