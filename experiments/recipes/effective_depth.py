"""How many layers learn under gradient descent, and at which beta it trains best.

No document states these claims; they are ours. From a forward pass the error diffuses down the
network (`pccore.theory.effective_depth`): after T steps of rate r = beta/B the k-th layer below the
output has received the share erfc(k / (2 sqrt(r T))) of it. Adam moves a layer whose share exceeds
a small number. So the number of layers that learn should be, up to a constant for the layers next
to the output and while it is below T and L,

    L_eff = a + kappa sqrt(beta T / B)
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.accuracy import Training, classifiers
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from pccore.training.config import DIVERGENCE_FACTOR

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
        rates, training = (ETAS_OF_BEST, BETAS_OF_BEST), _training(300, None, seeds)
        found += classifiers(DATASET, BEST, (32, depth), rates, training, data_dir)  # T = H
    return found


def _training(updates: int, steps: int | None, seeds: tuple[int, ...]) -> Training:
    return Training(
        updates, updates, inference_steps=steps, seeds=seeds, divergence_factor=DIVERGENCE_FACTOR
    )


def _descents(
    data_dir: Path | None, variant: str, shape: tuple[int, int], steps: int, seeds: tuple[int, ...]
) -> "list[Run]":
    training = _training(100, steps, seeds)
    return classifiers(DATASET, variant, shape, ([ETA], BETAS), training, data_dir)


def unsaturated(evidence: Evidence, variant: str) -> "pd.DataFrame":
    """Return means over seeds, by shape, T and beta, where L_eff is below T and L.

    The column `reach` is sqrt(beta T / B).
    """
    rows = evidence.trained(variant=variant, outcome="trained")
    columns = [*SHAPE, "activity_lr", "batch_size", "layers_learned", "layers"]
    means = rows[columns].astype(float).groupby([*SHAPE, "activity_lr"], as_index=False).mean()
    means = means[means["layers_learned"] < means[["layers", "inference_steps"]].min(axis=1)]
    rates = means["activity_lr"] / means["batch_size"]
    return means.assign(reach=np.sqrt(rates * means["inference_steps"]))


def law(rows: "pd.DataFrame") -> np.ndarray:
    """Fit a and kappa by least squares."""
    return np.polyfit(rows["reach"], rows["layers_learned"], 1)[::-1]


def interval(rows: "pd.DataFrame") -> np.ndarray:
    """Return the lower and the upper ends of 95 % bootstrap intervals of a and kappa, by rows."""
    rng = np.random.default_rng(0)
    draws = [law(rows.iloc[rng.integers(len(rows), size=len(rows))]) for _ in range(DRAWS)]
    return np.quantile(draws, [0.025, 0.975], axis=0)


def predicts_unseen(evidence: Evidence) -> Judged | None:
    """Judge the law, fitted at 16 and 32 layers, at 64 and 128 layers and other T."""
    fitted, unseen = unsaturated(evidence, FITTED), unsaturated(evidence, UNSEEN)
    if len(fitted) < 10 or not len(unseen):
        return None
    (a, kappa), (low, high) = law(fitted), interval(fitted)
    errors = (a + kappa * unseen["reach"]) / unseen["layers_learned"] - 1
    text = (
        f"a = {a:.1f} [{low[0]:.1f}, {high[0]:.1f}], κ = {kappa:.1f} [{low[1]:.1f}, {high[1]:.1f}] "
        f"from {len(fitted)} settings; at {len(unseen)} others {100 * errors.min():+.0f}% to "
        f"{100 * errors.max():+.0f}%"
    )
    return Judged(text, bool((errors.abs() <= 0.1).all()))


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


def best_keeps_the_number(evidence: Evidence) -> Judged | None:
    """Judge the number of layers that learn at the best cell of every depth from 16 layers on."""
    best = best_cells(evidence)
    deep = best[best["depth"] > 8]
    if len(deep) < 3:
        return None
    text = ", ".join(
        f"H = {row['depth']}: η = {row['weight_lr']:g}, β = {row['activity_lr']:g}, "
        f"{row['layers_learned']:.0f} of {row['layers']:.0f}"
        for row in best.to_dict("records")
    )
    return Judged(text, bool(np.ptp(deep["layers_learned"]) <= 2))


def layers_by_reach(evidence: Evidence) -> "Figure":
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    parts = [unsaturated(evidence, variant) for variant in (FITTED, UNSEEN)]
    rows = pd.concat(parts)
    shapes = rows["depth"].map("H = {:.0f}, ".format) + rows["width"].map("N = {:.0f}".format)
    rows = rows.assign(shape=shapes, law=np.polyval(law(parts[0])[::-1], rows["reach"]))
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
                "a + κ √(βT/B), fitted at 16 and 32 layers, predicts how many of 64 and 128 learn",
                "ours",
                "the number of layers that learned",
                "10% in every setting",
                predicts_unseen,
            ),
            Claim(
                "at the best η and β the same number of layers learns from 16 layers on",
                "ours",
                "no change with depth",
                "2 layers",
                best_keeps_the_number,
            ),
        ),
        figures={"layers-by-reach": layers_by_reach, "loss-by-beta": loss_by_beta},
        choices="A layer learned if its weights changed by more than 1 % (RMS).",
    ),
)
