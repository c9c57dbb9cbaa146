"""Thesis figs. C.17 to C.19: 128 layers, trained for longer."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.accuracy import Rates, Training, accuracy, accuracy_curves, classifiers, judged
from experiments.evidence import Evidence
from experiments.learning_rates import AUTHORS, AUTHORS_BP, AUTHORS_FASHION
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.scale import Scale
from experiments.settings import steps_of

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

Cell = tuple[float, float]

# the best cell of examples/mnist-descent.yaml at 128 layers, N = 64
OURS: tuple[Cell, float] = (0.1, 5.0), 0.01

BEHIND = 3
"""Points behind BP at which muPC still competes; the thesis has no number."""


def deepest(
    data_dir: Path | None,
    dataset: str,
    width: int,
    cells: tuple[Cell, float],
    training: Training,
    output: str = "mse",
) -> "list[Run]":
    """Return 128-layer ReLU networks of muPC (at eta and beta) and BP (at its own eta)."""
    (eta, beta), bp = cells
    variants: list[tuple[str, Rates]] = [("mupc", ([eta], [beta])), ("bp", ([bp], [None]))]
    found = []
    for variant, rates in variants:
        found += classifiers(
            dataset, variant, (width, 128), rates, training, data_dir, output=output
        )
    return found


def reaches(evidence: Evidence, percent: float, epochs: float) -> Judged | None:
    """Judge that accuracy comes within a point of `percent`; None after too few epochs."""
    found = accuracy(evidence, variant="mupc")
    if found is None:
        return None
    run = evidence.trained(variant="mupc").iloc[0]
    if run["steps"] < steps_of(str(run["dataset"]), epochs):
        return None
    return judged([("muPC", found, found >= percent - 1)])


def competes_with_bp(evidence: Evidence) -> Judged | None:
    mupc, bp = (accuracy(evidence, variant=variant) for variant in ("mupc", "bp"))
    holds = mupc is not None and bp is not None and mupc >= bp - BEHIND
    return judged([("muPC", mupc, holds), ("BP", bp, holds)])


def rises_steadily(evidence: Evidence) -> Judged | None:
    """Judge that mean accuracy over seeds never falls by more than a point between evaluations."""
    curves = evidence.curves
    if accuracy(evidence, variant="mupc") is None or not len(curves):
        return None
    curves = curves[curves["variant"] == "mupc"]
    if curves["test_accuracy"].isna().any():
        return Judged("a run diverged", False)
    means = 100 * curves.groupby("step")["test_accuracy"].mean()
    worst = float(means.diff().min())
    text = f"{means.iloc[0]:.1f} to {means.iloc[-1]:.1f}%, smallest change {worst:+.1f} points"
    return Judged(text, worst >= -1)


def lags_behind_bp(evidence: Evidence) -> Judged | None:
    mupc, bp = (accuracy(evidence, variant=variant) for variant in ("mupc", "bp"))
    holds = mupc is not None and bp is not None and 0 <= bp - mupc <= 10
    return judged([("muPC", mupc, holds), ("BP", bp, holds)])


def accuracy_by_step(evidence: Evidence) -> "Figure":
    return accuracy_curves(evidence.curves, "variant")


def _full(
    dataset: str,
    epochs: float,
    cells: tuple[Cell, float],
    seeds: int,
    batch_size: int = 64,
    output: str = "mse",
) -> Setting:
    """Return the setting at the authors' size."""
    (eta, beta), bp = cells
    training = Training(
        steps_of(dataset, epochs, batch_size), 300, batch_size, seeds=tuple(range(seeds))
    )
    return Setting(
        f"{dataset}, ReLU, N = 512, H = 128, {epochs:g} epochs of B = {batch_size}, T = H, {seeds} "
        f"seeds, muPC at η = {eta:g}, β = {beta:g}, BP at η = {bp:g}",
        lambda data_dir: deepest(data_dir, dataset, 512, cells, training, output),
        datasets=(dataset,),
    )


def _small(dataset: str, output: str = "mse") -> Setting:
    training = Training(steps=200, eval_every=40)
    return Setting(
        f"{dataset}, ReLU, N = 64, H = 128, 200 steps of B = 64, T = H, 3 seeds, muPC at η = 0.1, "
        "β = 5, BP at η = 0.01",
        lambda data_dir: deepest(data_dir, dataset, 64, OURS, training, output),
        datasets=(dataset,),
    )


STEADY = Claim(
    "training 128 layers is stable",
    "T 5.6",
    "accuracy rises throughout",
    "one point down from one evaluation to the next, mean over seeds",
    rises_steadily,
)


def _reaches(name: str, source: str, percent: float, epochs: float) -> Claim:
    return Claim(
        f"128-layer ReLU muPC reaches about {percent:g}% on {name} in {epochs:g} epochs",
        source,
        f"{percent:g}%",
        "one point",
        partial(reaches, percent=percent, epochs=epochs),
        scale=Scale.FULL,
    )


def _competes(name: str, source: str) -> Claim:
    return Claim(
        f"128-layer ReLU muPC competes with BP on {name}",
        source,
        "as accurate as BP with Depth-muP",
        f"at most {BEHIND} points behind",
        competes_with_bp,
    )


DEEPEST = (
    Recipe(
        name="depth-128-mnist",
        title="128 layers on MNIST",
        source="T5.6, fig. C.17",
        small=_small("mnist"),
        full=_full("mnist", 5, (AUTHORS["relu"], AUTHORS_BP["relu"]), seeds=5),
        claims=(
            _reaches("MNIST", "T fig. C.17", 98, 5),
            _competes("MNIST", "T5.6, fig. C.17"),
            STEADY,
        ),
        figures={"fig-C.17-mnist": accuracy_by_step},
        choices="The authors' rates are too small at N = 64; the small scale uses the best "
        "rates found there at 128 layers (docs/decisions/transfer-experiments.md).",
    ),
    Recipe(
        name="depth-128-fashion",
        title="128 layers on Fashion-MNIST",
        source="T5.6, fig. C.18",
        small=_small("fashion_mnist"),
        full=_full("fashion_mnist", 15, (AUTHORS_FASHION, AUTHORS_BP["relu"]), seeds=3),
        claims=(
            _reaches("Fashion-MNIST", "T fig. C.18", 89, 15),
            _competes("Fashion-MNIST", "T5.6, fig. C.18"),
            STEADY,
        ),
        figures={"fig-C.18-fashion": accuracy_by_step},
        choices="The small scale uses the rates found for MNIST.",
    ),
    Recipe(
        name="depth-128-cifar",
        title="128 layers on CIFAR-10",
        source="T5.6, fig. C.19",
        small=_small("cifar10", output="cross_entropy"),
        full=_full(
            "cifar10",
            15,
            ((0.1, 0.01), AUTHORS_BP["relu"]),
            seeds=3,
            batch_size=128,
            output="cross_entropy",
        ),
        claims=(
            Claim(
                "on CIFAR-10 muPC lags slightly behind BP",
                "T fig. C.19",
                "behind BP",
                "by 0 to 10 points",
                lags_behind_bp,
            ),
        ),
        figures={"fig-C.19-cifar": accuracy_by_step},
        choices="C.4 states B = 64 throughout; B = 128, cross-entropy and the rates are those "
        "of the authors' published code. The duration is not stated: 15 epochs, as for "
        "Fashion-MNIST.",
    ),
)
