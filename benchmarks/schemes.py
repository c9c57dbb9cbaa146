"""Training step with Nesterov and augmented-Lagrangian inference, relative to gradient descent.

    python benchmarks/schemes.py [--shapes 32x32,32x64,32x128] [--lanes 1,8] [--per-layer 1,2]

Each row is a network, a number of lanes and T, in multiples of H. The columns: milliseconds of a
training step of all lanes (one batch of 64, one Adam update) by T steps of gradient descent, and
the times of the other schemes at the same T relative to it: the median over turns of the ratio
within a turn. Processor time on one core.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from measure import BATCH, Shape, cap_threads, label, parser, shapes
from report import Report

ALL = "32x32,32x64,32x128"
BETA = BATCH / 4.5  # B / lambda_max of muPC networks
STRETCH = 256  # inference steps of all lanes in one measurement, at least


def main() -> None:
    options = parse()
    cap_threads(1)
    report = Report(
        "Training step of schemes with momentum or multipliers",
        ["H x N", "lanes", "T", "descent, ms", "Nesterov / descent", "augmented / descent"],
        notes=[
            f"{options.activation}, B = {BATCH}, Adam, one core, processor time; medians of "
            f"{options.repeats} turns."
        ],
    )
    for shape in options.shapes:
        for lanes in options.lanes:
            for per_layer in options.per_layer:
                add(report, shape, lanes, per_layer * shape[0], options)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default=ALL, help=f"HxN,... (default {ALL})")
    found.add_argument("--lanes", type=whole_numbers, default="1,8", help="default 1,8")
    found.add_argument("--per-layer", type=whole_numbers, default="1,2", help="T / H; default 1,2")
    found.add_argument("--activation", default="relu")
    return found.parse_args()


def whole_numbers(text: str) -> list[int]:
    """Parse "1,8"."""
    return [int(part) for part in text.split(",")]


def add(report: Report, shape: Shape, lanes: int, T: int, options: argparse.Namespace) -> None:
    """Add a row, and its ratios (descent / scheme, so that larger is better)."""
    import pccore
    import steps

    def timed(scheme: pccore.InferenceScheme) -> Callable[[], float]:
        gradients = steps.by_rule(pccore.PredictiveCoding(scheme), BETA)
        count = max(2, STRETCH // (T * lanes))
        return steps.stepper(
            shape, gradients, options.activation, count, time.process_time, lanes=lanes
        )

    descent = timed(pccore.GradientDescent(T))
    others = {
        "Nesterov": timed(pccore.Nesterov(T)),
        "augmented Lagrangian": timed(pccore.AugmentedLagrangian(T)),
    }
    turns = [(descent(), [other() for other in others.values()]) for _ in range(options.repeats)]
    cells = []
    for at, name in enumerate(others):
        ratio = statistics.median(found[at] / base for base, found in turns)
        key = f"descent / {name}, {label(shape)}, lanes {lanes}, T = {T}"
        report.ratios[key] = 1 / ratio
        cells.append(f"{ratio:.2f}")
    base = statistics.median(base for base, _ in turns)
    report.rows.append(
        [f"{shape[0]} x {shape[1]}", f"{lanes}", f"{T}", f"{1e3 * base:.2f}", *cells]
    )


if __name__ == "__main__":
    main()
