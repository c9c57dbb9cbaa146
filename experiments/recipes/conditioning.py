"""Thesis chapter 5: the conditioning of inference at initialisation."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from experiments.activity_conditioning import (
    KAPPA,
    POWERS,
    SMALLEST,
    VARIANTS,
    geometric_mean,
    maps,
    spectra,
)
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, runs_of, stack
from pccore.theory import ActivityConditioning

if TYPE_CHECKING:
    from transfer import Run


def untrained(
    data_dir: Path | None, widths: tuple[int, ...], depths: tuple[int, ...]
) -> "list[Run]":
    """Return networks of every kind, measured without training."""
    found = []
    for (variant, options), phi in itertools.product(VARIANTS.items(), ACTIVATIONS):
        for width, depth in itertools.product(widths, depths):
            config = pccore.TrainingConfig(
                stack("mnist", width, depth, activation=phi, **options),
                pccore.Backpropagation(),
                steps=0,
                probes=(ActivityConditioning(),),
            )
            found += runs_of("mnist", variant, config, data_dir)
    return found


# claims read kappa as a table, depth (down) by width (across), or one of its corners


def table(evidence: Evidence, variant: str, activation: str) -> Any:
    """Return geometric means over seeds of kappa, by depth and width; None without two of each."""
    rows = evidence.measured(KAPPA, variant=variant, activation=activation)
    if rows["depth"].nunique() < 2 or rows["width"].nunique() < 2:
        return None
    return rows.pivot_table(index="depth", columns="width", values="value", aggfunc=geometric_mean)


def growths(evidence: Evidence, variant: str) -> "dict[str, tuple[float, float]] | None":
    """Return the factors by which kappa grows with depth and with width, by activation.

    Each is a geometric mean over the other size, from the smallest to the largest.
    """
    import numpy as np

    found = {}
    for phi in ACTIVATIONS:
        kappa = table(evidence, variant, phi)
        if kappa is None:
            return None
        logs = np.log(kappa.to_numpy())
        found[phi] = (
            float(np.exp((logs[-1] - logs[0]).mean())),
            float(np.exp((logs[:, -1] - logs[:, 0]).mean())),
        )
    return found


def grows_with_depth(evidence: Evidence) -> Judged | None:
    found = growths(evidence, "sp")
    if found is None:
        return None
    words = ", ".join(f"{phi} x{depth:.1f}" for phi, (depth, _) in found.items())
    return Judged(words, all(depth >= 2 for depth, _ in found.values()))


def grows_with_width(evidence: Evidence) -> Judged | None:
    found = growths(evidence, "sp")
    if found is None:
        return None
    words = ", ".join(f"{phi} x{width:.1f}" for phi, (_, width) in found.items())
    return Judged(words, all(width > 1 for _, width in found.values()))


def depth_matters_more(evidence: Evidence) -> Judged | None:
    found = growths(evidence, "sp")
    if found is None:
        return None
    words = ", ".join(f"{phi} x{d:.1f} against x{w:.1f}" for phi, (d, w) in found.items())
    return Judged(words, all(depth > width for depth, width in found.values()))


def compared(
    evidence: Evidence, variant: str, to: str, activations: tuple[str, ...]
) -> "dict[str, float] | None":
    """Return, by activation, the ratio of two variants' kappa in the largest network."""
    found = {}
    for phi in activations:
        ours, theirs = table(evidence, variant, phi), table(evidence, to, phi)
        if ours is None or theirs is None:
            return None
        found[phi] = float(ours.iloc[-1, -1] / theirs.iloc[-1, -1])
    return found


def residual_is_worse(evidence: Evidence) -> Judged | None:
    found = compared(evidence, "sp with skips", "sp", ACTIVATIONS)
    if found is None:
        return None
    words = ", ".join(f"{phi} x{ratio:.2g}" for phi, ratio in found.items())
    return Judged(words, all(ratio >= 10 for ratio in found.values()))


def worsens(evidence: Evidence, variant: str, activations: tuple[str, ...]) -> Judged | None:
    """Judge the growth of kappa in the widest network, from the least to the greatest depth."""
    words, holds = [], True
    for phi in activations:
        kappa = table(evidence, variant, phi)
        if kappa is None:
            return None
        first, last = kappa.iloc[0, -1], kappa.iloc[-1, -1]
        words.append(f"{phi} {first:.3g} to {last:.3g}")
        holds &= bool(last >= 10 * first)
    return Judged(", ".join(words), holds)


def similar_to_residual_sp(evidence: Evidence) -> Judged | None:
    words, holds = [], True
    for variant, activations in (("mupc", ACTIVATIONS), ("orthogonal", ("linear", "tanh"))):
        found = compared(evidence, variant, "sp with skips", activations)
        if found is None:
            return None
        words += [f"{variant} {phi} x{ratio:.2g}" for phi, ratio in found.items()]
        holds &= all(0.1 <= ratio <= 10 for ratio in found.values())
    return Judged(", ".join(words), holds)


def seeds_agree(evidence: Evidence) -> Judged | None:
    rows = evidence.measured(KAPPA, variant="sp")
    rows = rows[rows["width"] >= 8]
    groups = rows.groupby(["activation", "width", "depth"])["value"]
    if not len(rows) or groups.count().min() < 2:
        return None
    worst = float((groups.max() / groups.min()).max())
    return Judged(f"at most a factor {worst:.2f} between seeds, N from 8 on", worst <= 2)


def positive(evidence: Evidence, activations: tuple[str, ...]) -> Judged | None:
    rows = evidence.measured(SMALLEST)
    rows = rows[rows["activation"].isin(activations)]
    if not len(rows):
        return None
    share = float((rows["value"] > 0).mean())
    return Judged(
        f"{100 * share:.1f}% of {len(rows)} networks, smallest {rows['value'].min():.2g}",
        share == 1,
    )


CONDITIONING = (
    Recipe(
        name="conditioning",
        title="inference is ill-conditioned in deep networks from the start",
        source="T5.4.1, figs. 5.2, 5.4, C.22",
        small=Setting(
            "condition number of the activity Hessian of untrained networks of every kind, N and H "
            "of 2, 8 and 32, digits, dense eigenvalues in float64, 3 seeds",
            calculate=lambda data_dir: spectra(data_dir, tuple(VARIANTS)),
            seconds=60,
        ),
        full=Setting(
            "the same on MNIST by products with the Hessian, N of 2 to 512 and H of 2 to 128 (the "
            "thesis ends at 128, its memory limit), 3 seeds",
            lambda data_dir: untrained(data_dir, (*POWERS, 256, 512), POWERS),
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "conditioning worsens with depth under SP",
                "T fig. 5.2",
                "kappa rises with H for every activation",
                "at least 2-fold over the depths, mean over widths",
                grows_with_depth,
            ),
            Claim(
                "conditioning worsens with width under SP",
                "T fig. 5.2",
                "kappa rises with N for every activation",
                "any rise over the widths, mean over depths",
                grows_with_width,
            ),
            Claim(
                "depth matters more than width",
                "T fig. 5.2",
                "kappa rises more with H than with N",
                "over the same range of sizes, every activation",
                depth_matters_more,
            ),
            Claim(
                "skip connections make conditioning far worse",
                "T fig. C.22",
                "kappa with skips far above kappa without",
                "at least 10-fold in the largest network, every activation",
                residual_is_worse,
            ),
            Claim(
                "muPC is highly ill-conditioned with depth",
                "T fig. 5.4",
                "kappa rises steeply with H",
                "at least 10-fold at the greatest width, every activation",
                lambda evidence: worsens(evidence, "mupc", ACTIVATIONS),
            ),
            Claim(
                "orthogonal initialisation is highly ill-conditioned with depth",
                "T fig. 5.4",
                "kappa rises steeply with H",
                "at least 10-fold at the greatest width, linear and tanh",
                lambda evidence: worsens(evidence, "orthogonal", ("linear", "tanh")),
            ),
            Claim(
                "muPC and orthogonal networks are as ill-conditioned as SP with skips",
                "T5.5",
                "the same order of magnitude",
                "within a factor 10 in the largest network",
                similar_to_residual_sp,
            ),
            Claim(
                "seeds give similar results",
                "T fig. 5.2",
                "the same condition number",
                "within a factor 2, SP",
                seeds_agree,
            ),
            Claim(
                "the landscape of linear networks is strictly convex",
                "T5.4.1, thm. A.1",
                "all eigenvalues positive",
                "no exception",
                lambda evidence: positive(evidence, ("linear",)),
            ),
            Claim(
                "the landscape of nonlinear networks appears convex too",
                "T5.4.1, figs. C.7, C.22",
                "all eigenvalues positive",
                "no exception",
                lambda evidence: positive(evidence, ("tanh", "relu")),
            ),
        ),
        figures={
            "fig-5.2-conditioning": lambda evidence: maps(evidence, ("sp",), 3),
            "fig-5.4-c.22-conditioning": lambda evidence: maps(
                evidence, ("sp with skips", "mupc", "orthogonal", "sp gaussian"), 3
            ),
        },
        choices="Table 5.1 draws SP weights from N(0, 1/N); C.4 uses a uniform distribution "
        "with a third of that variance and states that it was used. Claims are judged on "
        "C.4's weights; 'sp gaussian' has those of table 5.1. Orthogonal gains are 1, and "
        "1.05 for tanh (from the authors' published code).",
    ),
)
