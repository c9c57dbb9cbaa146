"""Recipes: an experiment of the documents with its settings and the claims it tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.evidence import Evidence
from experiments.scale import Scale

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Experiment, Run

Row = dict[str, object]
"""A row of the `measurements` table."""


@dataclass(frozen=True)
class Judged:
    """The result of judging a claim.

    Attributes:
        measured: the measured numbers as text.
        holds: True if they are within the claim's tolerance; None if an interval covers its edge.
    """

    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Claim:
    """One statement of the documents that measurements can contradict.

    What it means if it does not hold is in `experiments/readings/` (`experiments.readings`).

    Attributes:
        text: the statement.
        source: the place in the documents, such as "T fig. 5.1" (thesis) or "P thm. 3" (paper).
        target: the value or relation expected.
        tolerance: the accepted distance of the measurement from the target.
        judge: judges the evidence; returns None if it is insufficient.
        scale: the only scale at which it can be judged; None for any.
    """

    text: str
    source: str
    target: str
    tolerance: str
    judge: Callable[[Evidence], Judged | None]
    scale: Scale | None = None


@dataclass(frozen=True)
class Setting:
    """A recipe at one scale.

    Attributes:
        text: one sentence with the networks, sizes and training. It identifies calculations in
            the ledger: if it changes, they run again.
        runs: returns the networks to train, from the folder of the data sets.
        experiments: searches with transfer and verdicts, as run by `mupc run`. Their names need not
            be unique: the recipe's name is prefixed.
        calculate: returns rows of the `measurements` table that need no training (`quantity` and
            `value` are required). It runs in the process of the command.
        datasets: names of the required data sets.
        seconds: rough duration of `calculate` on one core.
    """

    text: str
    runs: Callable[[Path | None], Sequence["Run"]] = lambda _: ()
    experiments: Callable[[], Sequence["Experiment"]] = tuple
    calculate: Callable[[Path | None], Iterable[Row]] | None = None
    datasets: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """An experiment of the documents.

    Attributes:
        name: name on the command line.
        title: summary of the result in a few words.
        source: section and figures.
        small: setting at `Scale.SMALL`.
        full: setting at `Scale.FULL`.
        claims: claims to test.
        figures: functions that draw figures, by file name (without suffix).
        choices: settings that the documents leave open or contradict, with reasons.
    """

    name: str
    title: str
    source: str
    small: Setting
    full: Setting
    claims: tuple[Claim, ...]
    figures: Mapping[str, Callable[[Evidence], "Figure"]] = field(default_factory=dict)
    choices: str = ""

    def at(self, scale: Scale) -> Setting:
        """Return the setting at a scale."""
        return self.small if scale is Scale.SMALL else self.full

    def experiment(self, scale: Scale) -> str:
        """Return the name of the experiment in the ledger."""
        return f"reproduce-{self.name}-{scale}"
