"""Verdicts on a transfer: regret, drift, and a label. Pure functions.

Regret is log(loss at the transferred cell / best loss found at the target). Drift is the log2 shift
of the optimum from the tuned shape to the target, per learning rate. Both have bootstrap intervals
over seeds (`transfer.judge.bootstrap`).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from results.landscape import TINY, Cell, Landscape, Ranking, mean, mostly_trained, optimum, rank
from results.vocabulary import RATES, OutcomeLabel, VerdictLabel
from transfer.judge.bootstrap import LEVEL, Estimate, estimate, resample
from transfer.space import Space, describe_edges


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
        regret: in natural logarithms; None without other cells at the target, infinite if fewer
            seeds trained at the transferred cell than at the best one.
        drift: per learning rate, in octaves.
        layers: L, weight matrices of the network; None if not recorded.
        layers_learned: how many learned at the transferred cell: the median over the seeds of
            `accuracy`, the lower of two.
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
    drift: dict[str, Estimate] | None = None
    layers: int | None = None
    layers_learned: int | None = None
    label: VerdictLabel = VerdictLabel.INCONCLUSIVE
    reason: str = ""

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
    space: Space,
    tolerance: float,
    base: Cell | None = None,
) -> Verdict:
    """Judge one target shape.

    Args:
        tuned: the runs of the search.
        target: the runs at the target, those of `cell` included.
        cell: the transferred cell: the optimum of the search, or the cell that a rule predicts.
        space: the space that was searched.
        tolerance: the largest relative excess of the loss at `cell` over the best loss at which the
            optimum has held.
        base: the tuned optimum that the rule started from; None if it is `cell`, or if `cell` was
            fitted to the optima of several shapes.
    """
    target = target.without_failures(keep=cell)
    verdict = _judge(tuned, target, cell, space, tolerance, base)
    if not verdict.shallow:
        return verdict
    count = f"{verdict.layers_learned} of {verdict.layers} layers learned"
    return replace(verdict, reason=f"{verdict.reason}; but only {count}")


def _judge(
    tuned: Landscape,
    target: Landscape,
    cell: Cell,
    space: Space,
    tolerance: float,
    base: Cell | None,
) -> Verdict:
    verdict = _measure(target, cell)
    if OutcomeLabel.FAILED in target.statuses[target.place(cell)]:
        return replace(
            verdict, reason=f"runs failed at {cell}: run the same command again to retry them"
        )
    if verdict.best is None:
        return replace(verdict, reason=f"no cell trained at the target: {_counts(target)}")
    if len(target.cells) > 1:
        regret, drift = _compare(tuned.without_failures(), target, cell, space)
        verdict = replace(verdict, regret=regret, drift=drift)
    edge = _edge(base or cell, verdict.best or cell, target, space)
    label, reason = _decide(verdict, cell, target, edge, tolerance)
    return replace(verdict, label=label, reason=reason)


def without_optimum(tuned: Landscape) -> Verdict:
    """Return the verdict on every target when the search found no optimum."""
    if not tuned.cells:
        return Verdict(reason="every cell of the search was skipped as unstable")
    return Verdict(reason=f"no cell trained at the tuned shape: {_counts(tuned)}")


def _measure(target: Landscape, cell: Cell) -> Verdict:
    """Return the losses and accuracies of the transferred cell and the best one."""
    place = target.place(cell)
    works = mostly_trained(target, place)
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


def _median(counts: ndarray) -> int | None:
    """Return the median of the counts that are not NaN, the lower of two; None if all are."""
    known = np.sort(counts[~np.isnan(counts)])
    return int(known[(len(known) - 1) // 2]) if len(known) else None


def _compare(
    tuned: Landscape, target: Landscape, cell: Cell, space: Space
) -> tuple[Estimate, dict[str, Estimate]]:
    """Return regret and drift, each with its interval."""
    generator = np.random.default_rng(0)  # the same runs get the same verdict
    tuned_ranking = rank(tuned), rank(tuned, resample(generator, tuned.seeds))
    target_ranking = rank(target), rank(target, resample(generator, target.seeds))
    place = target.place(cell)
    regrets, resampled = (_regrets(ranking, place) for ranking in target_ranking)
    regret = estimate(regrets[0], resampled)
    drift = {}
    for name in space.searched:
        here, there = (
            np.log2([getattr(c, name) for c in landscape.cells]) for landscape in (tuned, target)
        )
        shifts, resampled = (
            there[after.best] - here[before.best]
            for before, after in zip(tuned_ranking, target_ranking, strict=True)
        )
        drift[name] = estimate(shifts[0], resampled)
    return regret, drift


def _regrets(ranking: Ranking, place: int) -> ndarray:
    """Return the regret at the cell at `place`, per resample (R,); NaN if no cell trained."""
    best = np.maximum(ranking.of_best(ranking.loss), TINY)
    loss = np.maximum(ranking.loss[:, place], TINY)
    fewer = ranking.trained[:, place] < ranking.of_best(ranking.trained)
    return np.where(fewer, np.inf, np.log(loss / best))


def _decide(
    verdict: Verdict, cell: Cell, target: Landscape, edge: str, tolerance: float
) -> tuple[VerdictLabel, str]:
    """Return the label and its reason for a target at which some cell trained."""
    best, regret = verdict.best or cell, verdict.regret
    if verdict.loss is None:
        return VerdictLabel.DRIFTED, f"{_trained(target, cell)}, and {_trained(target, best)}"
    limit, allowed = math.log1p(tolerance), f"the tolerance of {100 * tolerance:.3g}%"
    excess = _excess(cell, best, regret, target)
    if regret is not None and regret.low > limit:
        return VerdictLabel.DRIFTED, f"{excess}, beyond {allowed}"
    if edge:
        return VerdictLabel.EDGE, edge
    if regret is None:
        return VerdictLabel.INCONCLUSIVE, f"only {cell} ran at the target: nothing to compare it to"
    if math.isnan(regret.high):
        return VerdictLabel.INCONCLUSIVE, f"{excess}, but one seed gives no interval"
    border = _border(cell, best, target)
    if regret.high <= limit:
        return VerdictLabel.HELD, f"{excess}, within {allowed}{border}"
    return VerdictLabel.INCONCLUSIVE, f"{excess}: it may be within or beyond {allowed}{border}"


def _edge(tuned: Cell, best: Cell, target: Landscape, space: Space) -> str:
    """Return which optimum is at the edge of the space, in words; "" if none is.

    At the target, neighbours of a predicted cell may lie outside of the space. A side beyond which
    a cell ran is no edge.
    """
    found = space.edges(best)
    for rate, side in list(found.items()):
        rates = [getattr(cell, rate) for cell in target.cells]
        if getattr(best, rate) != (min(rates) if side == "lowest" else max(rates)):
            del found[rate]
    for name, optimal, sides in (
        ("tuned optimum", tuned, space.edges(tuned)),
        ("optimum at the target", best, found),
    ):
        if sides:
            edges = describe_edges(sides)
            return f"the {name}, {optimal}, is at the {edges}: a better one may lie beyond"
    return ""


def _counts(landscape: Landscape) -> str:
    parts = (f"{landscape.count(outcome)} {outcome.text}" for outcome in OutcomeLabel)
    return f"{', '.join(parts)} of {landscape.statuses.size} runs"


def _trained(target: Landscape, cell: Cell) -> str:
    count = int((target.statuses[target.place(cell)] == OutcomeLabel.TRAINED).sum())
    return f"{count} of {target.seeds} seeds trained at {cell}"


def _excess(cell: Cell, best: Cell, regret: Estimate | None, target: Landscape) -> str:
    """Return the regret in words."""
    if regret is None:
        return ""
    if math.isinf(regret.value):
        return f"only {_trained(target, cell)}, more trained at {best}"
    excess = f"{_percent(regret.value)} above the best of {len(target.cells)} cells"
    interval = (
        f" ({LEVEL:.0%} interval {_percent(regret.low)} to {_percent(regret.high)})"
        if target.seeds > 1
        else ""
    )
    return f"the loss at {cell} is {excess}{interval}"


def _percent(regret: float) -> str:
    return "no bound" if math.isinf(regret) else f"{100 * math.expm1(regret):.3g}%"


def _border(cell: Cell, best: Cell, target: Landscape) -> str:
    """Return a caution if the best cell is among the outermost that ran; "" otherwise."""
    for name in RATES:
        rates = [getattr(other, name) for other in target.cells]
        rate = getattr(best, name)
        if rate != getattr(cell, name) and rate in (min(rates), max(rates)):
            return f"; the best cell, {best}, is among the outermost that ran"
    return ""
