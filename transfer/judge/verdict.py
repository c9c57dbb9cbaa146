"""Whether an optimum held at a target shape: regret, drift, and a label. Pure functions.

Regret is log(loss at the transferred cell / best loss found at the target). Drift is the log2
shift of the optimum from the tuned shape to the target, per learning rate. Both come with bootstrap
intervals over seeds (`transfer.judge.bootstrap`).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from pccore import Status
from results.landscape import TINY, Cell, Landscape, Ranking, mean, mostly_trained, optimum, rank
from results.vocabulary import RATES, OutcomeLabel, VerdictLabel
from transfer.judge.bootstrap import LEVEL, Estimate, estimate, resample
from transfer.space import Space


@dataclass(frozen=True)
class Judgement:
    """What is known about one target shape; None stands for what does not exist.

    Attributes:
        cell: the transferred cell; None when the search found no optimum.
        loss: its mean final training loss, if more than half of its seeds trained.
        accuracy: its mean test accuracy; of the seeds at chance level if it did not train.
        accuracy_std: the standard deviation of that over seeds.
        minimum: its mean smallest single-batch training loss, the thesis's metric.
        best: the best cell found at the target.
        best_loss: its mean final training loss.
        regret: in natural logarithms; None unless there are cells to compare with, infinite where
            fewer seeds trained at the transferred cell than at the best one.
        drift: per learning rate, in octaves.
        label: the verdict.
        reason: why, in one sentence.
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
    label: VerdictLabel = VerdictLabel.INCONCLUSIVE
    reason: str = ""


def judge(
    tuned: Landscape,
    target: Landscape,
    cell: Cell,
    space: Space,
    tolerance: float,
    base: Cell | None = None,
) -> Judgement:
    """Judge one target shape.

    Args:
        tuned: the runs of the search.
        target: the runs at the target; `cell` is among them.
        cell: the transferred cell: the optimum of the search, or what a rule made of it.
        space: what was searched, which tells where its edges are.
        tolerance: by how much, relatively, the loss at `cell` may exceed the best found.
        base: the tuned optimum that a rule went from; None where it is `cell`, or where there is
            none, as `cell` was fitted to several shapes.
    """
    target = target.without_failures(keep=cell)
    judgement = _measure(target, cell)
    if Status.FAILED in target.statuses[target.place(cell)]:
        return replace(judgement, reason=f"runs failed at {cell}; the same command retries them")
    if judgement.best is None:
        return replace(judgement, reason=f"no cell trained at the target: {_counts(target)}")
    if len(target.cells) > 1:
        regret, drift = _compare(tuned.without_failures(), target, cell, space)
        judgement = replace(judgement, regret=regret, drift=drift)
    edge = _edge(base or cell, judgement.best or cell, target, space)
    label, reason = _decide(judgement, cell, target, edge, tolerance)
    return replace(judgement, label=label, reason=reason)


def without_optimum(tuned: Landscape) -> Judgement:
    """The judgement of every target when the search found no optimum."""
    if not tuned.cells:
        return Judgement(reason="every cell of the search was skipped as unstable")
    return Judgement(reason=f"no cell trained at the tuned shape: {_counts(tuned)}")


def _measure(target: Landscape, cell: Cell) -> Judgement:
    """What the runs say about the transferred cell and the best one, before any comparison."""
    place = target.place(cell)
    works = mostly_trained(target, place)
    trained = target.statuses[place] == Status.TRAINED
    counted = trained if works else target.statuses[place] == Status.AT_CHANCE
    accuracies = target.accuracies[place][counted & ~np.isnan(target.accuracies[place])]
    best = optimum(target)
    return Judgement(
        cell,
        loss=mean(target.losses[place]) if works else None,
        accuracy=mean(accuracies),
        accuracy_std=float(accuracies.std(ddof=1)) if accuracies.size > 1 else None,
        minimum=mean(target.minima[place][trained]),
        best=best,
        best_loss=mean(target.losses[target.place(best)]) if best else None,
    )


def _compare(
    tuned: Landscape, target: Landscape, cell: Cell, space: Space
) -> tuple[Estimate, dict[str, Estimate]]:
    """Regret and drift, each for the seeds as they are and for resamples of them."""
    generator = np.random.default_rng(0)  # the same runs are judged the same
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
    """The regret at the cell at `place`, per resample (R,); NaN where no cell trained at all."""
    best = np.maximum(ranking.of_best(ranking.loss), TINY)
    loss = np.maximum(ranking.loss[:, place], TINY)
    fewer = ranking.trained[:, place] < ranking.of_best(ranking.trained)
    return np.where(fewer, np.inf, np.log(loss / best))


def _decide(
    judgement: Judgement, cell: Cell, target: Landscape, edge: str, tolerance: float
) -> tuple[VerdictLabel, str]:
    """The label, and why, where some cell trained at the target."""
    best, regret = judgement.best or cell, judgement.regret
    if judgement.loss is None:
        return VerdictLabel.DRIFTED, f"{_trained(target, cell)}, and {_trained(target, best)}"
    limit, excess = math.log1p(tolerance), _excess(cell, best, regret, target)
    if regret is not None and regret.low > limit:
        return VerdictLabel.DRIFTED, f"{excess}, beyond the tolerance of {tolerance:.3g}"
    if edge:
        return VerdictLabel.EDGE, edge
    if regret is None:
        return (
            VerdictLabel.INCONCLUSIVE,
            f"only {cell} ran at the target, with nothing to compare it to",
        )
    if math.isnan(regret.high):
        return VerdictLabel.INCONCLUSIVE, f"{excess}, and one seed gives no interval"
    border = _border(cell, best, target)
    if regret.high <= limit:
        return VerdictLabel.HELD, f"{excess}, within the tolerance of {tolerance:.3g}{border}"
    return (
        VerdictLabel.INCONCLUSIVE,
        f"{excess}, on both sides of the tolerance of {tolerance:.3g}{border}",
    )


def _edge(tuned: Cell, best: Cell, target: Landscape, space: Space) -> str:
    """Which optimum has the lowest or highest rate searched, in words; empty if none has.

    At the target a predicted cell may have neighbours outside of the space: where one ran beyond an
    edge, that is none.
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
            edges = " and the ".join(f"{side} {rate}" for rate, side in sides.items())
            has = f"the {name}, {optimal}, has the {edges} searched"
            return f"{has}: a better one may lie beyond"
    return ""


def _counts(landscape: Landscape) -> str:
    parts = (f"{landscape.count(outcome)} {outcome.text}" for outcome in OutcomeLabel)
    return f"of {landscape.statuses.size} runs {', '.join(parts)}"


def _trained(target: Landscape, cell: Cell) -> str:
    count = int((target.statuses[target.place(cell)] == Status.TRAINED).sum())
    return f"{count} of {target.seeds} seeds trained at {cell}"


def _excess(cell: Cell, best: Cell, regret: Estimate | None, target: Landscape) -> str:
    """The regret in words."""
    if regret is None:
        return ""
    if math.isinf(regret.value):
        return f"only {_trained(target, cell)}, more at {best}"
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
    """A caution where the best cell is among the outermost that ran, and not the transferred."""
    for name in RATES:
        rates = [getattr(other, name) for other in target.cells]
        rate = getattr(best, name)
        if rate != getattr(cell, name) and rate in (min(rates), max(rates)):
            return f"; the best, {best}, is among the outermost cells run"
    return ""
