"""Thesis C.3.2: the distance of activities from equilibrium, barely changed by inference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS, batch, stack
from pccore.starts import Start

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from experiments.figures.measured import Figure

BETAS = (0.1, 1.0, 10.0, 100.0)
STARTS: dict[str, Start] = {"forward": pccore.ForwardStart(), "normal": pccore.NormalStart()}
SOURCE = "thesis C.3.2"
EQUILIBRIUM_ITERATIONS = 20  # iterations of Gauss-Newton; linear networks need only one


class Case(NamedTuple):
    """One panel of the figures.

    Attributes:
        name: the column `dataset` of its rows.
        width: N.
        depth: H.
        activation: phi.
        starts: names in `STARTS`.
    """

    name: str
    width: int
    depth: int
    activation: str
    starts: tuple[str, ...]


CHAIN = Case("toy", 1, 64, "linear", ("forward", "normal"))
WIDE = Case("mnist", 128, 16, "linear", ("forward",))
RELU = Case("mnist", 128, 16, "relu", ("forward",))


def toy(size: int = 64) -> "tuple[np.ndarray, np.ndarray]":
    """Return y = -x + noise, x ~ N(1, 1), noise ~ N(0, 0.5) (figure C.10)."""
    import numpy as np

    random = np.random.RandomState(0)
    x = 1 + random.standard_normal((size, 1))
    return x, -x + 0.5**0.5 * random.standard_normal((size, 1))


def trajectories(data_dir: Path | None, *cases: Case) -> Iterator[Row]:
    """Yield distance to the equilibrium and norm of activities, for T = H steps of descent."""
    import jax
    import numpy as np

    with jax.enable_x64(True):
        for case in cases:
            data = toy() if case.width == 1 else batch(case.name, data_dir)
            for variant in ("sp", "mupc"):
                config = network(case, variant)
                for start in case.starts:
                    seen = _observed(config, start, data, jax.numpy.array(SEEDS))
                    for place in np.ndindex(seen[0].shape):
                        yield from _rows(case, variant, start, place, seen)


def network(case: Case, variant: str) -> pccore.NetworkConfig:
    """Return a ResNet of the case ("All experiments used fully connected ResNets")."""
    N, H, phi = case.width, case.depth, case.activation
    if N == 1:
        return pccore.NetworkConfig(1, 1, N, H, activation=phi, parameterisation=variant)
    return stack(case.name, N, H, activation=phi, parameterisation=variant)


def _observed(
    config: pccore.NetworkConfig,
    start: str,
    data: "tuple[np.ndarray, np.ndarray]",
    seeds: "jax.Array",
) -> "tuple[jax.Array, jax.Array]":
    """Return ||z - z*|| / ||z*|| and ||z|| / ||z*|| of the whole batch, by seed, beta and step."""
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(values) for values in data)
    reference = pccore.inference.GaussNewton(EQUILIBRIUM_ITERATIONS)
    descent = pccore.GradientDescent(config.depth)
    started = STARTS[start]

    def infer(seed: jax.Array, beta: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, own = jax.random.key(seed), jax.random.key(seed + 1000)
        relaxation = config.build(key).relaxation(x, y)
        solution = reference.infer(relaxation, beta).departure
        size = jnp.linalg.norm(relaxation.activities(solution))

        def observe(departure: jax.Array) -> tuple[jax.Array, jax.Array]:
            z = relaxation.activities(departure)
            return jnp.linalg.norm(departure - solution) / size, jnp.linalg.norm(z) / size

        begin = started.departure(relaxation, own)
        return descent.infer(relaxation, beta, begin, observe).observed

    over_betas = jax.vmap(infer, (None, 0))
    both = jax.jit(jax.vmap(over_betas, (0, None)))(seeds, jnp.array(BETAS))
    return tuple(jax.device_get(values) for values in both)


def _rows(
    case: Case,
    variant: str,
    start: str,
    place: tuple[int, ...],
    seen: "tuple[jax.Array, jax.Array]",
) -> Iterator[Row]:
    seed, beta, step = place
    known = {
        "variant": variant,
        "dataset": case.name,
        "activation": case.activation,
        "residual": True,
        "width": case.width,
        "depth": case.depth,
        "batch_size": 64,
        "activity_lr": BETAS[beta],
        "seed": SEEDS[seed],
        "inference_step": step,
        "settings": json.dumps({"start": start}),
        "source": SOURCE,
    }
    for quantity, values in zip(("activity_distance", "activity_size"), seen, strict=True):
        yield {**known, "quantity": quantity, "value": float(values[place])}


def distances(evidence: Evidence, case: Case, variant: str, start: str) -> "pd.DataFrame":
    """Return distances of one panel and variant, by step (down) and by beta and seed (across)."""
    rows = evidence.measured(
        "activity_distance",
        dataset=case.name,
        activation=case.activation,
        variant=variant,
        settings=json.dumps({"start": start}),
    )
    return rows.pivot_table(
        index="inference_step", columns=["activity_lr", "seed"], values="value", dropna=False
    )


def remaining(evidence: Evidence, case: Case, variant: str, start: str) -> "pd.Series | None":
    """Return final over initial distance by beta, median over seeds.

    Distances that overflow count as infinite.
    """
    import numpy as np

    table = distances(evidence, case, variant, start)
    if not len(table):
        return None
    left = (table.iloc[-1] / table.iloc[0]).fillna(np.inf)
    return left.groupby("activity_lr").median()


def barely_moves(evidence: Evidence, variant: str, *cases: Case) -> Judged | None:
    """Judge that over half the distance remains at every beta that does not increase it."""
    words, holds = [], True
    for case in cases:
        for start in case.starts:
            left = remaining(evidence, case, variant, start)
            if left is None:
                return None
            stable = left[left <= 1]
            if not len(stable):
                words.append(f"{start}: no beta approaches it")
                continue
            words.append(f"{start}: {stable.min():.3g} left at beta {stable.idxmin():g}")
            holds &= bool(stable.min() >= 0.5)
    return Judged(", ".join(words), holds)


def does_not_converge(evidence: Evidence) -> Judged | None:
    """Judge the SP chain's final distances, relative to ||z*||, at the best beta."""
    words, holds = [], True
    for start in CHAIN.starts:
        table = distances(evidence, CHAIN, "sp", start)
        if not len(table):
            return None
        last = table.iloc[-1].fillna(float("inf")).groupby("activity_lr").median()
        words.append(f"{start}: {last.min():.3g} of ||z*|| at beta {last.idxmin():g}")
        holds &= bool(last.min() >= 0.1)
    return Judged(", ".join(words), holds)


def diverges(evidence: Evidence, variant: str) -> Judged | None:
    words, holds = [], True
    for start in CHAIN.starts:
        left = remaining(evidence, CHAIN, variant, start)
        if left is None:
            return None
        words.append(f"{start}: x{left.iloc[-1]:.2g} at beta {left.index[-1]:g}")
        holds &= bool(left.iloc[-1] >= 10)
    return Judged(", ".join(words), holds)


def closer(evidence: Evidence, case: Case, factor: float) -> Judged | None:
    """Judge the initial distances of forward passes, medians over seeds."""
    found = {}
    for variant in ("sp", "mupc"):
        table = distances(evidence, case, variant, "forward")
        if not len(table):
            return None
        found[variant] = float(table.iloc[0].median())
    return Judged(
        f"{found['mupc']:.3g} of ||z*||, SP {found['sp']:.3g}",
        found["mupc"] * factor <= found["sp"],
    )


def course(evidence: Evidence, case: Case, start: str) -> "Figure":
    """Draw median distances during inference, a panel per variant, a line per beta."""
    from experiments.figures.measured import Axis, lines

    rows = evidence.measured(
        "activity_distance",
        dataset=case.name,
        activation=case.activation,
        settings=json.dumps({"start": start}),
    )
    keys = ["variant", "activity_lr", "inference_step"]
    medians = rows.groupby(keys)["value"].median().reset_index()
    return lines(
        medians,
        Axis("inference_step", "inference step"),
        Axis("value", "distance from z*, relative to its norm", log=True, limits=(None, 1e6)),
        "activity_lr",
        "variant",
        ordered=True,
        title=f"{start} start, {case.activation}, N = {case.width}, H = {case.depth}",
    )


SETTING = Setting(
    "untrained ResNets, T = H, beta of 0.1 to 100 at B = 64, 3 seeds: chains of H = 64 on a toy "
    "regression from forward and normal starts; N = 128, H = 16 on MNIST, linear and ReLU",
    calculate=lambda data_dir: trajectories(data_dir, CHAIN, WIDE, RELU),
    datasets=("mnist",),
    seconds=60,
)

TRAJECTORIES = (
    Recipe(
        name="activity-trajectories",
        title="inference hardly moves activities; muPC's forward pass starts near the equilibrium",
        source="T C.3.2, figs. C.10, C.11, C.35, C.36",
        small=SETTING,
        full=SETTING,
        claims=(
            Claim(
                "activities of an SP chain barely move during inference, from either start",
                "T fig. C.10",
                "most of the distance from z* remains",
                "at least half at every beta that does not increase it, median over seeds",
                lambda evidence: barely_moves(evidence, "sp", CHAIN),
            ),
            Claim(
                "inference in an SP chain does not converge from either start at any activity "
                "learning rate",
                "T fig. C.10",
                "z* is not reached",
                "at least 0.1 of ||z*|| away at every beta, median over seeds",
                does_not_converge,
            ),
            Claim(
                "a higher activity learning rate makes an SP chain diverge from either start",
                "T fig. C.10",
                "the distance grows",
                "at least 10-fold at the greatest beta",
                lambda evidence: diverges(evidence, "sp"),
            ),
            Claim(
                "activities of a muPC chain barely move either",
                "T fig. C.35",
                "most of the distance from z* remains",
                "at least half at every beta that does not increase it, median over seeds",
                lambda evidence: barely_moves(evidence, "mupc", CHAIN),
            ),
            Claim(
                "activities of a wide SP network barely move either",
                "T C.3.2, fig. C.11",
                "most of the distance from z* remains",
                "at least half at every beta that does not increase it, median over seeds",
                lambda evidence: barely_moves(evidence, "sp", WIDE),
            ),
            Claim(
                "muPC's forward pass starts a wide network close to z*",
                "T5.8, C.3.2, fig. C.11",
                "a smaller share of ||z*|| than SP's",
                "at least 3-fold",
                lambda evidence: closer(evidence, WIDE, 3),
            ),
            Claim(
                "muPC's forward pass starts a ReLU network close to z*",
                "T fig. C.36",
                "a smaller share of ||z*|| than SP's",
                "at least 3-fold",
                lambda evidence: closer(evidence, RELU, 3),
            ),
        ),
        figures={
            "fig-c.10-c.35-chain-forward": lambda evidence: course(evidence, CHAIN, "forward"),
            "fig-c.10-c.35-chain-normal": lambda evidence: course(evidence, CHAIN, "normal"),
            "fig-c.11-wide": lambda evidence: course(evidence, WIDE, "forward"),
            "fig-c.36-relu": lambda evidence: course(evidence, RELU, "forward"),
        },
        choices="T5.8 cites fig. C.35, of chains, for the start of muPC near z*; C.3.2 says it of "
        "wide networks (fig. C.11), which are judged. The thesis does not give the activity "
        "learning rates: powers of ten, from no movement to divergence. N(0, 0.5) is read as a "
        "variance. The figure shows the distance from z* instead of separate norms. For the ReLU "
        "network, which the thesis does not have, z* is the equilibrium found by Gauss-Newton "
        "iterations.",
    ),
)
