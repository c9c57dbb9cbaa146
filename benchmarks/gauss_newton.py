"""Gauss-Newton inference and gradient descent: time of a training step, energy against time.

    python benchmarks/gauss_newton.py [--shapes 8x128,32x128,128x128] [--activation relu]

The first table: milliseconds of a training step (one batch of 64, one Adam update) with T = H
gradient steps and with one Gauss-Newton iteration. The second: the energy that each scheme reaches
on the first 64 images of MNIST (random ones where it is missing) at initialisation, and its time.
Processor time on one core.
"""

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from measure import (
    BATCH,
    Shape,
    cap_threads,
    in_turns,
    label,
    made_up,
    mnist_folder,
    parser,
    shapes,
)
from measure import network as network_of
from report import Report

if TYPE_CHECKING:
    import jax

    import pccore

ALL = "8x128,32x128,128x128"
RATE = 0.45  # beta/B of descent and Heun on the activities
ADAM_RATE = 0.01
ERROR_RATE = 0.1  # beta/B of descent on the errors: 2 / lambda_max of S is not far above
SHORTER = 5  # times fewer steps for the schemes that are compared at equal numbers of steps


def main() -> None:
    options = parse()
    cap_threads(1)
    step = Report(
        "Training step with Gauss-Newton inference, in ms",
        ["H x N", "T = H gradient steps", "one iteration", "times faster"],
        notes=[f"{options.activation}, B = {BATCH}, Adam, one core, processor time."],
    )
    fall = Report(
        "Energy against time",
        ["H x N", "scheme", "energy per sample", "ms"],
        notes=[
            f"{options.activation}, muPC at initialisation, {BATCH} images; beta/B = {RATE:g} for "
            f"gradient descent and Heun, {ERROR_RATE:g} for errors, Adam at {ADAM_RATE:g}."
        ],
    )
    for shape in options.shapes:
        add_step(step, shape, options)
        add_energies(fall, shape, options)
    step.publish(options)
    fall.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default=ALL, help=f"HxN,... (default {ALL})")
    found.add_argument("--activation", default="relu")
    found.add_argument("--longest", type=int, default=5000, help="steps of descent (5000)")
    return found.parse_args()


def add_step(report: Report, shape: Shape, options: argparse.Namespace) -> None:
    """Add a row to the first table."""
    import pccore
    import steps

    schemes = {"descent": pccore.GradientDescent(shape[0]), "gauss_newton": pccore.GaussNewton()}
    timed = {
        name: steps.stepper(
            shape,
            steps.by_rule(pccore.PredictiveCoding(scheme)),
            options.activation,
            max(2, 64 // shape[0]),
            time.process_time,
        )
        for name, scheme in schemes.items()
    }
    best = in_turns(timed, options.repeats, clock=time.process_time)
    ratio = report.ratios[f"descent / Gauss-Newton, {label(shape)}"] = (
        best["descent"] / best["gauss_newton"]
    )
    cells = [f"{1e3 * best['descent']:.2f}", f"{1e3 * best['gauss_newton']:.2f}", f"{ratio:.1f}"]
    report.rows.append([f"{shape[0]} x {shape[1]}", *cells])


def add_energies(report: Report, shape: Shape, options: argparse.Namespace) -> None:
    """Add rows to the second table: the energy each scheme reaches from a forward pass."""
    import jax

    network = network_of(shape, options.activation).build(jax.random.key(0))
    x, y = images()
    loss = float(network.relaxation(x, y).loss())
    shown = f"{shape[0]} x {shape[1]}"
    report.rows.append([shown, "forward pass", f"{loss:.4f}", ""])
    for name, (scheme, beta) in schemes(shape[0], options.longest).items():
        infer = compiled(scheme, network, x, y, beta)
        start = time.process_time()
        energy = float(infer(network, x, y))
        seconds = time.process_time() - start
        report.rows.append([shown, name, f"{energy:.4f}", f"{1e3 * seconds:.1f}"])


def schemes(depth: int, longest: int) -> "dict[str, tuple[pccore.InferenceScheme, float]]":
    """Return the schemes to compare, each with its beta."""
    import pccore

    found: dict[str, tuple[pccore.InferenceScheme, float]] = {}
    for steps in (depth, longest // SHORTER):
        found |= {
            f"gradient descent, {steps:,} steps": (pccore.GradientDescent(steps), RATE * BATCH),
            f"Adam, {steps:,}": (pccore.ActivityOptimiser(steps), ADAM_RATE),
            f"Heun, {steps:,}": (pccore.GradientFlow(steps), RATE * BATCH),
            f"error-based, {steps:,}": (pccore.ErrorBased(steps), ERROR_RATE * BATCH),
        }
    descent = pccore.GradientDescent(longest)
    found[f"gradient descent, {longest:,} steps"] = descent, RATE * BATCH
    for iterations in (1, 2, 4, 12):
        found[f"Gauss-Newton, {iterations}"] = pccore.GaussNewton(iterations), 0.0
    return found


def images() -> "tuple[jax.Array, jax.Array]":
    """Return a standardised batch with one-hot targets."""
    import jax
    import jax.numpy as jnp

    import pccore

    folder = mnist_folder()
    data = pccore.data.load("mnist", folder) if folder else made_up(train=BATCH, test=BATCH)
    x = (jnp.asarray(data.train_x[:BATCH], float) - data.mean) / data.std
    return x, jax.nn.one_hot(jnp.asarray(data.train_y[:BATCH]), data.output_size)


def compiled(
    scheme: "pccore.InferenceScheme",
    network: "pccore.Network",
    x: "jax.Array",
    y: "jax.Array",
    beta: float,
) -> "Callable[[pccore.Network, jax.Array, jax.Array], jax.Array]":
    """Return a compiled function for the energy per sample at the end of a scheme."""
    import jax
    import jax.numpy as jnp

    from pccore.training.programs import COMPILER_OPTIONS

    def run(network: "pccore.Network", x: jax.Array, y: jax.Array) -> jax.Array:
        relaxation = network.relaxation(x, y)
        inferred = scheme.infer(relaxation, jnp.asarray(beta))
        return jnp.sum(relaxation.energies(inferred.departure))

    return jax.jit(run, compiler_options=COMPILER_OPTIONS).lower(network, x, y).compile()


if __name__ == "__main__":
    main()
