"""Verdicts on a transfer: regret, drift, and a label. Pure functions.

Regret is log(loss at the transferred cell / loss of the best cell that ran at the target). A
Gaussian process over the log losses of the tuned shape and the target gives it with a 95% interval
(`transfer.judge.comparison`), and the probability that it is within the tolerance, which decides.
docs/verdicts.md states how often the labels are right.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from results.landscape import NOT_RUN, Cell, Landscape, mean, optimum
from results.vocabulary import OutcomeLabel, VerdictLabel, rate_name
from transfer.judge.comparison import Comparison, compare
from transfer.judge.estimate import LEVEL, Estimate
from transfer.space import Grid, Side, Space, describe_edges

CONFIDENCE = 0.95
"""The probability at which a verdict is held, or drifted."""
FEWEST_SEEDS = 2
"""Seeds at both shapes without which no verdict is held or drifted."""
ONE_SIDED = 1.65
"""Standard deviations from the tolerance at which a normal estimate has `CONFIDENCE`."""
MOST_SEEDS = 100
"""A need for more seeds than this is not worth a number."""
COLLAPSE = 0.15
"""A loss of test accuracy from the tuned shape to the target that a reason mentions."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one target shape, and the numbers behind it; None for what does not exist.

    Attributes:
        cell: the transferred cell; None when the search found no optimum.
        loss: its mean final training loss; None unless more than half of its seeds trained.
        accuracy: its mean test accuracy over the seeds that trained; over those at chance level if
            `loss` is None.
        accuracy_std: the standard deviation of the accuracy over these seeds.
        minimum: its mean smallest single-batch training loss, the thesis's metric.
        best: the best cell found at the target.
        best_loss: its mean final training loss.
        regret: against the best cell that ran and trained, in natural logarithms; None without
            other cells at the target that trained. The median and its interval, which one seed
            does not have.
        probability: the probability that the regret is within the tolerance; None with one seed.
        achievable: the regret against the best rates between the cells that ran. It never decides.
        optimum: the best rates at the target with their region, by rate.
        tuned_optimum: the same at the tuned shape.
        drift: their distance from the tuned optimum by rate, in octaves. A bound is infinite where
            the optimum may lie beyond the cells that ran on that side; the value is NaN if both
            are.
        layers: L, weight matrices of the network; None if not recorded.
        layers_learned: how many learned at the transferred cell: the median over the seeds of
            `accuracy`, the lower of two.
        seeds_needed: about how many seeds of the cells that compete would decide; None where the
            verdict is decided, or with more than 100.
        tuned_accuracy: the mean test accuracy of the tuned optimum at the tuned shape.
        label: the verdict in one word.
        reason: the reason for the label, in one sentence.
    """

    cell: Cell | None = None
    loss: float | None = None
    accuracy: float | None = None
    accuracy_std: float | None = None
    minimum: float | None = None
    best: Cell | None = None
    best_loss: float | None = None
    regret: Estimate | None = None
    probability: float | None = None
    achievable: Estimate | None = None
    optimum: dict[str, Estimate] | None = None
    tuned_optimum: dict[str, Estimate] | None = None
    drift: dict[str, Estimate] | None = None
    layers: int | None = None
    layers_learned: int | None = None
    seeds_needed: int | None = None
    tuned_accuracy: float | None = None
    label: VerdictLabel = VerdictLabel.INCONCLUSIVE
    reason: str = ""

    @property
    def collapsed(self) -> bool | None:
        """Whether the accuracy is far below that of the tuned shape; None if either is unknown.

        A comparison at the target does not show that all of its cells are bad.
        """
        if self.tuned_accuracy is None or self.accuracy is None or self.loss is None:
            return None
        return self.tuned_accuracy - self.accuracy > COLLAPSE

    @property
    def shallow(self) -> bool | None:
        """Whether fewer than half of the layers learned; None if not recorded."""
        if self.layers is None or self.layers_learned is None:
            return None
        return 2 * self.layers_learned < self.layers


def judge(
    tuned: Landscape,
    target: Landscape,
    cell: Cell,
    space: Space | None,
    tolerance: float,
    base: Cell | None = None,
    untrained: float | None = None,
) -> Verdict:
    """Judge one target shape.

    Args:
        tuned: the runs of the search.
        target: the runs at the target, those of `cell` included.
        cell: the transferred cell: the optimum of the search, or the cell that a rule predicts.
        space: the space that was searched; None if its edges do not matter.
        tolerance: the largest relative excess of the loss at `cell` over the best loss at which the
            optimum has held.
        base: the tuned optimum that the rule started from; None if it is `cell`, or if `cell` was
            fitted to the optima of several shapes.
        untrained: the loss before training, if it is known.
    """
    tuned_best = optimum(tuned)
    before = None if tuned_best is None else mean(tuned.accuracies[tuned.place(tuned_best)])
    verdict = replace(_measure(target, cell), tuned_accuracy=before)
    label, reason = _not_compared(verdict, target, cell)
    if not reason:
        compared = compare(tuned, target, cell, untrained)
        seeds = min(int(tuned.tried.max(initial=0)), int(target.tried[target.place(cell)]))
        verdict = _with_estimates(verdict, compared, seeds, tolerance)
        edge = "" if space is None else _edge(base or cell, verdict.best or cell, target, space)
        label, reason = _decide(verdict, compared, target, edge, tolerance)
    if label != VerdictLabel.INCONCLUSIVE:
        verdict = replace(verdict, seeds_needed=None)
    remarks = (_missing(target), _collapse(verdict), _shallow(verdict))
    return replace(verdict, label=label, reason="; ".join(filter(None, (reason, *remarks))))


def without_optimum(tuned: Landscape) -> Verdict:
    """Return the verdict on every target when the search found no optimum."""
    if not tuned.cells:
        return Verdict(reason="every cell of the search was skipped as unstable")
    return Verdict(reason=f"no cell trained at the tuned shape: {_counts(tuned)}")


def _measure(target: Landscape, cell: Cell) -> Verdict:
    """Return the losses and accuracies of the transferred cell and the best one."""
    place = target.place(cell)
    works = _works(target, place)
    trained = target.statuses[place] == OutcomeLabel.TRAINED
    counted = trained if works else target.statuses[place] == OutcomeLabel.AT_CHANCE
    accuracies = target.accuracies[place][counted & ~np.isnan(target.accuracies[place])]
    best = optimum(target)
    return Verdict(
        cell,
        loss=mean(target.losses[place]) if works else None,
        accuracy=mean(accuracies),
        accuracy_std=float(accuracies.std(ddof=1)) if accuracies.size > 1 else None,
        minimum=mean(target.minima[place][trained]),
        best=best,
        best_loss=mean(target.losses[target.place(best)]) if best else None,
        layers=target.layers,
        layers_learned=_median(target.learned[place][counted]),
    )


def _works(target: Landscape, place: int) -> bool:
    """Return whether more than half of the runs that the machine finished trained."""
    statuses = target.statuses[place]
    trained = int((statuses == OutcomeLabel.TRAINED).sum())
    return 2 * trained > int(target.tried[place])


def _median(counts: ndarray) -> int | None:
    """Return the median of the counts that are not NaN, the lower of two; None if all are."""
    known = np.sort(counts[~np.isnan(counts)])
    return int(known[(len(known) - 1) // 2]) if len(known) else None


def _not_compared(verdict: Verdict, target: Landscape, cell: Cell) -> tuple[VerdictLabel, str]:
    """Return the verdict where losses need no comparison; an empty reason elsewhere."""
    trained, tried = target.count(OutcomeLabel.TRAINED), int(target.tried[target.place(cell)])
    if not tried and not (target.statuses[target.place(cell)] == OutcomeLabel.FAILED).any():
        return VerdictLabel.INCONCLUSIVE, f"nothing ran at {cell}"
    if not tried:
        again = "run the same command again to retry them"
        return VerdictLabel.INCONCLUSIVE, f"all runs failed at {cell}: {again}"
    if not trained:
        return VerdictLabel.UNTRAINED, f"no cell trained at the target: {_counts(target)}"
    if verdict.loss is None:
        reason = _trained(target, cell)
        if verdict.best:
            reason = f"{reason}, and {_trained(target, verdict.best)}"
        if tried < FEWEST_SEEDS:
            return VerdictLabel.INCONCLUSIVE, f"{reason}: one seed does not decide"
        return VerdictLabel.DRIFTED, reason
    rivals = target.complete
    rivals[target.place(cell)] = False
    if len(target.cells) == 1:
        reason = f"only {cell} ran at the target: nothing to compare it to"
        return VerdictLabel.INCONCLUSIVE, reason
    if not rivals.any():
        reason = f"no other cell trained with all of its seeds: nothing to compare {cell} to"
        return VerdictLabel.INCONCLUSIVE, reason
    return VerdictLabel.INCONCLUSIVE, ""


def _with_estimates(verdict: Verdict, found: Comparison, seeds: int, tolerance: float) -> Verdict:
    """Return the verdict with the numbers of the comparison: without intervals for one seed."""

    def shown(estimate: Estimate) -> Estimate:
        return estimate if seeds >= FEWEST_SEEDS else Estimate(estimate.value)

    limit, decides = math.log1p(tolerance), seeds >= FEWEST_SEEDS
    return replace(
        verdict,
        regret=shown(found.regret),
        probability=found.held(limit) if decides else None,
        seeds_needed=_seeds_needed(found, limit) if decides else None,
        achievable=shown(found.achievable),
        tuned_optimum={rate: shown(each) for rate, each in found.tuned_optimum.items()},
        optimum={rate: shown(estimate) for rate, estimate in found.optimum.items()},
        drift={rate: shown(estimate) for rate, estimate in found.drift.items()},
    )


def _decide(
    verdict: Verdict, found: Comparison, target: Landscape, edge: str, tolerance: float
) -> tuple[VerdictLabel, str]:
    """Return the label and its reason for a transferred cell that trained and has rivals."""
    assert verdict.cell is not None
    assert verdict.regret is not None
    cell, best, held = verdict.cell, verdict.best or verdict.cell, verdict.probability
    allowed = f"the tolerance of {100 * tolerance:.3g}%"
    excess = _excess(cell, verdict.regret, len(found.target.places))
    if held is None:
        return VerdictLabel.INCONCLUSIVE, f"{excess}, but one seed gives no interval"
    if held <= 1 - CONFIDENCE:
        return VerdictLabel.DRIFTED, f"{excess}, beyond {allowed}"
    if not target.complete[target.place(cell)]:
        return VerdictLabel.INCONCLUSIVE, f"{excess}, but only {_trained(target, cell)}"
    if edge:
        return VerdictLabel.EDGE, edge
    border = _border(cell, best, target)
    if held >= CONFIDENCE:
        return VerdictLabel.HELD, f"{excess}, within {allowed}{border}"
    seeds = verdict.seeds_needed
    count = f"more than {MOST_SEEDS}" if seeds is None else f"about {seeds}"
    need = f"{count} seeds would be needed to decide"
    chance = f"with a probability of {100 * held:.0f}%, the rest beyond"
    return VerdictLabel.INCONCLUSIVE, f"{excess}, within {allowed} {chance}; {need}{border}"


def _seeds_needed(found: Comparison, limit: float) -> int | None:
    """Return about how many seeds it takes to tell the regret from the limit; None for too many.

    Two means of n seeds differ by d, give or take sigma sqrt(2 / n): n = 2 (1.65 sigma / d)^2.
    """
    away = abs(found.regret.value - limit)
    needed = 2 * (ONE_SIDED * found.noise / away) ** 2 if away else math.inf
    least = int(found.target.counts.max()) + 1
    return max(math.ceil(needed), least) if needed <= MOST_SEEDS else None


def _missing(target: Landscape) -> str:
    """Return which runs are missing because the machine failed, in words; "" if none are."""
    failed = (target.statuses == OutcomeLabel.FAILED).sum(axis=1)
    if not failed.any():
        return ""
    cells = [str(target.cells[place]) for place in np.flatnonzero(failed)]
    where = cells[0] if len(cells) == 1 else f"{len(cells)} cells, {cells[0]} among them"
    count = f"{failed.sum()} {'run' if failed.sum() == 1 else 'runs'}"
    return f"{count} failed at {where}, and the same command retries them"


def _collapse(verdict: Verdict) -> str:
    """Return that the transferred cell is far worse than it was where it was tuned, or ""."""
    if not verdict.collapsed:
        return ""
    assert verdict.accuracy is not None
    assert verdict.tuned_accuracy is not None
    after = f"the accuracy there is {100 * verdict.accuracy:.0f}%"
    return f"but {after}, and {100 * verdict.tuned_accuracy:.0f}% at the tuned shape"


def _shallow(verdict: Verdict) -> str:
    if not verdict.shallow:
        return ""
    return f"but only {verdict.layers_learned} of {verdict.layers} layers learned"


def _edge(tuned: Cell, best: Cell, target: Landscape, space: Space) -> str:
    """Return which optimum is at the edge of the space, in words; "" if none is.

    At the target, neighbours of a predicted cell may lie outside of the space. A side beyond which
    a cell ran is no edge.
    """
    found = space.edges(best)
    for rate, side in list(found.items()):
        rates = [cell[rate] for cell in target.cells]
        if best[rate] != (min(rates) if side == "lowest" else max(rates)):
            del found[rate]
    for name, optimal, sides in (
        ("tuned optimum", tuned, space.edges(tuned)),
        ("optimum at the target", best, found),
    ):
        if sides:
            edges = describe_edges(sides)
            values = ", ".join(_next_values(space, sides))
            advice = f", such as at {values}: add it to the list, or set tune.extend"
            return (
                f"the {name}, {optimal}, is at the {edges}: a better one may lie beyond"
                f"{advice if values else ''}"
            )
    return ""


def _next_values(space: Space, sides: Mapping[str, Side]) -> Iterator[str]:
    """Yield the value that follows the outermost one of each list on a side."""
    for rate, side in sides.items():
        values = space.searched[rate]
        if isinstance(values, Grid):
            yield from (f"{rate_name(rate)} {value:.4g}" for value in values.further(side, 1))


def _counts(landscape: Landscape) -> str:
    counts = {outcome: landscape.count(outcome) for outcome in OutcomeLabel}
    parts = (
        f"{count} {outcome.text}"
        for outcome, count in counts.items()
        if count or outcome is not OutcomeLabel.PRUNED
    )
    ran = int((landscape.statuses != NOT_RUN).sum())
    return f"{', '.join(parts)} of {ran} runs"


def _trained(target: Landscape, cell: Cell) -> str:
    place = target.place(cell)
    count = int((target.statuses[place] == OutcomeLabel.TRAINED).sum())
    return f"{count} of {target.tried[place]} seeds trained at {cell}"


def _excess(cell: Cell, regret: Estimate, cells: int) -> str:
    """Return the regret in words."""
    excess = f"the loss at {cell} is {_percent(regret.value)} above the best of {cells} cells"
    if not regret.bounded:
        return excess
    return f"{excess} ({LEVEL:.0%} interval {_percent(regret.low)} to {_percent(regret.high)})"


def _percent(regret: float) -> str:
    excess = 100 * math.expm1(regret)
    return f"{excess:.0f}%" if 999.5 <= excess < 1e6 else f"{excess:.3g}%"


def _border(cell: Cell, best: Cell, target: Landscape) -> str:
    """Return a caution if the best cell is among the outermost that ran; "" otherwise."""
    for name, rate in best.items():
        rates = [other[name] for other in target.cells]
        if rate != cell[name] and rate in (min(rates), max(rates)):
            return f"; the best cell, {best}, is among the outermost that ran"
    return ""
