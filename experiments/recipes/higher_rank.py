"""Thesis 4.5: saddles of the equilibrated energy whose product has a rank above zero."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS
from pccore.theory.landscape import equilibrated_energy_of, loss_of, weight_hessian

if TYPE_CHECKING:
    from experiments.figures.measured import Figure

RANK = 3
"""The rank of the targets."""

SAMPLES = 12
LOWEST, GRADIENT, GAP = "lowest_eigenvalue", "largest_gradient", "energy_below_loss"


def saddle(
    rank: int, depth: int, width: int, seed: int
) -> "tuple[list[jax.Array], jax.Array, jax.Array]":
    """Return balanced matrices whose product is the best fit of a rank, white inputs and targets.

    The targets are M x with M of rank `RANK`. Only `rank` of the hidden units have weights.
    """
    random = np.random.default_rng(seed)
    size = RANK + 1
    x = np.linalg.qr(random.normal(size=(SAMPLES, size)))[0] * SAMPLES**0.5
    M = random.normal(size=(size, RANK)) @ random.normal(size=(RANK, size)) / size
    U, s, Vt = np.linalg.svd(M)
    share = np.where(np.arange(size) < rank, s, 0) ** (1 / (depth + 1))
    place = np.arange(size)
    first, inner, last = (np.zeros(s) for s in ((width, size), (width, width), (size, width)))
    first[:size], inner[place, place], last[:, :size] = share[:, None] * Vt, share, U * share
    matrices = [first, *[inner] * (depth - 1), last]
    return [jnp.asarray(W) for W in matrices], jnp.asarray(x), jnp.asarray(x @ M.T)


def spectra(depths: tuple[int, ...], width: int) -> Iterator[Row]:
    """Yield the lowest eigenvalue of both Hessians at saddles of every rank below the targets'."""
    objectives = {"energy": equilibrated_energy_of, "loss": loss_of}
    hessian = jax.jit(weight_hessian, static_argnums=0)
    with jax.enable_x64(True):
        for depth in depths:
            for rank in range(RANK):
                for seed in SEEDS:
                    where: Row = {"depth": depth, "width": width, "seed": seed, "step": rank}
                    problem = saddle(rank, depth, width, seed)
                    for variant, objective in objectives.items():
                        slopes = jax.grad(objective)(*problem)
                        steepest = max(float(jnp.abs(g).max()) for g in slopes)
                        lowest = float(jnp.linalg.eigvalsh(hessian(objective, *problem))[0])
                        yield {"quantity": GRADIENT, "variant": variant, "value": steepest, **where}
                        yield {"quantity": LOWEST, "variant": variant, "value": lowest, **where}
                    gap = float(loss_of(*problem) - equilibrated_energy_of(*problem))
                    yield {"quantity": GAP, "variant": "energy", "value": gap, **where}


def by_rank(evidence: Evidence, quantity: str, variant: str) -> "dict[int, tuple[float, float]]":
    """Return the least and the greatest value by rank, over depths and seeds."""
    rows = evidence.measured(quantity, variant=variant)
    found = rows.groupby("step")["value"].agg(["min", "max"])
    return {int(float(str(rank))): (row["min"], row["max"]) for rank, row in found.iterrows()}


def are_critical(evidence: Evidence) -> Judged | None:
    worst = evidence.measured(GRADIENT)["value"]
    gap = evidence.measured(GAP)["value"].abs()
    if not len(worst) or not len(gap):
        return None
    text = f"gradients at most {worst.max():.1g}; loss and energy at most {gap.max():.1g} apart"
    return Judged(text, bool(worst.max() < 1e-9 and gap.max() < 1e-9))


def energy_is_strict(evidence: Evidence) -> Judged | None:
    found = by_rank(evidence, LOWEST, "energy")
    if len(found) < RANK:
        return None
    words = ", ".join(
        f"rank {rank}: {low:.2g} to {high:.2g}" for rank, (low, high) in found.items()
    )
    return Judged(f"lowest eigenvalues {words}", all(high < -1e-6 for _, high in found.values()))


def energy_is_stricter(evidence: Evidence) -> Judged | None:
    keys = ["depth", "step", "seed"]
    energy, loss = (
        evidence.measured(LOWEST, variant=name).set_index(keys)["value"]
        for name in ("energy", "loss")
    )
    if not len(energy) or not len(loss):
        return None
    flat = int((loss > -1e-9).sum())
    below = int((energy < loss - 1e-9).sum())
    text = f"below the loss's in {below} of {len(loss)}, {flat} of which are not strict in the loss"
    return Judged(text, below == len(loss) and flat > 0)


def figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = evidence.measured(LOWEST)
    return lines(
        rows.assign(rank=rows["step"]),
        Axis("rank", "rank of the saddle"),
        Axis("value", "lowest eigenvalue of the Hessian"),
        "variant",
        "depth",
    )


def setting(depths: tuple[int, ...], width: int, seconds: float) -> Setting:
    return Setting(
        f"linear networks, H = {', '.join(map(str, depths))}, N = {width}, balanced at the best "
        f"fits of rank 0, 1, 2 of {RANK + 1}-dimensional targets of rank {RANK}, 3 seeds",
        calculate=lambda data_dir: spectra(depths, width),
        seconds=seconds,
    )


HIGHER_RANK = (
    Recipe(
        name="higher-rank-saddles",
        title="saddles of higher rank are strict in the equilibrated energy",
        source="T4.5, 4.6",
        small=setting((1, 2, 3), 6, 20),
        full=setting((1, 2, 3, 4), 16, 400),
        claims=(
            Claim(
                "the best fits of lower rank are critical points of both, with the same value",
                "T 4.5",
                "gradients of 0; F* = loss",
                "1e-9",
                are_critical,
            ),
            Claim(
                "saddles of higher rank are strict in the equilibrated energy",
                "T 4.6 (conjecture)",
                "a negative eigenvalue of the Hessian",
                "at every rank, depth and seed",
                energy_is_strict,
            ),
            Claim(
                "they are so where the loss's saddle is not, and more strictly where it is",
                "T 4.5, fig. 4.6",
                "a lower lowest eigenvalue than the loss's, some of which are 0",
                "at every rank, depth and seed",
                energy_is_stricter,
            ),
        ),
        figures={"higher-rank-eigenvalues": figure},
        choices="The thesis tests these saddles by escape times alone (fig. 4.6, "
        "`matrix-completion`). docs/theory.md proves the conjecture wherever a hidden unit of the "
        "last layer is unused, as here.",
    ),
)
