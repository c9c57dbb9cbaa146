"""Thesis 3.5, A.3: expansions of inference's equilibrium and weight gradient at a forward pass."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS, batch, stack
from pccore.theory.expansion import trust_region_expansion, trust_region_gradient

if TYPE_CHECKING:
    import jax
    import pandas as pd

    from experiments.figures.measured import Figure

SHARES = tuple(2.0**-k for k in range(7))
"""Positions of targets between the prediction (0) and the label (1)."""

ACTIVATIONS = ("linear", "tanh")
PARTS = {
    "activities": "activities, eq. 3.5",
    "energy": "energy, eq. 3.4",
    "printed": "gradient, eq. 3.6",
    "corrected": "gradient, eq. 3.6 corrected",
    "bp": "gradient, BP",
}
MISPRINT = (
    "The claim itself is the cause: eq. A.17 replaces the loss's curvature by -I. With the "
    "curvature itself, as in the two claims below, the expansion holds, with the sign of the "
    "direction reversed."
)
ITERATIONS = 20  # iterations of Gauss-Newton for the equilibrium


def errors(data_dir: Path | None, dataset: str, width: int, depth: int) -> Iterator[Row]:
    """Yield errors of every part of the expansion, relative to the expanded quantity."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        x, labels = (jnp.asarray(part) for part in batch(dataset, data_dir))
        for activation in ACTIVATIONS:
            config = stack(
                dataset, width, depth, activation=activation, residual=False,
                parameterisation="sp_gaussian",
            )  # fmt: skip

            def along(seed: Any, config: Any = config) -> Any:
                network = config.build(jax.random.key(seed))
                return jax.lax.map(partial(relative_errors, network, x, labels), jnp.array(SHARES))

            known = {
                "dataset": dataset, "activation": activation, "residual": False,
                "parameterisation": "sp_gaussian", "width": width, "depth": depth,
                "batch_size": len(x), "source": "thesis 3.5",
            }  # fmt: skip
            compiled = jax.jit(along)
            for seed in SEEDS:
                for part, values in jax.device_get(compiled(seed)).items():
                    for share, value in zip(SHARES, values, strict=True):
                        settings = json.dumps({"part": part, "share": share})
                        own = {"seed": seed, "settings": settings, "value": float(value)}
                        yield {"quantity": "expansion_error", **own, **known}


def relative_errors(
    network: pccore.Network, x: "jax.Array", labels: "jax.Array", share: "jax.Array"
) -> "dict[str, jax.Array]":
    """Return relative errors of every part, for targets at a share of the way to the label."""
    import jax
    import jax.numpy as jnp

    from pccore.inference.base import norm

    prediction = network.predict(x)
    y = prediction + share * (labels - prediction)
    relaxation = network.relaxation(x, y)
    exact = pccore.GaussNewton(ITERATIONS).infer(relaxation, jnp.zeros(())).departure
    expansion = trust_region_expansion(relaxation)
    gradient = relaxation.weight_gradients(exact)
    bp, trust_region = trust_region_gradient(network, x, y)
    _, pull = jax.vjp(lambda network: network.forward(x), network)
    direction = pull(-expansion.departure / len(x))[0]  # eq. 3.6: dz/dtheta I^-1 g

    def off(found: object, expected: object) -> "jax.Array":
        return norm(jax.tree.map(jnp.subtract, found, expected)) / norm(expected)

    return {
        "activities": off(expansion.departure, exact),
        "energy": off(expansion.energy, jnp.sum(relaxation.energies(exact))),
        "printed": off(jax.tree.map(jnp.add, bp, direction), gradient),
        "corrected": off(jax.tree.map(jnp.add, bp, trust_region), gradient),
        "bp": off(bp, gradient),
    }


def table(evidence: Evidence, activation: str) -> "pd.DataFrame | None":
    """Return median relative errors over seeds, a row for each share, a column for each part."""
    import pandas as pd

    rows = evidence.measured("expansion_error", activation=activation)
    if not len(rows):
        return None
    own = pd.DataFrame([json.loads(text) for text in rows["settings"]], index=rows.index)
    found = rows.join(own).pivot_table(
        index="share", columns="part", values="value", aggfunc="median"
    )
    return found if set(found.columns) >= set(PARTS) and len(found) > 1 else None


def vanishes(evidence: Evidence, part: str) -> Judged | None:
    """Judge that a relative error vanishes at least in proportion to the residual."""
    import numpy as np

    found = table(evidence, "tanh")
    if found is None:
        return None
    near = found[part].iloc[:2]
    order = float(np.log(near.iloc[1] / near.iloc[0]) / np.log(near.index[1] / near.index[0]))
    measured = (
        f"{found[part].iloc[-1]:.2g} at the labels, {near.iloc[0]:.2g} at "
        f"1/{1 / near.index[0]:.0f} of the way: order {order:.2f}"
    )
    return Judged(measured, order >= 0.9)


def linear_is_exact(evidence: Evidence) -> Judged | None:
    found = table(evidence, "linear")
    if found is None:
        return None
    worst = found[["activities", "energy"]].max().max()
    return Judged(f"at most {worst:.0e}", bool(worst <= 1e-6))


def closer_than_bp(evidence: Evidence, part: str) -> Judged | None:
    parts, holds = [], True
    for activation in ACTIVATIONS:
        found = table(evidence, activation)
        if found is None:
            return None
        last = found.iloc[-1]
        parts.append(f"{activation} {last[part]:.2g}, BP {last['bp']:.2g}")
        holds &= bool(last[part] < last["bp"])
    return Judged(f"relative error {'; '.join(parts)}", holds)


def figure(evidence: Evidence) -> "Figure":
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    rows = evidence.measured("expansion_error")
    own = pd.DataFrame([json.loads(text) for text in rows["settings"]], index=rows.index)
    # rounding errors of exact parts
    rows = rows.join(own).assign(value=rows["value"].clip(lower=1e-12))
    keys = ["activation", "part", "share"]
    medians = rows.groupby(keys)["value"].median().reset_index()
    return lines(
        medians.assign(part=medians["part"].map(PARTS)),
        Axis("share", "residual, of that at the labels", log=True),
        Axis("value", "relative error", log=True),
        "part",
        "activation",
        title="Expansions of the equilibrium about a forward pass",
    )


SECOND_ORDER = (
    Recipe(
        name="second-order-expansion",
        title="inference as a trust-region step, and its contribution to BP's gradient",
        source="T3.5, A.3",
        small=Setting(
            "digits, N = 32, H = 5, linear and tanh, Gaussian SP, residuals of 1 to 1/64 times "
            "that of the labels, 3 seeds, in float64",
            calculate=lambda data_dir: errors(data_dir, "digits", 32, 5),
            seconds=30,
        ),
        full=Setting(
            "MNIST, N = 500, H = 10, linear and tanh, Gaussian SP, residuals of 1 to 1/64 times "
            "that of the labels, 3 seeds, in float64",
            calculate=lambda data_dir: errors(data_dir, "mnist", 500, 10),
            datasets=("mnist",),
            seconds=1200,
        ),
        claims=(
            Claim(
                "the equilibrium is a trust-region step away from the forward pass",
                "T eq. 3.5",
                "a relative error that vanishes with the residual",
                "of order 0.9 at least, median of seeds",
                lambda evidence: vanishes(evidence, "activities"),
            ),
            Claim(
                "at the equilibrium the energy is its second-order expansion",
                "T eq. 3.4",
                "a relative error that vanishes with the residual",
                "of order 0.9 at least, median of seeds",
                lambda evidence: vanishes(evidence, "energy"),
            ),
            Claim(
                "in linear networks both are exact",
                "T A.3",
                "no error",
                "1e-6, relative",
                linear_is_exact,
            ),
            Claim(
                "PC's weight gradient is BP's plus the trust-region direction",
                "T eq. 3.6",
                "a relative error that vanishes with the residual",
                "of order 0.9 at least, median of seeds",
                lambda evidence: vanishes(evidence, "printed"),
            ),
            Claim(
                "this approximates PC's gradient better than BP's gradient alone",
                "T 3.5",
                "a smaller relative error",
                "at the labels, linear and tanh",
                lambda evidence: closer_than_bp(evidence, "printed"),
            ),
            Claim(
                "eq. 3.6 holds with the loss's curvature times the step as the direction",
                "T eq. 3.6, corrected as in docs/theory.md",
                "a relative error that vanishes with the residual",
                "of order 0.9 at least, median of seeds",
                lambda evidence: vanishes(evidence, "corrected"),
            ),
            Claim(
                "this corrected form approximates PC's gradient better than BP's gradient alone",
                "T 3.5",
                "a smaller relative error",
                "at the labels, linear and tanh",
                lambda evidence: closer_than_bp(evidence, "corrected"),
            ),
        ),
        figures={"sec-3.5-expansion": figure},
        choices=(
            "The thesis derives this without measurements. Networks are as deep as those of "
            "its 3.6, with weights under which tanh saturates and activities do not vanish. "
            "Moving the targets towards the predictions makes residuals small."
        ),
    ),
)
