"""Progress callbacks."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pccore.training.outcomes import Outcome
from results.landscape import Cell
from results.shapes import Shape
from transfer.engine.pool import Config, Group, GroupResult
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from results import Ledger


class Progress:
    """Progress callbacks of a job, which do nothing: override those of interest.

    They are called in the thread that schedules the runs, so each should return quickly. One that
    raises loses no run: the first error of an object is a warning, and the job goes on.

    One variant may be tuned while another is transferred, so that no slot waits between phases. The
    totals are therefore those of the whole job in every phase.
    """

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Receive the name of the experiment and its ledger, before everything else."""

    def end(self, error: BaseException | None) -> None:
        """Receive the end of the job: None if it is complete, or what ended it.

        A signal is a KeyboardInterrupt. Nothing comes after this.
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

    def pruned(self, variant: str, shape: Shape, step: int, runs: int) -> None:
        """Receive the number of runs that the search stopped after `step` weight updates.

        Some may be finished later, as neighbours of the optimum.
        """

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Receive the optimum of a variant that is tuned.

        Args:
            variant: "mupc", or "mupc tanh" in an experiment with several activations.
            cell: the best cell; None when nothing trained.
            loss: its final training loss, averaged over seeds.
        """

    def verdict(self, row: Mapping[str, object]) -> None:
        """Receive the verdict on a target shape: a row of the `verdicts` table."""


class Broadcast(Progress):
    """Callbacks that pass every event on to others, whose errors do no harm.

    The first error of each is a RuntimeWarning; later ones are silent.

    Args:
        receivers: the others, in the order in which they are called.
    """

    def __init__(self, receivers: Sequence[Progress]) -> None:
        self._receivers = tuple(receivers)
        self._warned: set[int] = set()

    def _send(self, event: Callable[[Progress], None]) -> None:
        for place, receiver in enumerate(self._receivers):
            try:
                event(receiver)
            except Exception as error:  # whatever a user's code raises, the runs go on
                if place not in self._warned:
                    self._warned.add(place)
                    warnings.warn(
                        f"the callback {type(receiver).__name__} raised "
                        f"{type(error).__name__}: {error}; the job goes on, and further errors of "
                        "it are not shown",
                        RuntimeWarning,
                        stacklevel=4,
                    )

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        self._send(lambda each: each.begin(experiment, ledger))

    def end(self, error: BaseException | None) -> None:
        self._send(lambda each: each.end(error))

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        self._send(lambda each: each.phase(name, total_runs, already_done))

    def workload(self, done: float, total: float) -> None:
        self._send(lambda each: each.workload(done, total))

    def pending(self, runs: Mapping[Config, int], training: Sequence[Group], slots: int) -> None:
        self._send(lambda each: each.pending(runs, training, slots))

    def trained(self, result: GroupResult) -> None:
        self._send(lambda each: each.trained(result))

    def sharing(self, drivers: Sequence[str], runs: int) -> None:
        self._send(lambda each: each.sharing(drivers, runs))

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        self._send(lambda each: each.finished(run, outcome))

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        self._send(lambda each: each.skipped(variant, shape, runs))

    def pruned(self, variant: str, shape: Shape, step: int, runs: int) -> None:
        self._send(lambda each: each.pruned(variant, shape, step, runs))

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        self._send(lambda each: each.optimum(variant, cell, loss))

    def verdict(self, row: Mapping[str, object]) -> None:
        self._send(lambda each: each.verdict(row))


Callbacks = Progress | Sequence[Progress] | None
"""What `run` takes: one object, several, or none."""


def broadcast(callbacks: Callbacks) -> Broadcast:
    """Return one object that calls all.

    Raises:
        TypeError: one of them is no `Progress`.
    """
    given = (
        () if callbacks is None else (callbacks,) if isinstance(callbacks, Progress) else callbacks
    )
    for each in given:
        if not isinstance(each, Progress):
            raise TypeError(f"progress must be objects of mupc.Progress, got {each!r}")
    return Broadcast(given)
