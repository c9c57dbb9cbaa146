"""The scorecard: the documents' claims, the measurements and the verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cost import cost, missing
from experiments.evidence import gather
from experiments.recipe import Recipe
from experiments.scale import Scale

if TYPE_CHECKING:
    from results import Ledger


class ClaimStatus(StrEnum):
    """The result of a claim on the scorecard."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Line:
    """One claim of one recipe on the scorecard.

    Attributes:
        recipe: name of the recipe.
        claim: the statement.
        source: the place that makes it.
        target: the expected value or relation.
        tolerance: the accepted distance of the measurement from the target.
        measured: the measurement, or the requirements of a claim that was not run.
        verdict: agreement of target and measurement.
        seconds: duration of the whole recipe, summed over workers; None if nothing was run.
        note: the cause if the claim did not hold.
    """

    recipe: str
    claim: str
    source: str
    target: str
    tolerance: str
    measured: str
    verdict: ClaimStatus
    seconds: float | None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the line as plain values."""
        return asdict(self)


def scorecard(
    recipes: Iterable[Recipe], scale: Scale, ledger: "Ledger", data_dir: Path | None = None
) -> list[Line]:
    """Judge every claim of `recipes` on the rows of `ledger` at `scale`."""
    return [line for recipe in recipes for line in lines(recipe, scale, ledger, data_dir)]


def lines(recipe: Recipe, scale: Scale, ledger: "Ledger", data_dir: Path | None) -> list[Line]:
    """Judge the claims of one recipe."""
    evidence = gather(ledger, recipe.experiment(scale))
    found = []
    for claim in recipe.claims:
        only = claim.scale or scale
        judged = claim.judge(evidence) if only is scale else None
        if judged is None:
            measured, verdict = needed(recipe, only, data_dir), ClaimStatus.NOT_RUN
        else:
            measured = judged.measured
            verdict = ClaimStatus.REPRODUCED if judged.holds else ClaimStatus.NOT_REPRODUCED
        found.append(
            Line(
                recipe.name,
                claim.text,
                claim.source,
                claim.target,
                claim.tolerance,
                measured,
                verdict,
                evidence.seconds or None,
                claim.note if verdict is ClaimStatus.NOT_REPRODUCED else "",
            )
        )
    return found


def needed(recipe: Recipe, scale: Scale, data_dir: Path | None) -> str:
    """Return the requirements of running a recipe as text."""
    setting = recipe.at(scale)
    absent = missing(setting, data_dir)
    if absent:
        return f"needs the data set {', '.join(absent)}"
    price = cost(setting, data_dir)
    if scale is Scale.FULL:
        return f"needs the full scale, about {price.gpu_hours:.2g} GPU-hours"
    return f"needs about {price.core_seconds / 60:.2g} min of a core"


COLUMNS = ("claim", "source", "target", "tolerance", "measured", "verdict", "s")


def as_markdown(card: Sequence[Line]) -> str:
    """Return the scorecard as a Markdown table for each recipe."""
    parts = []
    for name in dict.fromkeys(line.recipe for line in card):
        own = [line for line in card if line.recipe == name]
        parts += [f"### {name}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        for line in own:
            seconds = "" if line.seconds is None else f"{line.seconds:.0f}"
            verdict = (
                line.verdict if line.verdict is ClaimStatus.REPRODUCED else f"**{line.verdict}**"
            )
            cells = (line.claim, line.source, line.target, line.tolerance, line.measured)
            parts.append(_row([*cells, verdict, seconds]))
        parts.append("")
        for line in own:
            if line.note:
                parts += [f"*{line.claim}* {line.note}", ""]
    return "\n".join(parts)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
