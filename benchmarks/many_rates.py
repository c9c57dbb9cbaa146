"""How often verdicts on one to four rates are right, on quadratic landscapes with a known optimum.

    python benchmarks/many_rates.py [WORLDS]

A world has a curvature for each rate, a drift of its optimum from the tuned shape to the target,
and noise over seeds. A verdict "held" is wrong where the true regret of the transferred cell,
against the best cell that ran, is beyond the tolerance; "drifted" where it is within.
"""

import math
import sys
import time
from collections import Counter
from itertools import product

import numpy as np
from numpy import ndarray

import transfer

TOLERANCE, SEEDS = 0.1, 3
VALUES = {1: 9, 2: 5, 3: 4, 4: 3}
"""Values of each rate, an octave apart, by the number of rates."""


def losses(
    points: ndarray, world: tuple[ndarray, ndarray, float], draw: np.random.Generator
) -> ndarray:
    """Return the losses of cells (C, D) with `SEEDS` seeds, and their true logarithms last."""
    true = excess(points, world)
    noise = world[2] * draw.standard_normal((len(points), SEEDS))
    return np.exp(true[:, None] + noise)


def excess(points: ndarray, world: tuple[ndarray, ndarray, float]) -> ndarray:
    """Return the true log losses."""
    curvature, optimum, _ = world
    return (curvature * (points - optimum) ** 2).sum(axis=1)


def verdict(rates: int, draw: np.random.Generator) -> tuple[str, float]:
    """Return the label of one world, and the true regret of the transferred cell."""
    names = [f"rate{n}" for n in range(rates)]
    values = np.arange(VALUES[rates], dtype=float)
    cells = np.array(list(product(values, repeat=rates)))
    curvature = np.exp(draw.uniform(math.log(0.01), math.log(0.5), rates))
    optimum = draw.uniform(1, values[-1] - 1, rates) if values[-1] > 2 else np.ones(rates)
    noise = math.exp(draw.uniform(math.log(0.005), math.log(0.1)))
    small = curvature, optimum, noise
    large = curvature, optimum + draw.normal(0, 0.7, rates), noise
    tuned = losses(cells, small, draw)
    moved = cells[np.log(tuned).mean(axis=1).argmin()]
    near = np.array(list(product(*([v - 1, v, v + 1] for v in moved))))
    found = transfer.judge_landscapes(
        (2.0**cells, tuned), (2.0**near, losses(near, large, draw)), 2.0**moved,
        tolerance=TOLERANCE, names=names,
    )  # fmt: skip
    true = excess(near, large)
    return str(found.label), float(excess(moved[None], large)[0] - true.min())


def main() -> None:
    """Print, for each number of rates, how many verdicts there were and how many were wrong."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    limit = math.log1p(TOLERANCE)
    for rates in VALUES:
        draw, began = np.random.default_rng(rates), time.process_time()
        counts: Counter[str] = Counter()
        for _ in range(worlds):
            label, regret = verdict(rates, draw)
            wrong = (label == "held" and regret > limit) or (label == "drifted" and regret <= limit)
            counts[f"{label} wrong" if wrong else label] += 1
        seconds = (time.process_time() - began) / worlds
        print(f"{rates} rates: {dict(sorted(counts.items()))}, {seconds:.2f} s each", flush=True)


if __name__ == "__main__":
    main()
