"""Searches: an Optuna study in memory that is asked for cells and told their losses.

The only module that uses Optuna, imported when a search starts. A study is never stored: a job that
starts again asks and tells it the same things in the same order, the losses now coming from the
ledger, and so arrives where it was.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pccore import Registry
from results.landscape import Cell
from transfer.space import Grid, Range, Space

if TYPE_CHECKING:
    import optuna

SEED = 0
"""Seed of every sampler: the same spec asks for the same cells."""

WORST_LOSS = 1e30
"""What Optuna is told for a cell of which no seed trained. It must be finite: Optuna drops NaN, and
lets -inf win; the samplers offered here rank losses, so its size does not matter."""


class Sampler(Protocol):
    """A way to choose the next cell."""

    @property
    def exhaustive(self) -> bool:
        """Whether it takes every cell of a list exactly once, rather than as many as are asked."""
        ...

    def build(self) -> "optuna.samplers.BaseSampler":
        """The Optuna sampler."""
        ...


class GridSearch:
    """Every cell exactly once.

    The cells are enqueued; Optuna's own GridSampler repeats cells when several are in flight.
    """

    exhaustive = True

    def build(self) -> "optuna.samplers.BaseSampler":
        return RandomSearch().build()


class RandomSearch:
    """Cells drawn uniformly, or log-uniformly from a logarithmic range."""

    exhaustive = False

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=SEED)


class TreeParzen:
    """Tree-structured Parzen estimator, multivariate, with cells in flight counted as bad."""

    exhaustive = False

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import TPESampler

        return TPESampler(seed=SEED, multivariate=True, constant_liar=True)


class CovarianceAdaptation:
    """CMA-ES. It needs two rates: a variant that has one is searched by TPE instead."""

    exhaustive = False

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(
            seed=SEED,
            independent_sampler=TreeParzen().build(),
            warn_independent_sampling=False,
        )


SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    {
        "grid": GridSearch(),
        "tpe": TreeParzen(),
        "random": RandomSearch(),
        "cmaes": CovarianceAdaptation(),
    },
)


@dataclass(frozen=True)
class Trial:
    """A cell that a search asked for; `number` is its place in the study."""

    number: int
    cell: Cell


class Search:
    """Asks for cells of a space, one at a time, any number of them before their losses are told.

    Optuna is asked which cell comes next. A whole grid has an order of its own, and Optuna, which
    looks through all cells that wait each time that it is asked, is only told what came out.

    Args:
        space: where to search.
        sampler: a name in `SAMPLERS`.
        trials: how many cells to ask for; None means every cell of a space of lists.
    """

    def __init__(self, space: Space, sampler: str, trials: int | None) -> None:
        import optuna

        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(sampler=SAMPLERS[sampler].build())
        optuna.logging.set_verbosity(verbosity)
        self._rates = space.searched
        self._distributions = {name: _distribution(rates) for name, rates in self._rates.items()}
        self._cells = space.cells if trials is None else ()
        self.trials = len(self._cells) if trials is None else trials
        self.asked = 0

    def ask(self) -> Trial | None:
        """The next cell; None when all have been asked for."""
        if self.asked == self.trials:
            return None
        self.asked += 1
        if self._cells:
            return Trial(self.asked - 1, self._cells[self.asked - 1])
        trial = self._study.ask(self._distributions)
        return Trial(trial.number, self._cell(trial.params))

    def tell(self, trial: Trial, loss: float) -> None:
        """Report the loss of a cell that was asked for. It must be finite: see `WORST_LOSS`."""
        if not self._cells:
            self._study.tell(trial.number, loss)
            return
        from optuna.trial import create_trial

        places = {
            name: rates.values.index(getattr(trial.cell, name))
            for name, rates in self._rates.items()
            if isinstance(rates, Grid)
        }
        trial_told = create_trial(params=places, distributions=self._distributions, value=loss)
        self._study.add_trial(trial_told)

    def _cell(self, parameters: dict[str, Any]) -> Cell:
        rates = {
            name: values.values[parameters[name]] if isinstance(values, Grid) else parameters[name]
            for name, values in self._rates.items()
        }
        return Cell(rates["weight_lr"], rates.get("activity_lr"))


def _distribution(rates: Grid | Range) -> "optuna.distributions.BaseDistribution":
    """Lists are searched by place, which keeps their order; ranges by value."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(rates, Grid):
        return IntDistribution(0, len(rates.values) - 1)
    return FloatDistribution(rates.low, rates.high, log=rates.log)
