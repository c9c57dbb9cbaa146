"""What a recipe is: an experiment of the documents, what it needs, the claims it puts to test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.evidence import Evidence
from experiments.scale import Scale

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Experiment, Run

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Judged:
    """What was found about a claim.

    Attributes:
        measured: the numbers, in words.
        holds: whether they are within the claim's tolerance.
    """

    measured: str
    holds: bool


@dataclass(frozen=True)
class Claim:
    """One statement of the documents that measurements can contradict.

    Attributes:
        text: the statement.
        source: where it is made, such as "T fig. 5.1" (the thesis) or "P thm. 3" (the paper).
        target: the value or relation expected.
        tolerance: by how much the measurement may miss it.
        judge: from what the ledger has, what was found; None where the ledger does not have enough.
        note: of a claim that did not hold at `small`: whether the recipe, the size or the claim is
            the cause, and how that is known.
        scale: the only one at which it can be judged; None where any will do.
    """

    text: str
    source: str
    target: str
    tolerance: str
    judge: Callable[[Evidence], Judged | None]
    note: str = ""
    scale: Scale | None = None


@dataclass(frozen=True)
class Setting:
    """A recipe at one scale.

    Attributes:
        text: what is done, in one sentence with its sizes.
        runs: networks to train, from the folder of the data sets.
        experiments: searches with transfer and verdicts, as `mupc run` does them. Their names need
            not be unique: the recipe's name is put before them.
        calculate: what needs no training: rows of the `measurements` table, of which `quantity` and
            `value` are required. Computed where the command runs.
        datasets: names of the data sets that are needed.
        seconds: what `calculate` takes on one core, roughly.
    """

    text: str
    runs: Callable[[Path | None], Sequence["Run"]] = lambda _: ()
    experiments: Callable[[], Sequence["Experiment"]] = tuple
    calculate: Callable[[Path | None], Rows] | None = None
    datasets: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """An experiment of the documents.

    Attributes:
        name: on the command line.
        title: what it shows, in a few words.
        source: section and figures.
        small: at `Scale.SMALL`.
        full: at `Scale.FULL`.
        claims: what it puts to test.
        figures: by file name (without ending), drawn from what the ledger has.
        choices: where the documents contradict themselves or leave open: which setting, and why.
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
        """The recipe at a scale."""
        return self.small if scale is Scale.SMALL else self.full

    def experiment(self, scale: Scale) -> str:
        """The name of the experiment in the ledger."""
        return f"reproduce-{self.name}-{scale}"
