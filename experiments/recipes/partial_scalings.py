"""Thesis 5.8: muPC's scalings in the forward pass, but not in the energy or in a gradient of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import pccore
from experiments.accuracy import CHANCE
from experiments.evidence import Evidence
from experiments.learning_rates import BETAS, ETAS
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS, stack, steps_of
from pccore.energies import layer_energies
from pccore.relaxation import Scalar
from pccore.rules.base import NetworkT

if TYPE_CHECKING:
    from experiments.figures.measured import Figure

EVERYWHERE = "everywhere"
PARTIAL = ("energy", "inference gradients", "weight gradients")
"""Where the scalings are missing."""

ACCURACY = "test_accuracy"
UNTRAINABLE = 20


@dataclass(frozen=True)
class PartlyScaled(pccore.LearningRule):
    """Predictive coding whose energy has the premultipliers a_l in some of its gradients only.

    Attributes:
        steps: T, of gradient descent from the forward pass, which has the scalings.
        missing: a name in `PARTIAL`, or `EVERYWHERE` for none.
    """

    steps: int = 1
    missing: str = EVERYWHERE
    infers: ClassVar[bool] = True

    @property
    def needs_activity_lr(self) -> bool:
        """True."""
        return True

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        assert isinstance(network, pccore.Network)

        def energy(network: pccore.Network, z: Array, *, scaled: bool) -> Array:
            layers = network.layers()
            if not scaled:
                layers = [replace(layer, scale=1.0) for layer in layers]
            return jnp.sum(layer_energies(layers, list(z), x, y, network.config.output_energy))

        inferring = self.missing not in PARTIAL[:2]
        learning = self.missing not in (PARTIAL[0], PARTIAL[2])

        def step(_: Array, z: Array) -> Array:
            return z - activity_lr * jax.grad(energy, argnums=1)(network, z, scaled=inferring)

        z = jax.lax.fori_loop(0, self.steps, step, network.forward(x))
        return network.relaxation(x, y).loss(), jax.grad(energy)(network, z, scaled=learning)


def accuracies(
    data_dir: Path | None,
    width: int,
    depths: Sequence[int],
    steps: int,
    cells: Sequence[tuple[float, float]],
    seeds: Sequence[int],
) -> Iterator[Row]:
    """Yield the test accuracy of every placement, depth, cell and seed; diverged is chance."""
    data = pccore.data.load("mnist", data_dir)
    for depth, missing in product(depths, (EVERYWHERE, *PARTIAL)):
        config = pccore.TrainingConfig(
            stack("mnist", width, depth),
            PartlyScaled(depth, missing),
            steps=steps,
            eval_every=steps,
            divergence_factor=None,
        )
        lanes = [pccore.Lane(*cell, seed) for cell in cells for seed in seeds]
        for lane, outcome in zip(lanes, pccore.fit_many(config, data, lanes), strict=True):
            accuracy = outcome.test_accuracy
            yield {
                "quantity": ACCURACY, "variant": missing, "width": width, "depth": depth,
                "weight_lr": lane.weight_lr, "activity_lr": lane.activity_lr, "seed": lane.seed,
                "value": CHANCE if accuracy is None else accuracy,
            }  # fmt: skip


def best(evidence: Evidence, missing: str) -> dict[int, float]:
    """Return the best accuracy (%) over the cells, mean over seeds, by depth."""
    rows = evidence.measured(ACCURACY, variant=missing)
    means = rows.groupby(["depth", "weight_lr", "activity_lr"])["value"].mean()
    found = means.groupby("depth").max()
    return {int(float(str(depth))): 100 * float(value) for depth, value in found.items()}


def untrainable(evidence: Evidence, missing: str) -> Judged | None:
    """Judge that no cell trains without the scalings there, and that some cell does with them."""
    without, control = best(evidence, missing), best(evidence, EVERYWHERE)
    if not without or without.keys() != control.keys():
        return None
    words = ", ".join(
        f"H = {depth} {value:.1f}% ({control[depth]:.1f}% with them)"
        for depth, value in without.items()
    )
    trains = min(control.values()) > 2 * UNTRAINABLE
    return Judged(f"at best {words}", trains and max(without.values()) <= UNTRAINABLE)


def figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, heat

    rows = evidence.measured(ACCURACY)
    return heat(
        rows.assign(percent=100 * rows["value"]),
        Axis("activity_lr", "β"),
        Axis("weight_lr", "η"),
        Axis("percent", "test accuracy, %"),
        "variant",
        columns=4,
    )


def _claim(missing: str) -> Claim:
    return Claim(
        f"networks without the scalings in the {missing} are not trainable, even at small depths",
        "T5.8",
        "accuracy at chance",
        f"at most {UNTRAINABLE}% at the best rates, every depth",
        lambda evidence: untrainable(evidence, missing),
    )


SMALL_CELLS = tuple(product((0.1, 0.01, 0.001), (50.0, 5.0, 0.5, 0.05)))
FULL_CELLS = tuple(product((*ETAS, 0.001), map(float, BETAS)))

PARTIAL_SCALINGS = (
    Recipe(
        name="partial-scalings",
        title="muPC's scalings in the forward pass alone",
        source="T5.8",
        small=Setting(
            "MNIST, ReLU ResNets, N = 32, H = 2, 4, 200 steps of B = 64, T = H, 2 seeds, eta "
            "0.1 to 0.001, beta 0.05 to 50",
            calculate=lambda d: accuracies(d, 32, (2, 4), 200, SMALL_CELLS, SEEDS[:2]),
            datasets=("mnist",),
            seconds=120,
        ),
        full=Setting(
            "the same with N = 512, H = 2, 8, for one epoch, over the thesis's grid, 3 seeds",
            calculate=lambda d: accuracies(d, 512, (2, 8), steps_of("mnist", 1), FULL_CELLS, SEEDS),
            datasets=("mnist",),
            seconds=200_000,
        ),
        claims=tuple(map(_claim, PARTIAL)),
        figures={"partial-scalings": figure},
        choices="Weights are N(0, 1), as under muPC. Where the scalings are missing, the energy "
        "has a_l = 1; its weight gradient then has unscaled errors as well. Leaving out the factor "
        "a_l of the weight gradient alone would do nothing: Adam divides by it.",
    ),
)
