"""How the report writes a number, and what it says of a variant in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, floor, isfinite, log10
from typing import TYPE_CHECKING, Any

from results.figures.cells import (
    OUTCOMES,
    ZERO_SHOT,
    Panel,
    Rates,
    Shape,
    by_shape,
    optimum,
    records,
    shapes,
    summarise,
    transferred,
)
from results.figures.style import label

if TYPE_CHECKING:
    import pandas as pd

    from results.figures.law import Panel as LawPanel
    from results.page.sections import Section

NOTHING = "–"
NBSP = "\u00a0"
MINUS = "\u2212"
WORDS = ("held", "drifted", "inconclusive", "edge")
SAYS = {
    "held": "transfer held",
    "drifted": "the optimum drifted",
    "inconclusive": "the evidence is inconclusive",
    "edge": "the optimum lies on the edge of the searched grid",
}
OUTCOME_WORDS = {
    "trained": "trained",
    "at_chance": "at chance",
    "diverged": "diverged",
    "failed": "failed",
}


LAW_KINDS = {"optimum": "optimum", "predicted": "predicted by", "best": "best found"}
SYMBOLS = {"weight_lr": "η", "activity_lr": "β"}


@dataclass(frozen=True)
class Headline:
    """One variant's result: its name for a reader, its verdict words and a sentence."""

    name: str
    words: list[str]
    sentence: str


def number(value: float | None, digits: int = 3) -> str:
    """`value` to `digits` significant digits; a dash where there is none."""
    if value is None or not isfinite(value):
        return NOTHING
    return f"{value:.{digits}g}"


def loss(mean: float, spread: float | None = None) -> str:
    """A loss to three significant digits, its deviation to the same place: "0.0632 ± 0.0008"."""
    if not isfinite(mean):
        return NOTHING
    if not 1e-4 <= mean < 1e4:
        return f"{mean:.2e}"
    places = max(0, 2 - floor(log10(mean)))
    tail = f" ± {spread:.{places}f}" if spread is not None and isfinite(spread) else ""
    return f"{mean:.{places}f}{tail}"


def signed(value: float, places: int) -> str:
    """A number with its sign, a true minus: "+0.00", "−1.25"."""
    return f"{round(value, places) + 0.0:+.{places}f}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """A count; a dash where there is none."""
    return NOTHING if value is None or not isfinite(value) else f"{round(value):,}"


def percent(share: float, spread: float | None = None) -> str:
    """A share (0..1) in per cent, with its standard deviation if there is one: "97.2 ± 0.3 %"."""
    if not isfinite(share):
        return NOTHING
    tail = f" ± {100 * spread:.1f}" if spread is not None and isfinite(spread) else ""
    return f"{100 * share:.1f}{tail} %"


def excess(regret: float) -> str:
    """Regret, a log ratio of losses, as per cent above the best loss: "+3.1 %"."""
    return f"{signed(100 * expm1(regret), 1)} %" if isfinite(regret) else NOTHING


def interval(low: float, high: float, *, ratio: bool = False) -> str:
    """A bootstrap interval: "[−0.50, +1.20]"; `ratio`: as `excess` writes its ends."""
    if not (isfinite(low) and isfinite(high)):
        return ""
    if ratio:
        return f"[{signed(100 * expm1(low), 1)}, {signed(100 * expm1(high), 1)}]"
    return f"[{signed(low, 2)}, {signed(high, 2)}]"


def octaves(value: float) -> str:
    """A drift in octaves (log2), signed."""
    return signed(value, 2) if isfinite(value) else NOTHING


def rates(cell: Rates | None) -> str:
    """A pair of learning rates: "η = 0.1, β = 0.5"; without β where the rule has none."""
    if cell is None or not isfinite(cell.weight_lr):
        return NOTHING
    beta = f", β = {number(cell.activity_lr, 4)}" if isfinite(cell.activity_lr) else ""
    return f"η = {number(cell.weight_lr, 4)}{beta}"


def law(verdict: dict[str, Any]) -> str:
    """The powers that a rule gave the learning rates, as "η ∝ L^−0.37 [−0.65, −0.22]"."""
    said, nothing = [], "without a law"
    for rate, symbol in SYMBOLS.items():
        powers = []
        for side, letter in (("depth", "L"), ("width", "N")):
            name = f"{rate}_{side}_exponent"
            if verdict[name] == 0:
                nothing = "the rates as they are"
            elif isfinite(verdict[name]):
                bounds = interval(verdict[f"{name}_low"], verdict[f"{name}_high"])
                power = signed(verdict[name], 2).removeprefix("+")
                powers.append(f"{letter}^{power}{f' {bounds}' if bounds else ''}")
        if powers:
            said.append(f"{symbol} ∝ {' '.join(powers)}")
    return ", ".join(said) or nothing


def size(shape: Shape) -> str:
    """A shape: "N = 128, H = 8", with spaces that do not break."""
    return f"N{NBSP}={NBSP}{shape.width}, H{NBSP}={NBSP}{shape.depth}"


def listing(items: list[str]) -> str:
    """Items as English writes them: "16, 32 and 64"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def headlines(section: Section) -> list[Headline]:
    """A headline per variant of the section, and per rule where there are others than zero-shot."""
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
    words = [word for word in WORDS if verdicts["verdict"].eq(word).any()]
    words += sorted(set(verdicts["verdict"]) - set(WORDS))
    several = verdicts["width"].nunique() > 1
    parts = [_said(word, verdicts[verdicts["verdict"].eq(word)], several) for word in words]
    sentence = f"{'; '.join(parts)}.{_deepest(verdicts)}"
    return Headline(name, words, sentence[0].upper() + sentence[1:])


def _said(word: str, verdicts: pd.DataFrame, several_widths: bool) -> str:
    """One clause: the word, where, and how far the loss there is above the best one found."""
    if several_widths:
        where = listing([size(shape) for shape in shapes(verdicts)])
    else:
        depths = sorted(int(depth) for depth in verdicts["depth"])
        where = f"{listing([str(d) for d in depths])} {'layer' if depths == [1] else 'layers'}"
    worst = verdicts["regret"].max(skipna=False)  # null: without bound, or nothing to compare
    if word == "inconclusive" and verdicts["best_loss"].isna().all():
        return f"no cell trained at {where}"
    tail = ""
    if isfinite(worst) and expm1(worst) < 5e-4:
        tail = " (no other cell there was better)"
    elif isfinite(worst):
        most = "at most " if len(verdicts) > 1 else ""
        tail = f" (loss {most}{100 * expm1(worst):.1f} % above the best found)"
    elif verdicts["loss"].isna().all():
        tail = " (the transferred cell did not train)"
    return f"{SAYS.get(word, word)} at {where}{tail}"


def _deepest(verdicts: pd.DataFrame) -> str:
    last = records(verdicts.sort_values(["depth", "width"]))[-1]
    shape = Shape(int(last["width"]), int(last["depth"]))
    if not isfinite(last["accuracy"]):
        return ""
    accuracy = percent(last["accuracy"], last["accuracy_std"])
    return f" Test accuracy {accuracy} at {size(shape)}."


def _unjudged(runs: pd.DataFrame, verdicts: pd.DataFrame, variant: str) -> str:
    """What to say before there is a verdict."""
    mine = runs[runs["variant"].eq(variant)]
    count = f"{len(mine):,} {'run' if len(mine) == 1 else 'runs'}"
    best = transferred(runs, verdicts, variant) or optimum(summarise(mine))
    if best is None:
        kinds = [
            f"{(mine['outcome'] == o).sum():,} {OUTCOME_WORDS[o]}"
            for o in OUTCOMES
            if (mine["outcome"] == o).any()
        ]
        return f"No verdict: no cell trained in {count} ({listing(kinds)})."
    return f"No verdict yet: the best cell after {count} is {rates(best)}."


def landscape_alt(variant: str, panels: list[Panel]) -> str:
    """Alternative text of a landscape: what its marks and regions say, shape by shape."""
    said = "; ".join(_panel_alt(panel) for panel in panels)
    axes = "learning rates" if panels[0].cells["activity_lr"].notna().any() else "learning rate"
    return f"Final training loss of {label(variant)} over the {axes}. {said}."


def _panel_alt(panel: Panel) -> str:
    counts = panel.cells["outcome"].value_counts()
    kinds = [f"{counts[o]} {OUTCOME_WORDS[o]}" for o in OUTCOMES if o in counts]
    note = f" ({panel.note})" if panel.note else ""
    best = f", best at {rates(panel.optimum)}" if panel.optimum else ""
    moved = f", transferred cell {rates(panel.transferred)}" if panel.transferred else ""
    return f"{size(panel.shape)}{note}: cells {listing(kinds)}{best}{moved}"


def scaling_alt(moved: pd.DataFrame) -> str:
    """Alternative text of the loss and accuracy by depth and width: the accuracies it shows."""
    said = []
    for variant, shape, some in by_shape(moved):
        trained = some[some["outcome"].eq("trained")]
        if trained.empty:
            kinds = [OUTCOME_WORDS[o] for o in OUTCOMES if some["outcome"].eq(o).any()]
            said.append(f"{label(variant)} at {size(shape)}: {listing(kinds)}")
            continue
        mean = loss(trained["final_train_loss"].mean())
        accuracy = trained["test_accuracy"]
        tail = f", accuracy {percent(accuracy.mean())}" if accuracy.notna().any() else ""
        said.append(f"{label(variant)} at {size(shape)}: loss {mean}{tail}")
    return f"Loss and accuracy at the transferred cell, by shape. {'; '.join(said)}."


def law_alt(rows: list[list[LawPanel]]) -> str:
    """Alternative text of the laws: optima, predictions and what was best, variant by variant."""
    said = []
    for panel in (panel for row in rows for panel in row):
        points = [
            f"{LAW_KINDS[point['kind']]}{' ' + point['rule'] if point['rule'] else ''} "
            f"{number(point['value'])} at {size(Shape(int(point['width']), int(point['depth'])))}"
            for point in records(panel.points)
            if point["kind"] in LAW_KINDS
        ]
        said.append(f"{label(panel.variant)}, {SYMBOLS[panel.rate]}: {', '.join(points)}")
    return f"Learning rates by shape. {'; '.join(said)}."


def training_alt(moved: pd.DataFrame) -> str:
    """Alternative text of the training curves: whose they are, and how each shape's runs ended."""
    said = []
    for variant, shape, some in by_shape(moved):
        counts = some["outcome"].value_counts()
        kinds = [f"{counts[o]} {OUTCOME_WORDS[o]}" for o in OUTCOMES if o in counts]
        said.append(f"{label(variant)} at {size(shape)}: {listing(kinds)}")
    return f"Training curves at the transferred cell. Seeds by outcome: {'; '.join(said)}."
