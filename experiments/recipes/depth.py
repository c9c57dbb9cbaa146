"""Thesis 5.6: accuracy by depth of muPC, SP and BP, and of muPC with one inference step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.accuracy import (
    Rates,
    Training,
    accuracy,
    accuracy_curves,
    best_cells,
    classifiers,
    extremes,
    judged,
)
from experiments.evidence import Evidence
from experiments.intervals import Interval
from experiments.learning_rates import AUTHORS, AUTHORS_BP, BETAS, ETAS, OUR_BETAS, OURS_BP
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, steps_of

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

FULL_DEPTHS = (8, 16, 32, 64, 128)
SMALL = 64, Training(steps=200, eval_every=50)
FULL = 512, Training(steps_of("mnist", 1), eval_every=300)
ONE = "mupc, one step"
LOST = 3
"""Points of accuracy that the deepest networks may lose; figure 5.1's lines nearly coincide."""

Variants = Sequence[tuple[str, Rates]]


def by_depth(
    data_dir: Path | None,
    activation: str,
    depths: Sequence[int],
    variants: Variants,
    size: tuple[int, Training],
) -> "list[Run]":
    """Return every variant at every depth, at one width, on MNIST."""
    width, training = size
    found = []
    for depth in depths:
        for variant, rates in variants:
            found += classifiers(
                "mnist", variant, (width, depth), rates, training, data_dir, activation=activation
            )
    return found


def with_one_step(size: tuple[int, Training]) -> tuple[int, Training]:
    """Return the same networks with one inference step."""
    width, training = size
    return width, replace(training, inference_steps=1)


def small_depths(data_dir: Path | None) -> "list[Run]":
    found = []
    for activation, depths in (("relu", (8, 32, 64)), ("tanh", (8, 64)), ("linear", (8, 64))):
        bp = OURS_BP[activation]
        variants: Variants = [
            ("mupc", ([0.1], OUR_BETAS)),
            ("sp", ([0.01], [5])),
            ("sp", ([0.001], [1])),
            ("bp", ([bp], [None])),
        ]
        found += by_depth(data_dir, activation, depths, variants, SMALL)
    return found


def full_depths(data_dir: Path | None) -> "list[Run]":
    found = []
    for activation in ACTIVATIONS:
        eta, beta = AUTHORS[activation]
        variants: Variants = [
            ("mupc", ([eta], [beta])),
            ("sp", (ETAS, BETAS)),
            ("bp", ([AUTHORS_BP[activation]], [None])),
        ]
        found += by_depth(data_dir, activation, FULL_DEPTHS, variants, FULL)
    return found


def small_one_step(data_dir: Path | None) -> "list[Run]":
    many = by_depth(data_dir, "relu", (8, 32, 64), [("mupc", ([0.1], OUR_BETAS))], SMALL)
    single: Variants = [(ONE, ([0.1], (5, 50, 500)))]
    return many + by_depth(data_dir, "relu", (8, 32, 64), single, with_one_step(SMALL))


def full_one_step(data_dir: Path | None) -> "list[Run]":
    eta, beta = AUTHORS["relu"]
    many = by_depth(data_dir, "relu", FULL_DEPTHS, [("mupc", ([eta], [beta]))], FULL)
    single: Variants = [(ONE, (ETAS, BETAS))]
    return many + by_depth(data_dir, "relu", FULL_DEPTHS, single, with_one_step(FULL))


def mupc_trains_at_every_depth(evidence: Evidence) -> Judged | None:
    """Judge the fall of accuracy from the shallowest to the deepest networks."""
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    numbers = []
    for activation in ACTIVATIONS:
        shallow, deep = (
            accuracy(evidence, variant="mupc", activation=activation, depth=depth) for depth in ends
        )
        lost = None if shallow is None or deep is None else shallow - deep
        numbers.append((f"{activation} loses", lost, lost is not None and lost <= LOST))
    return judged(numbers, " points")


def sp_stays_at_chance(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    found = {a: accuracy(evidence, variant="sp", activation=a, depth=ends[1]) for a in ACTIVATIONS}
    return judged((a, number, number is not None and number <= 20) for a, number in found.items())


def mupc_is_comparable_with_bp(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    numbers = []
    for activation in ACTIVATIONS:
        where = {"activation": activation, "depth": ends[1]}
        mupc, bp = (accuracy(evidence, variant=variant, **where) for variant in ("mupc", "bp"))
        lag = None if mupc is None or bp is None else bp - mupc
        numbers.append((f"{activation} behind by", lag, lag is not None and lag <= 5))
    return judged(numbers, " points")


def one_step_is_worse(evidence: Evidence) -> Judged | None:
    numbers = []
    for depth in sorted(evidence.runs["depth"].unique()):
        many, one = (accuracy(evidence, variant=name, depth=depth) for name in ("mupc", ONE))
        lag = None if many is None or one is None else many - one
        numbers.append((f"H = {depth} by", lag, lag is not None and lag > 0))
    return judged(numbers, " points")


def one_step_degrades_with_depth(evidence: Evidence) -> Judged | None:
    """Judge the fall from the shallowest to the deepest, with the interval over seeds."""
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    percents = [
        best_cells(evidence.trained(variant=ONE, depth=depth)).groupby("seed")["percent"].mean()
        for depth in ends
    ]
    lost = Interval.of((percents[0] - percents[1]).dropna())
    means = ", ".join(f"H = {d} {p.mean():.1f}%" for d, p in zip(ends, percents, strict=True))
    return Judged(f"{means}, falls by {lost} points", lost.above(0))


def accuracy_by_depth(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        best_cells(evidence.runs),
        Axis("depth", "H, hidden layers", log=True),
        Axis("percent", "test accuracy, %", limits=(0, 100)),
        "variant",
        "activation",
    )


def accuracy_by_step(evidence: Evidence) -> "Figure":
    """Draw accuracy during training of ReLU networks, as on the right of fig. 5.1."""
    curves, best = evidence.curves, best_cells(evidence.trained(activation="relu"))
    if len(curves):
        curves = curves[curves["run_id"].isin(best["run_id"])]
    return accuracy_curves(curves, "depth", "variant", ordered=True)


DEPTH = (
    Recipe(
        name="depth",
        title="muPC trains deep networks, SP does not",
        source="T5.6, figs. 5.1, C.16",
        small=Setting(
            "MNIST, N = 64, H = 8, 64 (ReLU also 32), linear, tanh and ReLU, 200 steps of B = 64, "
            "T = H, 3 seeds; best of two cells of muPC and of SP, BP at the rate tuned at 8 layers",
            small_depths,
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, N = 512, H = 8 to 128, linear, tanh and ReLU, one epoch of B = 64, T = H, 3 "
            "seeds; muPC and BP at the optima of the authors' code, SP over the grid at each depth",
            full_depths,
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "muPC trains at every depth with every activation",
                "T figs. 5.1, C.16",
                "as accurate in the deepest as in the shallowest networks",
                "at most 3 points less",
                mupc_trains_at_every_depth,
            ),
            Claim(
                "standard PC stays at chance in the deepest networks",
                "T figs. 5.1, C.16",
                "10%",
                "at most 20%",
                sp_stays_at_chance,
            ),
            Claim(
                "muPC is comparable with BP in the deepest networks",
                "T figs. 5.1, C.16",
                "as accurate",
                "at most 5 points behind",
                mupc_is_comparable_with_bp,
            ),
        ),
        figures={"fig-C.16-depth": accuracy_by_depth, "fig-5.1-training": accuracy_by_step},
        choices="SP uses the most accurate learning rates at each depth, so its failure is "
        "not due to tuning. Diverged runs count as chance. The thesis calls muPC competitive "
        "without a number; the tolerance is 5 points.",
    ),
    Recipe(
        name="one-inference-step",
        title="one inference step performs worse, increasingly with depth",
        source="T C.3.5, fig. C.14",
        small=Setting(
            "MNIST, ReLU, N = 64, H = 8, 32, 64, 200 steps of B = 64, T = H and T = 1, 3 seeds, "
            "best of two values of beta for T = H and of three for T = 1",
            small_one_step,
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, ReLU, N = 512, H = 8 to 128, one epoch of B = 64, 3 seeds, T = H at the "
            "authors' optimum and T = 1 over their grid",
            full_one_step,
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "one inference step is less accurate than T = H",
                "T C.3.5, fig. C.14",
                "less accurate at every depth",
                "by any amount",
                one_step_is_worse,
            ),
            Claim(
                "with one inference step accuracy degrades with depth",
                "T C.3.5, fig. C.14",
                "falls from the shallowest to the deepest",
                "by any amount, interval over seeds",
                one_step_degrades_with_depth,
            ),
        ),
        figures={"fig-C.14-one-step": accuracy_by_depth},
        choices="From a forward start one step moves only the last hidden layer, so only the "
        "last two weight matrices learn. The condition numbers of fig. C.14 are in the "
        "conditioning recipes.",
    ),
)
