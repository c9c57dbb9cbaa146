"""What a job tells whoever watches it."""

from collections.abc import Mapping
from typing import Any, Protocol

from pccore.training.outcomes import Outcome
from results.landscape import Cell
from transfer.engine.runs import Run
from transfer.shapes import Shape


class Progress(Protocol):
    """Listens to a job. Every method returns quickly and raises nothing.

    Tuning one variant and transferring another overlap, so that no slot waits at a boundary: the
    totals are those of the whole job, whatever its phase.
    """

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """The job is in phase `name` ("tune" while any variant is being tuned, then "transfer").

        `total_runs` are expected in the whole job and `already_done` of them are done: found in the
        ledger, or trained by now. Called again whenever one of the three changes; before the
        optimum of a variant is known, its share of the total is a bound.
        """
        ...

    def workload(self, done: float, total: float) -> None:
        """Multiply-adds trained and expected in this process, roughly: the basis for a time left.

        Runs differ in cost by orders of magnitude. What was found in the ledger is in neither
        number. Called after every `phase`.
        """
        ...

    def finished(self, run: Run, outcome: Outcome) -> None:
        """A run was trained and is in the ledger."""
        ...

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        """Runs of a variant were left out: their beta is beyond the step limit."""
        ...

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """A variant is tuned; `cell` is None when nothing trained.

        `variant` is "mupc", or "mupc tanh" in an experiment over several activations.
        """
        ...

    def verdict(self, row: Mapping[str, Any]) -> None:
        """A target shape is judged: a row of the `verdicts` table."""
        ...


class Silent:
    """The default: says nothing. Derive from it to listen to some of the events only."""

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Say nothing."""

    def workload(self, done: float, total: float) -> None:
        """Say nothing."""

    def finished(self, run: Run, outcome: Outcome) -> None:
        """Say nothing."""

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        """Say nothing."""

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Say nothing."""

    def verdict(self, row: Mapping[str, Any]) -> None:
        """Say nothing."""
