"""Condition numbers of the activity Hessian, as the conditioning recipes measure and draw them."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Row
from experiments.settings import ACTIVATIONS, SEEDS, batch, stack

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

KAPPA = "activity_hessian_condition_number"
SMALLEST = "activity_hessian_smallest_eigenvalue"
SOURCE = "thesis 5.4.1, C.4"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "sp": {"parameterisation": "sp", "residual": False},
    "sp gaussian": {"parameterisation": "sp_gaussian", "residual": False},
    "sp with skips": {"parameterisation": "sp", "residual": True},
    "mupc": {"parameterisation": "mupc", "residual": True},
    "orthogonal": {"parameterisation": "orthogonal", "residual": False},
}
SIZES = (2, 8, 32)
POWERS = tuple(2**i for i in range(1, 8))


def spectra(data_dir: Path | None, variants: tuple[str, ...], **options: Any) -> Iterator[Row]:
    """Yield dense eigenvalues in float64; one compiled program per shape, small networks only."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from pccore.theory.activity_hessian import hessian_blocks

    x, y = batch("digits", data_dir, 1)

    def hessian(config: pccore.NetworkConfig, seed: jax.Array) -> jax.Array:
        return hessian_blocks(
            config.build(jax.random.key(seed)).relaxation(jnp.asarray(x), jnp.asarray(y))
        ).dense()

    with jax.enable_x64(True):
        compiled = jax.jit(hessian, static_argnums=0)
        for variant, phi, width, depth in itertools.product(variants, ACTIVATIONS, SIZES, SIZES):
            known = {"variant": variant, "activation": phi, "width": width, "depth": depth}
            known |= {"dataset": "digits", "source": SOURCE, **VARIANTS[variant]}
            config = stack("digits", width, depth, activation=phi, **VARIANTS[variant], **options)
            for seed in SEEDS:
                values = np.linalg.eigvalsh(np.asarray(compiled(config, seed)))
                kappa = np.abs(values).max() / np.abs(values).min()
                yield {**known, "seed": seed, "quantity": KAPPA, "value": float(kappa)}
                yield {**known, "seed": seed, "quantity": SMALLEST, "value": float(values[0])}


def geometric_mean(values: "pd.Series") -> float:
    """Return exp of the mean logarithm."""
    import numpy as np

    return float(np.exp(np.log(values).mean()))


def maps(evidence: Evidence, variants: tuple[str, ...], columns: int) -> "Figure":
    from experiments.figures.measured import Axis, heat
    from results.figures import style

    rows = evidence.measured(KAPPA)
    rows = rows[rows["variant"].isin(variants)]
    named = rows["activation"]
    if len(variants) > 1:
        named = rows["variant"].map(style.label) + ", " + named
    return heat(
        rows.assign(network=named),
        Axis("width", "N, width"),
        Axis("depth", "H, hidden layers"),
        Axis("value", "condition number", log=True),
        "network",
        columns=columns,
    )
