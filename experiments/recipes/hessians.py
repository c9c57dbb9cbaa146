"""Thesis sections 4.4.2, 4.4.3: Hessians at saddles, by automatic differentiation and by theory."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import batch
from pccore.relaxation import gradient_steps
from pccore.theory.origin import OriginHessian
from pccore.theory.saddles import ZeroRankHessian

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

BATCH, INFERENCE_STEPS, RATE = 64, 50, 0.1
CONVERGED_STEPS = 150
"""T where W_{L-1} is not zero: 50 steps leave a deviation of 2.4%, 150 steps 0.0015%."""
"""T steps of 0.1 of the per-sample gradient (B.4)."""
PRODUCTS = 64
"""Hessian products computed at a time."""
SHOWN = 40
"""Number of lowest eigenvalues in figures."""


class Case(NamedTuple):
    """A linear network and the data at which its Hessian is taken.

    Attributes:
        data: "toy", "toy, y2 = x2" (both 3-dimensional), "chain" (1-dimensional), or a data set.
        width: N.
        depth: H.
    """

    data: str
    width: int
    depth: int


TOY = [Case(data, 3, depth) for data in ("toy", "toy, y2 = x2") for depth in (1, 2)]
CHAINS = [Case("chain", 1, depth) for depth in (1, 2, 3)]


def images(depths: Sequence[int], mnist: Sequence[int], mnist1d: Sequence[int]) -> list[Case]:
    """Return a network of every depth for both data sets, with its width."""
    return [
        Case(data, width, depth)
        for data, widths in (("mnist", mnist), ("mnist1d", mnist1d))
        for depth, width in zip(depths, widths, strict=True)
    ]


def samples(data: str, data_dir: Path | None) -> tuple[Array, Array]:
    """Return a batch: x ~ N(1, 0.1) with y = -x (B.4), or the first training samples."""
    if data in ("mnist", "mnist1d"):
        x, y = batch(data, data_dir, BATCH)
    else:
        x = np.random.default_rng(0).normal(1, 0.1, (BATCH, 1 if data == "chain" else 3))
        y = -x
        if data == "toy, y2 = x2":
            y[:, 1] = x[:, 1]
    return jnp.asarray(x), jnp.asarray(y)


def loss(network: pccore.Network, x: Array, y: Array) -> Float[Array, ""]:
    return network.relaxation(x, y).loss()


def energy(network: pccore.Network, x: Array, y: Array, steps: int) -> Float[Array, ""]:
    """Return the energy after inference; derivatives pass through inference."""
    relaxation = network.relaxation(x, y)
    rate = jnp.asarray(RATE, x.dtype)
    inferred = gradient_steps(relaxation, relaxation.origin(), rate, steps)
    return jnp.sum(relaxation.energies(inferred))


@partial(jax.jit, static_argnums=0)
def hessian(
    landscape: Callable[..., Array], network: pccore.Network, x: Array, y: Array
) -> Float[Array, "p p"]:
    """Return the Hessian, one product (derivative of the gradient along one weight) per column."""
    weights, unravel = ravel_pytree(network)
    slope = jax.grad(lambda weights: landscape(unravel(weights), x, y))

    def column(direction: Array) -> Array:
        return jax.jvp(slope, (weights,), (direction,))[1]

    return jax.lax.map(column, jnp.eye(len(weights)), batch_size=PRODUCTS)


Saddle = tuple[pccore.Network, Mapping[str, OriginHessian | ZeroRankHessian]]
"""A network and the theoretical Hessians of its loss and energy."""


def at_origin(case: Case, x: Array, y: Array) -> Saddle:
    """Return the network with zero weights, and both landscapes' Hessians there (eqs. 4.6, 4.8)."""
    hidden = [case.width] * case.depth
    return _network(case, x, y, 0.0), {
        "loss": OriginHessian.of_loss(x, y, hidden),
        "energy": OriginHessian.of_energy(x, y, hidden),
    }


def at_zero_rank(case: Case, x: Array, y: Array) -> Saddle:
    """Return weights that are zero except W_{L-1}, which has SP's variance (figures B.3, B.4)."""
    std = (*(0.0,) * (case.depth - 1), (3 * case.width) ** -0.5, 0.0)
    network = _network(case, x, y, std)
    matrices = [network.first, *network.hidden, network.last]
    return network, {
        "loss": ZeroRankHessian.of_loss(matrices, x, y),
        "energy": ZeroRankHessian.of_energy(matrices, x, y),
    }


def _network(case: Case, x: Array, y: Array, std: float | tuple[float, ...]) -> pccore.Network:
    return pccore.NetworkConfig(
        x.shape[-1],
        y.shape[-1],
        case.width,
        case.depth,
        activation="linear",
        residual=False,
        parameterisation="sp",
        initial_std=std,
    ).build(jax.random.key(0))


def calculate(
    data_dir: Path | None,
    *,
    saddle: Callable[[Case, Array, Array], Saddle],
    cases: Sequence[Case],
    steps: int = INFERENCE_STEPS,
) -> Iterator[Row]:
    """Yield numerical and theoretical eigenvalues of every case, and the toys' whole matrices."""
    inferred = partial(energy, steps=steps)
    with jax.enable_x64(True):
        for case in cases:
            x, y = samples(case.data, data_dir)
            network, theory = saddle(case, x, y)
            for variant, landscape in (("loss", loss), ("energy", inferred)):
                where = {
                    "variant": variant,
                    "dataset": case.data,
                    "width": case.width,
                    "depth": case.depth,
                    "batch_size": BATCH,
                    "inference_step": steps if variant == "energy" else None,
                }
                numerical = hessian(landscape, network, x, y)
                yield from _spectrum("hessian_eigenvalue", jnp.linalg.eigvalsh(numerical), where)
                expected = theory[variant].eigenvalues()
                yield from _spectrum("theoretical_hessian_eigenvalue", expected, where)
                if case.data.startswith("toy"):
                    yield from _entries(numerical, where)


def _spectrum(quantity: str, values: Array, where: Row) -> Iterator[Row]:
    for index, value in enumerate(np.asarray(values)):
        settings = json.dumps({"index": index})
        yield {"quantity": quantity, "value": float(value), "settings": settings, **where}


def _entries(matrix: Array, where: Row) -> Iterator[Row]:
    for (row, column), value in np.ndenumerate(np.asarray(matrix)):
        settings = json.dumps({"row": row, "column": column})
        yield {
            "quantity": "hessian_entry",
            "value": float(value),
            "settings": settings,
            **where,
        }


CASE = ["dataset", "width", "depth"]


def spectra(evidence: Evidence) -> "pd.DataFrame":
    """Return a row for each eigenvalue of each landscape: numerical and theoretical value."""
    names = {"hessian_eigenvalue": "numerical", "theoretical_hessian_eigenvalue": "theory"}
    rows = evidence.measurements[evidence.measurements["quantity"].isin(names)]
    rows = rows.assign(index=[json.loads(text)["index"] for text in rows["settings"]])
    table = rows.pivot_table(
        index=[*CASE, "variant", "index"], columns="quantity", values="value", observed=True
    )
    return table.reset_index().rename(columns=names)


def theory_is_exact(evidence: Evidence) -> Judged | None:
    """Judge deviations relative to the energy's largest absolute eigenvalue."""
    table = spectra(evidence)
    if table.empty:
        return None
    energies = table[table["variant"] == "energy"]
    deviations = {
        case: float((own["numerical"] - own["theory"]).abs().max() / own["theory"].abs().max())
        for case, own in energies.groupby(CASE)
    }
    worst = max(deviations, key=deviations.__getitem__)
    measured = (
        f"largest deviation {100 * deviations[worst]:.2g}%, {_named(worst)}, of "
        f"{len(deviations)} networks"
    )
    return Judged(measured, deviations[worst] <= 0.01)


def energy_is_strict(evidence: Evidence) -> Judged | None:
    """Judge that the energy's lowest eigenvalue is negative and below the loss's."""
    table = spectra(evidence)
    if table.empty:
        return None
    lowest = table.groupby([*CASE, "variant"])["numerical"].min().unstack()
    measured = (
        f"lowest eigenvalues from {lowest['energy'].min():.3g} to {lowest['energy'].max():.3g}, "
        f"of the loss from {lowest['loss'].min():.3g} to {lowest['loss'].max():.3g}"
    )
    strict = (lowest["energy"] < -1e-3) & (lowest["energy"] < lowest["loss"])
    return Judged(measured, bool(strict.all()))


def loss_is_flat_when_deep(evidence: Evidence) -> Judged | None:
    """Judge that the loss's Hessian is null for H > 1 compared with the energy's."""
    table = spectra(evidence)
    table = table[table["depth"] > 1]
    if table.empty:
        return None
    largest = table["numerical"].abs().groupby([table[c] for c in [*CASE, "variant"]]).max()
    ratios = largest.xs("loss", level="variant") / largest.xs("energy", level="variant")
    by_depth = ratios.groupby(level="depth").max()
    measured = ", ".join(f"{ratio:.2g} at H = {depth}" for depth, ratio in by_depth.items())
    return Judged(f"largest, relative to the energy's: {measured}", bool((ratios < 1e-6).all()))


def loss_is_strict_when_shallow(evidence: Evidence) -> Judged | None:
    table = spectra(evidence)
    table = table[(table["depth"] == 1) & (table["variant"] == "loss")]
    if table.empty:
        return None
    lowest = table.groupby(CASE)["numerical"].min()
    measured = f"lowest eigenvalues from {lowest.min():.3g} to {lowest.max():.3g}"
    return Judged(measured, bool((lowest < -1e-3).all()))


def _named(case: Sequence[object]) -> str:
    data, width, depth = case
    return f"{data}, N = {width}, H = {depth}"


def eigenvalues(evidence: Evidence, *, toy: bool | None) -> "Figure":
    """Draw the lowest eigenvalues of both landscapes with theory, for toys, data sets or chains."""
    from experiments.figures.measured import Axis, lines

    table = spectra(evidence)
    chain, toys = table["dataset"] == "chain", table["dataset"].str.startswith("toy")
    table = table[chain if toy is None else toys if toy else ~toys & ~chain]
    table = table[table["index"] < SHOWN].copy()
    table["case"] = [_named(row) for row in zip(*(table[c] for c in CASE), strict=True)]
    return lines(
        table,
        Axis("index", "number of the eigenvalue"),
        Axis("numerical", "eigenvalue"),
        "variant",
        "case",
        dashed="theory",
        title="Lowest eigenvalues: numerical (lines) and theory (dashes)",
    )


def matrices(evidence: Evidence) -> "Figure":
    """Draw the Hessians of the toys, divided by their largest entry (figure 4.3)."""
    from experiments.figures.measured import Axis, heat

    rows = evidence.measured("hessian_entry").reset_index(drop=True)
    places = [json.loads(text) for text in rows["settings"]]
    rows["row"] = [place["row"] for place in places]
    rows["column"] = [place["column"] for place in places]
    cases = zip(*(rows[c] for c in CASE), strict=True)
    rows["case"] = [f"{_named(c)}: {v}" for c, v in zip(cases, rows["variant"], strict=True)]
    largest = rows["value"].abs().groupby(rows["case"]).transform("max")
    rows["entry"] = rows["value"] / largest.where(largest > 1e-9, 1)
    return heat(
        rows,
        Axis("column", "weight"),
        Axis("row", "weight"),
        Axis("entry", "entry of the Hessian", limits=(-1, 1)),
        "case",
        columns=4,
    )


ORIGIN_CHOICES = (
    "Depths are 1, 2 and 3, as in B.4 with its widths; fig. 4.4 gives 1, 2 and 4. Only drawings "
    "show the toy networks' sizes: N = 3, H = 1 and 2. N(1, 0.1) has standard deviation 0.1. The "
    "steps of 0.1 are on the per-sample energy. Batches are the first 64 training samples."
)
FIGURES = {
    "origin": ("fig-4.3-toy", "fig-4.4-data-sets", "fig-B.2-chains"),
    "zero-rank": ("fig-B.3-toy", "fig-B.4-data-sets"),
}
MATCH = "the eigenvalues of the numerical Hessian are those of the energy in theory"

HESSIANS = (
    Recipe(
        name="origin-hessian",
        title="the origin is a strict saddle of the energy at any depth",
        source="T4.4.2, figs. 4.3, 4.4, B.2",
        small=Setting(
            "Linear networks with weights zero, B = 64, T = 50: toy Gaussians, chains, MNIST with "
            "N = 2 and MNIST-1D with N = 10, H = 1, 2, 3",
            calculate=partial(
                calculate,
                saddle=at_origin,
                cases=[*TOY, *CHAINS, *images((1, 2, 3), (2, 2, 2), (10, 10, 10))],
            ),
            datasets=("mnist", "mnist1d"),
            seconds=60,
        ),
        full=Setting(
            "Linear networks with weights zero, B = 64, T = 50: toy Gaussians, chains, MNIST with "
            "N = 10, 10, 5 and MNIST-1D with N = 100, 50, 10 for H = 1, 2, 3",
            calculate=partial(
                calculate,
                saddle=at_origin,
                cases=[*TOY, *CHAINS, *images((1, 2, 3), (10, 10, 5), (100, 50, 10))],
            ),
            datasets=("mnist", "mnist1d"),
            seconds=2400,
        ),
        claims=(
            Claim(MATCH, "T figs. 4.3, 4.4, B.2", "equal", "1% of the largest", theory_is_exact),
            Claim(
                "the origin is a strict saddle of the energy, more strictly than of the loss",
                "T thm. 3.2",
                "lowest eigenvalue negative and below the loss's",
                "at every depth and data set",
                energy_is_strict,
            ),
            Claim(
                "the Hessian of the loss at the origin is null for H > 1",
                "T eq. 4.6",
                "0",
                "1e-6 of the energy's largest eigenvalue",
                loss_is_flat_when_deep,
            ),
            Claim(
                "for H = 1 the origin is a strict saddle of the loss too",
                "T eq. 4.7",
                "lowest eigenvalue negative",
                "none",
                loss_is_strict_when_shallow,
            ),
        ),
        figures={
            "fig-4.3-toy-hessians": matrices,
            "fig-4.3-toy-eigenvalues": partial(eigenvalues, toy=True),
            "fig-4.4-eigenvalues": partial(eigenvalues, toy=False),
            "fig-B.2-chains": partial(eigenvalues, toy=None),
        },
        choices=ORIGIN_CHOICES,
    ),
    Recipe(
        name="zero-rank-saddle",
        title="a second zero-rank saddle is strict in the energy",
        source="T4.4.3, figs. B.3, B.4",
        small=Setting(
            "Linear networks with all weights zero but the penultimate one, B = 64, T = 150: toy "
            "Gaussians and MNIST with N = 3, 2, MNIST-1D with N = 10, H = 2, 3",
            calculate=partial(
                calculate,
                saddle=at_zero_rank,
                steps=CONVERGED_STEPS,
                cases=[
                    *(Case(data, 3, H) for data in ("toy", "toy, y2 = x2") for H in (2, 3)),
                    *images((2, 3), (2, 2), (10, 10)),
                ],
            ),
            datasets=("mnist", "mnist1d"),
            seconds=60,
        ),
        full=Setting(
            "Linear networks with all weights zero but the penultimate one, B = 64, T = 150: toy "
            "Gaussians with N = 3, MNIST with N = 10, 5 and MNIST-1D with N = 50, 10 for H = 2, 3",
            calculate=partial(
                calculate,
                saddle=at_zero_rank,
                steps=CONVERGED_STEPS,
                cases=[
                    *(Case(data, 3, H) for data in ("toy", "toy, y2 = x2") for H in (2, 3)),
                    *images((2, 3), (10, 5), (50, 10)),
                ],
            ),
            datasets=("mnist", "mnist1d"),
            seconds=1600,
        ),
        claims=(
            Claim(
                MATCH,
                "T figs. B.3, B.4",
                "equal",
                "1% of the largest",
                theory_is_exact,
            ),
            Claim(
                "this saddle is strict in the energy, more strictly than in the loss",
                "T thm. 3.3",
                "lowest eigenvalue negative and below the loss's",
                "at every depth and data set",
                energy_is_strict,
            ),
            Claim(
                "the Hessian of the loss at this saddle is null for H > 1",
                "T fig. B.3",
                "0",
                "1e-6 of the energy's largest eigenvalue",
                loss_is_flat_when_deep,
            ),
        ),
        figures={
            "fig-B.3-toy-eigenvalues": partial(eigenvalues, toy=True),
            "fig-B.4-eigenvalues": partial(eigenvalues, toy=False),
        },
        choices=(
            ORIGIN_CHOICES + " With H = 1 the point is no saddle (the loss has a slope in W_2), so "
            "H = 2 and 3. The penultimate matrix has the variance that SP gives it."
        ),
    ),
)
