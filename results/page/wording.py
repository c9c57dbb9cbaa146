"""Numbers, headlines and alternative texts of the report."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, floor, isfinite, log10, nan
from typing import TYPE_CHECKING

from results.figures.cells import at_shape, best_cell, by_shape, records, shapes
from results.figures.panels import Panel, transferred
from results.figures.style import label
from results.landscape import Cell
from results.rates import names_in, rates_in, with_rates
from results.row import Row
from results.shapes import Shape
from results.vocabulary import (
    COLLAPSED,
    SHALLOW,
    SIZE_SYMBOLS,
    VERDICT_PHRASES,
    ZERO_SHOT,
    OutcomeLabel,
    VerdictLabel,
    rate_symbol,
)

if TYPE_CHECKING:
    import pandas as pd

    from results.figures.law import Panel as LawPanel
    from results.page.sections import Section

NOTHING = "–"
NBSP = "\u00a0"
MINUS = "\u2212"
LAW_KINDS = {"optimum": "optimum", "predicted": "predicted by", "best": "best found"}


@dataclass(frozen=True)
class Headline:
    """The result of one variant by one rule.

    Attributes:
        name: of the variant, and of the rule where there are several.
        labels: the verdict labels that its targets have.
        sentence: what they mean, with shapes and numbers.
    """

    name: str
    labels: list[str]
    sentence: str


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` to `digits` significant digits; a dash where there is none."""
    if value is None or not isfinite(value):
        return NOTHING
    return f"{value:.{digits}g}"


def loss(mean: float, spread: float | None = None) -> str:
    """Return a loss to three significant digits, its deviation to the same place.

    For example "0.0632 ± 0.0008".
    """
    if not isfinite(mean):
        return NOTHING
    if not 1e-4 <= mean < 1e4:
        return f"{mean:.2e}"
    places = max(0, 2 - floor(log10(mean)))
    tail = f" ± {spread:.{places}f}" if spread is not None and isfinite(spread) else ""
    return f"{mean:.{places}f}{tail}"


def signed(value: float, places: int) -> str:
    """Return a number with its sign, a typographic minus: "+0.00", "−1.25"."""
    return f"{round(value, places) + 0.0:+.{places}f}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """Return a count; a dash where there is none."""
    return NOTHING if value is None or not isfinite(value) else f"{round(value):,}"


def percent(share: float, spread: float | None = None) -> str:
    """Return a share (0 to 1) in per cent, with its standard deviation: "97.2 ± 0.3 %"."""
    if not isfinite(share):
        return NOTHING
    tail = f" ± {100 * spread:.1f}" if spread is not None and isfinite(spread) else ""
    return f"{100 * share:.1f}{tail} %"


def learned_of(learned: float, layers: float) -> str:
    """Return how many layers learned: "32 of 129"; a dash where it was not recorded."""
    return f"{whole(learned)} of {whole(layers)}" if isfinite(learned) else NOTHING


def excess(regret: float) -> str:
    """Return a regret, a log ratio of losses, as per cent above the best loss: "+3.1 %"."""
    return f"{signed(100 * expm1(regret), 1)} %" if isfinite(regret) else NOTHING


def interval(low: float, high: float, *, ratio: bool = False) -> str:
    """Return an interval: "[−0.50, +1.20]", "at least −0.50" if it is open above, "" for none.

    A `ratio` is in per cent, as by `excess`.
    """

    def bound(value: float) -> str:
        return signed(100 * expm1(value), 1) if ratio else signed(value, 2)

    if isfinite(low) and isfinite(high):
        return f"[{bound(low)}, {bound(high)}]"
    if isfinite(low):
        return f"at least {bound(low)}"
    return f"at most {bound(high)}" if isfinite(high) else ""


def octaves(value: float) -> str:
    """Return a drift in octaves (log2), signed."""
    return signed(value, 2) if isfinite(value) else NOTHING


def rates(cell: Cell | None) -> str:
    """Return a cell as "η = 0.1, β = 0.5", without β where the rule has none; a dash for None."""
    if cell is None:
        return NOTHING
    return ", ".join(f"{rate_symbol(name)} = {number(rate, 4)}" for name, rate in cell.items())


def law(verdict: Row) -> str:
    """Return the power laws by which a rule scaled the rates: "η ∝ L^−0.37 [−0.65, −0.22]"."""
    laws, nothing = [], "without a law"
    own = with_rates(verdict)
    for rate in rates_in([verdict]):
        symbol, powers = rate_symbol(rate), []
        for side, letter in SIZE_SYMBOLS.items():
            name = f"{rate}_{side}_exponent"
            value, low, high = (
                nan if own[f"{name}{end}"] is None else own[f"{name}{end}"]
                for end in ("", "_low", "_high")
            )
            if value == 0:
                nothing = "the rates as they are"
            elif isfinite(value):
                bounds = interval(low, high)
                power = signed(value, 2).removeprefix("+")
                powers.append(f"{letter}^{power}{f' {bounds}' if bounds else ''}")
        if powers:
            laws.append(f"{symbol} ∝ {' '.join(powers)}")
    return ", ".join(laws) or nothing


def size(shape: Shape) -> str:
    """Return a shape as "N = 128, H = 8", with spaces that do not break around "="."""
    return shape.symbols.replace(" = ", f"{NBSP}={NBSP}")


def listing(items: list[str]) -> str:
    """Return the items as a list in English: "16, 32 and 64"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def headlines(section: Section) -> list[Headline]:
    """Return a headline per variant, and per rule where there are others than zero-shot."""
    found = []
    for variant in section.variants:
        mine = section.verdicts[section.verdicts["variant"].eq(variant)]
        if mine.empty:
            unjudged = _unjudged(section.runs, section.verdicts, variant)
            found.append(Headline(label(variant), [], unjudged))
        for rule in mine["rule"].unique():
            named = "" if section.rules == [ZERO_SHOT] else f", {rule.replace('_', ' ')}"
            found.append(_headline(f"{label(variant)}{named}", mine[mine["rule"].eq(rule)]))
    return found


def _headline(name: str, verdicts: pd.DataFrame) -> Headline:
    labels: list[str] = [known for known in VerdictLabel if verdicts["verdict"].eq(known).any()]
    labels += sorted(set(verdicts["verdict"]) - set(labels))
    several = verdicts["width"].nunique() > 1
    parts = [_clause(each, verdicts[verdicts["verdict"].eq(each)], several) for each in labels]
    sentence = f"{'; '.join(parts)}.{_accuracy_at_deepest(verdicts)}"
    if verdicts["shallow"].eq(True).any():
        labels.append(SHALLOW)
    if verdicts["collapsed"].eq(True).any():
        labels.append(COLLAPSED)
    return Headline(name, labels, sentence[0].upper() + sentence[1:])


def _clause(verdict: str, verdicts: pd.DataFrame, several_widths: bool) -> str:
    """Return one clause: the label, the shapes, and how far the loss is above the best found."""
    if several_widths:
        where = listing([size(shape) for shape in shapes(verdicts)])
    else:
        depths = sorted(int(depth) for depth in verdicts["depth"])
        where = f"{listing([str(d) for d in depths])} {'layer' if depths == [1] else 'layers'}"
    worst = verdicts["regret"].max(skipna=False)  # null: without bound, or nothing to compare
    nothing = verdict == VerdictLabel.INCONCLUSIVE and verdicts["best_loss"].isna().all()
    if nothing or verdict == VerdictLabel.UNTRAINED:
        return f"no cell trained at {where}"
    tail = ""
    if isfinite(worst) and expm1(worst) < 5e-4:
        tail = " (no other cell there was better)"
    elif isfinite(worst):
        most = "at most " if len(verdicts) > 1 else ""
        tail = f" (loss {most}{100 * expm1(worst):.1f} % above the best found)"
    elif verdicts["loss"].isna().all():
        tail = " (the transferred cell did not train)"
    phrase = VERDICT_PHRASES.get(verdict, verdict)
    return f"{phrase} at {where}{tail}"


def _accuracy_at_deepest(verdicts: pd.DataFrame) -> str:
    last = records(verdicts.sort_values(["depth", "width"]))[-1]
    shape = Shape(int(last["width"]), int(last["depth"]))
    if not isfinite(last["accuracy"]):
        return ""
    accuracy = percent(last["accuracy"], last["accuracy_std"])
    sentence = f" Test accuracy {accuracy} at {size(shape)}"
    if not isfinite(last["layers_learned"]):
        return f"{sentence}."
    only = "only " if last["shallow"] else ""
    learned = learned_of(last["layers_learned"], last["layers"])
    return f"{sentence}, where {only}{learned} layers learned."


def _unjudged(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> str:
    """Return the sentence about a variant that has no verdict."""
    mine = runs[runs["variant"].eq(variant)]
    count = f"{len(mine):,} {'run' if len(mine) == 1 else 'runs'}"
    found = (best_cell(at_shape(mine, shape)) for shape in shapes(mine))
    best = transferred(runs, verdicts, variant) or next(filter(None, found), None)
    if best is None:
        return f"No verdict: no cell trained in {count} ({_outcomes(mine['outcome'])})."
    return f"No verdict yet: the best cell after {count} is {rates(best)}."


def landscape_alt(variant: str, panels: list[Panel]) -> str:
    """Return the alternative text of a landscape: outcomes, best and transferred cell by shape."""
    by_panel = "; ".join(_panel_alt(panel) for panel in panels)
    cells = panels[0].cells
    own = names_in(cells)
    axes = "learning rates" if cells["activity_lr"].notna().any() else "learning rate"
    over = listing([rate_symbol(name) for name in own]) if own else f"the {axes}"
    return f"Final training loss of {label(variant)} over {over}. {by_panel}."


def _panel_alt(panel: Panel) -> str:
    note = f" ({panel.note})" if panel.note else ""
    best = f", best at {rates(panel.optimum)}" if panel.optimum else ""
    moved = f", transferred cell {rates(panel.transferred)}" if panel.transferred else ""
    return f"{size(panel.shape)}{note}: cells {_outcomes(panel.cells['outcome'])}{best}{moved}"


def scaling_alt(moved: pd.DataFrame) -> str:
    """Return the alternative text of losses and accuracies by depth and width."""
    parts = []
    for variant, shape, some in by_shape(moved):
        trained = some[some["outcome"].eq(OutcomeLabel.TRAINED)]
        if trained.empty:
            kinds = [o.text for o in OutcomeLabel if some["outcome"].eq(o).any()]
            parts.append(f"{label(variant)} at {size(shape)}: {listing(kinds)}")
            continue
        mean = loss(trained["final_train_loss"].mean())
        accuracy = trained["test_accuracy"]
        tail = f", accuracy {percent(accuracy.mean())}" if accuracy.notna().any() else ""
        parts.append(f"{label(variant)} at {size(shape)}: loss {mean}{tail}")
    return f"Loss and accuracy at the transferred cell, by shape. {'; '.join(parts)}."


def law_alt(rows: list[list[LawPanel]]) -> str:
    """Return the alternative text of the laws: optima, predictions, best cells by variant."""
    parts = []
    for panel in (panel for row in rows for panel in row):
        points = [
            f"{LAW_KINDS[point['kind']]}{' ' + point['rule'] if point['rule'] else ''} "
            f"{number(point['value'])} at {size(Shape(int(point['width']), int(point['depth'])))}"
            for point in records(panel.points)
            if point["kind"] in LAW_KINDS
        ]
        parts.append(f"{label(panel.variant)}, {rate_symbol(panel.rate)}: {', '.join(points)}")
    return f"Learning rates by shape. {'; '.join(parts)}."


def depth_alt(moved: pd.DataFrame) -> str:
    """Return the alternative text of the layers' changes: how many learned, by shape."""
    parts = []
    for variant, shape, some in by_shape(moved):
        known = some[some["layers_learned"].notna()]
        if not known.empty:
            learned = learned_of(known["layers_learned"].median(), known["layers"].iloc[0])
            parts.append(f"{label(variant)} at {size(shape)}: {learned}")
    return f"Change of each layer at the transferred cell. Layers that learned: {'; '.join(parts)}."


def training_alt(moved: pd.DataFrame) -> str:
    """Return the alternative text of the training curves: outcomes by variant and shape."""
    parts = [
        f"{label(variant)} at {size(shape)}: {_outcomes(some['outcome'])}"
        for variant, shape, some in by_shape(moved)
    ]
    return f"Training curves at the transferred cell. Seeds by outcome: {'; '.join(parts)}."


def _outcomes(outcomes: pd.Series) -> str:
    """Return how many there are of each outcome: "3 trained and 1 diverged"."""
    counts = outcomes.value_counts()
    return listing([f"{counts[o]:,} {o.text}" for o in OutcomeLabel if o in counts])
