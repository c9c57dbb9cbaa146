"""Thesis C.2.5: the inference landscape of equilibrium propagation is not always convex."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

NUDGES = (0.0, 0.5)
LAST = tuple(np.round(np.arange(0.1, 2.01, 0.1), 2))
"""Values of w_2 of the scalar network."""

LOWEST = "lowest_eigenvalue"
CHAIN, UNDECAYED = "chain", "chain without decay"
PARAMETERISATIONS = ("sp", "sp_gaussian", "mupc", "orthogonal")


def network(parameterisation: str, width: int, depth: int, seed: int) -> "pccore.HopfieldNetwork":
    size = 1 if width == 1 else 16
    stack = pccore.NetworkConfig(size, size, width, depth, "linear", False, parameterisation)
    return pccore.HopfieldConfig(stack).build(jax.random.key(seed))


def spectra(width: int, depths: tuple[int, ...]) -> Iterator[Row]:
    """Yield lowest eigenvalues of the activity Hessian: scalar networks by w_2, and wide ones."""
    with jax.enable_x64(True):
        scalar = network("sp", 1, 1, 0)
        for w, nudge in product(LAST, NUDGES):
            weights = replace(scalar.weights, last=jnp.full((1, 1), w))
            H = replace(scalar, weights=weights).hessian(nudge)
            for kept, variant in ((H, CHAIN), (H - jnp.eye(2), UNDECAYED)):
                settings = json.dumps({"w_2": float(w), "nudge": nudge})
                lowest = float(jnp.linalg.eigvalsh(kept)[0])
                yield {
                    "quantity": LOWEST,
                    "variant": variant,
                    "settings": settings,
                    "value": lowest,
                }
        for name, depth, seed in product(PARAMETERISATIONS, depths, SEEDS):
            H = network(name, width, depth, seed).hessian(0.0)
            lowest = float(jnp.linalg.eigvalsh(H)[0])
            where: Row = {"variant": f"wide {name}", "depth": depth, "width": width, "seed": seed}
            yield {"quantity": LOWEST, "value": lowest, **where}


def scalars(evidence: Evidence, variant: str) -> "pd.DataFrame":
    """Return the lowest eigenvalue of scalar networks by w_2 and nudge."""
    rows = evidence.measured(LOWEST, variant=variant)
    keys = [json.loads(text) for text in rows["settings"]]
    return rows.assign(w_2=[key["w_2"] for key in keys], nudge=[key["nudge"] for key in keys])


def free_scalar_is_not_convex(evidence: Evidence) -> Judged | None:
    rows = scalars(evidence, CHAIN)
    rows = rows[rows["nudge"] == 0]
    if not len(rows):
        return None
    negative = rows[rows["value"] < -1e-12]["w_2"]
    text = f"negative from w_2 = {negative.min():g} on, {negative.max():g} the largest tried"
    return Judged(text, set(negative) == {w for w in rows["w_2"] if w > 1})


def nudged_scalar_is_not_convex(evidence: Evidence) -> Judged | None:
    rows = scalars(evidence, CHAIN)
    rows = rows[rows["nudge"] > 0]
    if not len(rows):
        return None
    negative = rows[rows["value"] < -1e-12]["w_2"]
    nudge = rows["nudge"].iloc[0]
    text = f"negative from w_2 = {negative.min():g} on at nudge {nudge:g}, sqrt(1 + nudge) = " + (
        f"{(1 + nudge) ** 0.5:.3g}"
    )
    return Judged(text, set(negative) == {w for w in rows["w_2"] if w > 1})


def never_convex_without_decay(evidence: Evidence) -> Judged | None:
    rows = scalars(evidence, UNDECAYED)
    if not len(rows):
        return None
    negative = rows["value"] < 0
    return Judged(f"negative in {negative.sum()} of {len(rows)} networks", bool(negative.all()))


def wide_networks_are_not_convex(evidence: Evidence) -> Judged | None:
    rows = evidence.measurements
    rows = rows[rows["variant"].astype(str).str.startswith("wide ")]
    if not len(rows):
        return None
    words = ", ".join(
        f"{str(name).removeprefix('wide ')} {(values < 0).sum()} of {len(values)}"
        for name, values in rows.groupby("variant")["value"]
    )
    return Judged(f"negative eigenvalues: {words}", bool((rows["value"] < 0).any()))


def figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = scalars(evidence, CHAIN)
    return lines(rows, Axis("w_2", "w_2"), Axis("value", "lowest eigenvalue"), "nudge")


def setting(width: int, depths: tuple[int, ...], seconds: float) -> Setting:
    return Setting(
        f"linear networks of equilibrium propagation: scalar with one hidden unit and w_2 of 0.1 "
        f"to 2, and N = {width}, H = {', '.join(map(str, depths))} of four parameterisations",
        calculate=lambda data_dir: spectra(width, depths),
        seconds=seconds,
    )


EQUILIBRIUM_PROPAGATION = (
    Recipe(
        name="equilibrium-propagation",
        title="the inference landscape of equilibrium propagation is not always convex",
        source="T C.2.5",
        small=setting(32, (2, 4, 8), 10),
        full=setting(128, (2, 4, 8, 16), 60),
        claims=(
            Claim(
                "the free energy of a scalar network has a negative eigenvalue where w_2 > 1",
                "T C.2.5",
                "negative there, and nowhere else",
                "a grid of 0.1",
                free_scalar_is_not_convex,
            ),
            Claim(
                "the nudged energy of a scalar network has a negative eigenvalue where w_2 > 1",
                "T C.2.5",
                "negative there, and nowhere else",
                "a grid of 0.1, nudge 0.5",
                nudged_scalar_is_not_convex,
            ),
            Claim(
                "without the regulariser of the activities it is never convex",
                "T C.2.5",
                "a negative eigenvalue",
                "at every w_2 and nudge",
                never_convex_without_decay,
            ),
            Claim(
                "the landscape of equilibrium propagation is not necessarily convex",
                "T C.2.5",
                "a negative eigenvalue in some network",
                "any, initial weights",
                wide_networks_are_not_convex,
            ),
        ),
        figures={"equilibrium-propagation-eigenvalues": figure},
        choices="Both matrices have positive weights, whose signs do not matter. The thesis does "
        "not name the phase of its example: both are judged.",
    ),
)
