"""Searches: Optuna studies in memory, with its ask-and-tell interface.

This module and `pruning` use Optuna, which they import when a search starts. Studies are never
stored. A restarted job asks for the same cells in the same order and tells the study the losses
that the ledger has, which restores its state.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from pccore import Registry
from pccore.registry import kind_of
from results.landscape import Cell
from transfer.space import Grid, Range, Space

if TYPE_CHECKING:
    import optuna

SEED = 0
"""Seed of every sampler, so that the same spec leads to the same cells."""

WORST_LOSS = 1e30
"""The loss that Optuna is told for a cell of which no seed trained. It must be finite, as Optuna
drops NaN and lets -inf win. These samplers only rank losses, so that its size does not matter."""


class Sampler(Protocol):
    """A way to choose the next cell."""

    @property
    def exhaustive(self) -> bool:
        """Whether it takes every cell of a list exactly once, rather than a number of trials."""
        ...

    def build(self) -> "optuna.samplers.BaseSampler":
        """Return the Optuna sampler."""
        ...


class GridSearch:
    """Every cell exactly once.

    `Search` lists the cells: Optuna's own GridSampler repeats cells when several are in flight.
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


class QuasiMonteCarlo:
    """A scrambled Sobol sequence: cells that cover a range more evenly than random ones."""

    exhaustive = False

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import QMCSampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(
                seed=SEED,
                scramble=True,
                independent_sampler=RandomSearch().build(),
                warn_asynchronous_seeding=False,
                warn_independent_sampling=False,
            )


class CovarianceAdaptation:
    """CMA-ES. It needs two rates; an arm with one rate is searched by TPE."""

    exhaustive = False

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(
            seed=SEED,
            independent_sampler=TreeParzen().build(),
            warn_independent_sampling=False,
        )


class GaussianProcess:
    """A Gaussian process over the losses, with log expected improvement. It needs torch."""

    exhaustive = False
    needs = "torch"

    def build(self) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import GPSampler

        return GPSampler(
            seed=SEED,
            independent_sampler=RandomSearch().build(),
            warn_independent_sampling=False,
        )


@dataclass(frozen=True)
class Made:
    """The sampler that a user's function makes: a number of trials."""

    make: "Callable[[], optuna.samplers.BaseSampler]"
    exhaustive: bool = False

    def build(self) -> "optuna.samplers.BaseSampler":
        return self.make()


def adopt(thing: object) -> Sampler:
    """Return the sampler that a user's function or class is. Raises `ValueError`."""
    if inspect.isfunction(thing) and not inspect.signature(thing).parameters:
        return Made(thing)
    made = thing() if isinstance(thing, type) and hasattr(thing, "build") else thing
    if callable(getattr(made, "build", None)) and isinstance(
        getattr(made, "exhaustive", None), bool
    ):
        return cast(Sampler, made)
    raise ValueError(
        "must be a function without arguments that returns an Optuna sampler, or a class with "
        f"build and exhaustive, {kind_of(thing)}"
    )


SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    {
        "grid": GridSearch(),
        "tpe": TreeParzen(),
        "random": RandomSearch(),
        "qmc": QuasiMonteCarlo(),
        "cmaes": CovarianceAdaptation(),
        "gp": GaussianProcess(),
    },
    adopt,
)


def missing_package(sampler: str) -> str | None:
    """Return the package that a sampler needs and that is not installed; None if there is none."""
    needs: str | None = getattr(SAMPLERS[sampler], "needs", None)
    return needs if needs is not None and find_spec(needs) is None else None


@dataclass(frozen=True)
class Trial:
    """A cell of a search, and its number in the study."""

    number: int
    cell: Cell


class Search:
    """A search for the best cell of a space.

    Any number of cells may be asked for before their losses are told. Optuna chooses the next cell,
    except in a grid: its cells come in their own order, and Optuna is only told the losses, because
    its time per question grows with the number of waiting cells.

    Args:
        space: the space to search.
        sampler: a name in `SAMPLERS`.
        trials: the number of cells; None means every cell of a space of lists.
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
        """Return the next cell; None after the last."""
        if self.asked == self.trials:
            return None
        self.asked += 1
        if self._cells:
            return Trial(self.asked - 1, self._cells[self.asked - 1])
        trial = self._study.ask(self._distributions)
        return Trial(trial.number, self._cell(trial.params))

    def tell(self, trial: Trial, loss: float) -> None:
        """Report the loss of a trial, which must be finite: see `WORST_LOSS`."""
        if not self._cells:
            self._study.tell(trial.number, loss)
            return
        from optuna.trial import create_trial

        places = {
            name: rates.values.index(trial.cell[name])
            for name, rates in self._rates.items()
            if isinstance(rates, Grid)
        }
        finished = create_trial(params=places, distributions=self._distributions, value=loss)
        self._study.add_trial(finished)

    def _cell(self, parameters: Mapping[str, float]) -> Cell:
        def rate(name: str, values: Grid | Range) -> float:
            value = parameters[name]
            return values.values[int(value)] if isinstance(values, Grid) else float(value)

        return Cell(**{name: rate(name, values) for name, values in self._rates.items()})


def _distribution(rates: Grid | Range) -> "optuna.distributions.BaseDistribution":
    """Return the Optuna distribution: lists are searched by index, ranges by value."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(rates, Grid):
        return IntDistribution(0, len(rates.values) - 1)
    if rates.whole:
        return IntDistribution(int(rates.low), int(rates.high), log=rates.log)
    return FloatDistribution(rates.low, rates.high, log=rates.log)
