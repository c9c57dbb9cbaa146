"""Announcement of the progress of `mupc run` in its ledger, for the dashboard and other readers."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

from jobs.cli.repeating import repeated
from jobs.cli.statistics import RunStatistics
from results import Ledger, LedgerError
from results.storage.announcements import MOST_CELLS, Announcement, Planned
from transfer.space import Grid, Range
from transfer.spec.model import Experiment
from transfer.spec.sweep import Sweep

SECONDS = 5.0
SOON = 0.5
"""Seconds until the first announcement, which tells the plan."""


@contextmanager
def announced(
    ledger: Ledger, statistics: RunStatistics, experiment: Experiment | Sweep
) -> Iterator[None]:
    """Announce how far an experiment is, every few seconds and at the end.

    What cannot be written is left out: nothing depends on it.
    """
    planned = planned_cells(experiment)
    pauses = chain([SOON], repeat(SECONDS))

    def write(*, ended: bool = False) -> None:
        with suppress(LedgerError):
            ledger.announcements.write(
                Announcement(
                    experiment.name,
                    statistics.phase_name,
                    statistics.done,
                    max(statistics.total, statistics.done),
                    statistics.time_left,
                    ended,
                    planned,
                )
            )

    try:
        with repeated(write, lambda: next(pauses)):
            yield
    finally:
        write(ended=True)


def planned_cells(experiment: Experiment | Sweep) -> Planned:
    """Return the cells that an experiment searches, of the variants whose rates are lists."""
    if isinstance(experiment, Sweep):
        spaces = dict.fromkeys(experiment.train, experiment.space)
    else:
        spaces = {variant.name: experiment.space(variant) for variant in experiment.variants}
    shapes = dict.fromkeys((*experiment.tuned, *experiment.targets))
    return Planned(
        {
            name: {rate: _values(rates) for rate, rates in space.searched.items()}
            for name, space in spaces.items()
            if space.enumerable and len(space.cells) <= MOST_CELLS
        },
        tuple((shape.width, shape.depth) for shape in shapes),
        len(experiment.tuned),
    )


def _values(rates: Grid | Range) -> tuple[float, ...]:
    return rates.values if isinstance(rates, Grid) else ()
