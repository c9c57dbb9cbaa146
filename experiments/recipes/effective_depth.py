"""How many layers learn under gradient descent: a law, and the beta that it explains.

No document states these claims; they are ours. From a forward pass the error diffuses down the
network (`pccore.theory.effective_depth`): after T steps of rate r = beta/B the k-th layer below the
output has received the share erfc(k / (2 sqrt(r T))) of it. Adam moves a layer whose share exceeds
a small number. So the number of layers that learn is, while it is below L,

    L_eff = kappa sqrt(beta T / B)
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.accuracy import Training, classifiers
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

DATASET = "fashion_mnist"
ETA = 0.05
BETAS = (1.25, 2.5, 5.0, 10.0, 20.0)
ETAS_OF_BEST = (0.2, 0.1, 0.05, 0.025)
BETAS_OF_BEST = (0.625, *BETAS, 40.0)

FITTED, UNSEEN, BEST = "fitted", "unseen", "best"
"""Variants: shapes to which the law is fitted; other shapes; a search for the best beta."""

SHAPE = ["width", "depth", "inference_steps"]
DRAWS = 1000


def runs(data_dir: Path | None, seeds: tuple[int, ...]) -> "list[Run]":
    """Return runs that fit the law and check it, and those that find the best beta."""
    found = []
    for width in (32, 64):
        for depth in (16, 32):
            for steps in (depth // 2, depth, 2 * depth):
                found += _descents(data_dir, FITTED, (width, depth), steps, seeds)
        for steps in (64, 96):
            found += _descents(data_dir, UNSEEN, (width, 64), steps, seeds)
    found += _descents(data_dir, UNSEEN, (32, 128), 128, seeds)
    for depth in (8, 16, 32, 64):
        rates, training = (ETAS_OF_BEST, BETAS_OF_BEST), Training(300, 300, seeds=seeds)
        found += classifiers(DATASET, BEST, (32, depth), rates, training, data_dir)  # T = H
    return found


def _descents(
    data_dir: Path | None, variant: str, shape: tuple[int, int], steps: int, seeds: tuple[int, ...]
) -> "list[Run]":
    training = Training(100, 100, inference_steps=steps, seeds=seeds)
    return classifiers(DATASET, variant, shape, ([ETA], BETAS), training, data_dir)


def unsaturated(evidence: Evidence, variant: str) -> "pd.DataFrame":
    """Return means over seeds, by shape, T and beta, where some layers did not learn.

    The column `reach` is sqrt(beta T / B).
    """
    rows = evidence.trained(variant=variant, outcome="trained")
    columns = [*SHAPE, "activity_lr", "batch_size", "layers_learned", "layers"]
    means = rows[columns].astype(float).groupby([*SHAPE, "activity_lr"], as_index=False).mean()
    means = means[means["layers_learned"] < means["layers"]]
    rates = means["activity_lr"] / means["batch_size"]
    return means.assign(rate=rates, reach=np.sqrt(rates * means["inference_steps"]))


def kappa(rows: "pd.DataFrame") -> float:
    """Fit kappa by least squares of log L_eff."""
    return float(np.exp(np.log(rows["layers_learned"] / rows["reach"]).mean()))


def exponents(rows: "pd.DataFrame") -> np.ndarray:
    """Fit L_eff ~ (beta/B)^a T^b N^c H^d by least squares of logarithms; return a to d."""
    causes = np.log(rows[["rate", "inference_steps", "width", "depth"]].to_numpy(float))
    design = np.column_stack([np.ones(len(rows)), causes])
    return np.linalg.lstsq(design, np.log(rows["layers_learned"].to_numpy(float)))[0][1:]


def interval(
    rows: "pd.DataFrame", statistic: "Callable[[pd.DataFrame], float | np.ndarray]"
) -> np.ndarray:
    """Return the 95 % bootstrap interval of a statistic, resampling rows; the ends come first."""
    rng = np.random.default_rng(0)
    draws = [statistic(rows.iloc[rng.integers(len(rows), size=len(rows))]) for _ in range(DRAWS)]
    return np.quantile(np.array(draws), [0.025, 0.975], axis=0)


def follows_square_root(evidence: Evidence) -> Judged | None:
    """Judge that free exponents of beta/B and T are a half, and those of N and H zero."""
    rows = unsaturated(evidence, FITTED)
    if len(rows) < 10:
        return None
    found, (low, high) = exponents(rows), interval(rows, exponents)
    names = ("β/B", "T", "N", "H")
    text = ", ".join(
        f"{name} {value:.2f} [{a:.2f}, {b:.2f}]"
        for name, value, a, b in zip(names, found, low, high, strict=True)
    )
    return Judged(text, bool(np.all(np.abs(found - (0.5, 0.5, 0, 0)) <= 0.1)))


def predicts_unseen(evidence: Evidence) -> Judged | None:
    """Judge kappa sqrt(beta T / B), fitted at 16 and 32 layers, at other shapes and numbers T."""
    fitted, unseen = unsaturated(evidence, FITTED), unsaturated(evidence, UNSEEN)
    if len(fitted) < 10 or not len(unseen):
        return None
    value, (low, high) = kappa(fitted), interval(fitted, kappa)
    errors = value * unseen["reach"] / unseen["layers_learned"] - 1
    text = (
        f"κ = {value:.2f} [{low:.2f}, {high:.2f}] from {len(fitted)} settings; at {len(unseen)} "
        f"others {100 * errors.min():+.0f}% to {100 * errors.max():+.0f}%"
    )
    return Judged(text, bool((errors.abs() <= 0.15).all()))


def best_cells(evidence: Evidence) -> "pd.DataFrame":
    """Return the cell of smallest mean final loss at every depth, all of whose seeds trained."""
    rows = evidence.trained(variant=BEST).sort_values("depth")
    cells = rows.groupby(["depth", "weight_lr", "activity_lr"], as_index=False).agg(
        loss=("final_train_loss", lambda losses: losses.mean(skipna=False)),
        layers_learned=("layers_learned", "mean"),
        layers=("layers", "first"),
    )
    cells = cells.dropna(subset=["loss"])
    return cells.loc[cells.groupby("depth")["loss"].idxmin()].reset_index(drop=True)


def best_beta_keeps_the_number(evidence: Evidence) -> Judged | None:
    """Judge that the best beta falls as 1/L, so that the number of layers that learn stays."""
    best = best_cells(evidence)
    if len(best) < 4:
        return None
    exponent = np.polyfit(np.log(best["layers"].astype(float)), np.log(best["activity_lr"]), 1)[0]
    text = ", ".join(
        f"H = {row.depth}: β = {row.activity_lr:g}, {row.layers_learned:.0f} of {row.layers}"
        for row in best.itertuples()
    )
    return Judged(f"β ~ L^{exponent:.2f}; {text}", bool(abs(exponent + 1) <= 0.35))


def layers_by_reach(evidence: Evidence) -> "Figure":
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    parts = [unsaturated(evidence, variant) for variant in (FITTED, UNSEEN)]
    rows = pd.concat(parts)
    shapes = rows["depth"].map("H = {:.0f}, ".format) + rows["width"].map("N = {:.0f}".format)
    rows = rows.assign(shape=shapes, law=kappa(parts[0]) * rows["reach"])
    return lines(
        rows,
        Axis("reach", "√(β T / B)", log=True),
        Axis("layers_learned", "weight matrices that learned", log=True),
        "shape",
        dashed="law",
    )


def loss_by_beta(evidence: Evidence) -> "Figure":
    """Draw the loss at the best eta over beta, by depth."""
    from experiments.figures.measured import Axis, lines

    rows = evidence.trained(variant=BEST)
    means = rows.groupby(["depth", "activity_lr", "weight_lr"], as_index=False)[
        "final_train_loss"
    ].mean()
    best = means.groupby(["depth", "activity_lr"], as_index=False)["final_train_loss"].min()
    return lines(
        best,
        Axis("activity_lr", "β", log=True),
        Axis("final_train_loss", "final training loss at the best η", log=True),
        "depth",
        ordered=True,
    )


def setting(seeds: tuple[int, ...]) -> Setting:
    return Setting(
        "Fashion-MNIST, ReLU muPC, B = 64, Adam. Law: η = 0.05, β = 1.25 to 20, 100 updates, "
        "fitted at N = 32 and 64, H = 16 and 32, T = H/2, H, 2H; checked at H = 64, T = 64 and 96, "
        "and at N = 32, H = 128. Best β: N = 32, H = 8 to 64, T = H, 300 updates, "
        f"η = 0.025 to 0.2, β = 0.625 to 40; {len(seeds)} seeds",
        lambda data_dir: runs(data_dir, seeds),
        datasets=(DATASET,),
    )


EFFECTIVE_DEPTH = (
    Recipe(
        name="effective-depth",
        title="how many layers learn under gradient descent",
        source="ours",
        small=setting(seeds=(0, 1)),
        full=setting(seeds=(0, 1, 2, 3, 4)),
        claims=(
            Claim(
                "the number of layers that learn grows as the square root of βT/B",
                "ours",
                "exponents 0.5 of β/B and T, 0 of N and H",
                "0.1 each",
                follows_square_root,
            ),
            Claim(
                "κ √(βT/B) predicts it at shapes and T that were not fitted",
                "ours",
                "the number of layers that learned",
                "15% each",
                predicts_unseen,
            ),
            Claim(
                "the best β falls as 1/L with T = H, because the number of layers that learn stays",
                "ours",
                "β ~ L^-1",
                "0.35 in the exponent",
                best_beta_keeps_the_number,
            ),
        ),
        figures={"layers-by-reach": layers_by_reach, "loss-by-beta": loss_by_beta},
        choices="A layer learned if its weights changed by more than 1 % (RMS).",
    ),
)
