"""The scorecard: the documents' claims, the measurements and the verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cost import Cost, cost, missing
from experiments.evidence import Evidence, gather
from experiments.readings import Reading, Verdict, readings
from experiments.recipe import Claim, Recipe
from experiments.scale import Scale

if TYPE_CHECKING:
    from results import Ledger


NOT_RUN = "not run"
"""In place of a verdict: the ledger does not have the recipe's measurements."""

UNREAD = "no reading yet"
"""The cause of a claim that did not hold and of which no one has recorded a cause."""


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
        verdict: one of `experiments.readings.Verdict`, or `NOT_RUN`.
        seconds: duration of the whole recipe, summed over workers; None if nothing was run.
        because: what stands behind a verdict other than "reproduced" (`readings.CAUSES`).
        note: the measurements that show it.
        decides: what would decide an undecided claim, and what that costs.
    """

    recipe: str
    claim: str
    source: str
    target: str
    tolerance: str
    measured: str
    verdict: str
    seconds: float | None
    because: str = ""
    note: str = ""
    decides: str = ""

    @property
    def of_documents(self) -> bool:
        """Whether the thesis or the paper makes the claim."""
        return self.source.startswith(("T", "P"))

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
    return [judge(recipe, claim, scale, evidence, data_dir) for claim in recipe.claims]


def judge(
    recipe: Recipe, claim: Claim, scale: Scale, evidence: Evidence, data_dir: Path | None
) -> Line:
    """Judge one claim of a recipe."""
    only = claim.scale or scale
    judged = claim.judge(evidence) if only is scale else None
    line = partial(
        Line,
        recipe.name,
        claim.text,
        claim.source,
        claim.target,
        claim.tolerance,
        seconds=evidence.seconds or None,
    )
    if judged is None:
        verdict, because = _unmeasured(recipe, only, scale, data_dir)
        return line(needed(recipe, only, data_dir), verdict, because=because)
    reading = readings(recipe.name).get(claim.text) if scale is Scale.SMALL else None
    if reading is not None and reading.verdict is Verdict.UNTESTABLE:
        return line(judged.measured, reading.verdict, because=reading.because, note=reading.note)
    if judged.holds:
        return line(judged.measured, Verdict.REPRODUCED)
    if reading is None:
        return line(judged.measured, Verdict.UNDECIDED, because=UNREAD)
    if judged.holds is None or reading.verdict is Verdict.UNDECIDED:
        return line(
            judged.measured,
            Verdict.UNDECIDED,
            because="seeds" if reading.verdict is Verdict.CONTRADICTED else reading.because,
            note=reading.note,
            decides=_decides(recipe, reading, data_dir),
        )
    return line(judged.measured, reading.verdict, because=reading.because, note=reading.note)


def _unmeasured(
    recipe: Recipe, only: Scale, scale: Scale, data_dir: Path | None
) -> tuple[str, str]:
    """Return the verdict and the cause of a claim without a measurement."""
    if missing(recipe.at(only), data_dir):
        return Verdict.UNTESTABLE, "data"
    if only is not scale:
        return Verdict.UNDECIDED, "size"
    return NOT_RUN, ""


def _decides(recipe: Recipe, reading: Reading, data_dir: Path | None) -> str:
    """Return what would decide a claim, and what that costs."""
    if not reading.decides:
        return "more seeds"
    price = reading.cost
    if not price:
        estimate = _full_price(recipe.name, data_dir)
        hours = estimate.core_seconds / 3600
        price = f"{hours:.2g} core-hours or {estimate.gpu_hours:.2g} GPU-hours"
    return f"{reading.decides}: about {price}"


@cache
def _full_price(name: str, data_dir: Path | None) -> Cost:
    """Estimate the full scale of a registered recipe once for all its claims."""
    from experiments.recipes import RECIPES

    return cost(RECIPES[name].full, data_dir)


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
            verdict = line.verdict
            verdict = verdict if verdict == Verdict.REPRODUCED else f"**{verdict}**"
            cells = (line.claim, line.source, line.target, line.tolerance, line.measured)
            parts.append(_row([*cells, verdict, seconds]))
        parts.append("")
        for line in own:
            if line.because and (line.note or line.decides):
                decides = f" Decides: {line.decides}." if line.decides else ""
                parts += [f"*{line.claim}* ({line.because}) {line.note}{decides}", ""]
    return "\n".join(parts)


def counts(card: Iterable[Line]) -> str:
    """Return how many claims have each verdict, as text."""
    verdicts = [line.verdict for line in card]
    found = {verdict: verdicts.count(verdict) for verdict in (*Verdict, NOT_RUN)}
    parts = [f"{n} {verdict}" for verdict, n in found.items() if n or verdict != NOT_RUN]
    return f"{len(verdicts)} claims: {', '.join(parts)}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
