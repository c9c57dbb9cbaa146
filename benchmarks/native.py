"""Time of a training step by the native call and by XLA, as a share of the matrix-multiply peak.

    python benchmarks/native.py [--cases 8x64,8x64x2:nesterov,...] [--threads 1] [--clock processor]

A case is HxN, or HxNx2 for T = 2H, and a scheme (gradient_descent unless given). A step is forward
pass, inference, weight gradients and Adam on MNIST's sizes, B = 64. Candidates take turns in one
process with the peak; ratios of processor time are reliable on a shared machine, milliseconds are
not. The naive rate counts every layer in every step (docs/performance.md).
"""

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from measure import (
    BATCH,
    CLOCKS,
    OUTPUTS,
    Shape,
    best_time_per_flop,
    cap_threads,
    in_turns,
    naive_flops,
    parser,
    shapes,
)
from report import Report

SCHEMES = ("gradient_descent", "nesterov", "augmented_lagrangian")
WHOLE = ["8x64", "8x128", "32x128", "128x128"]
TWICE = [f"{shape}x2:{scheme}" for shape in WHOLE[:3] for scheme in SCHEMES]
PRODUCTS = {"product of 512": 512, "product of 1024": 1024}
STRETCH = 0.1  # seconds that a measurement takes at least, if steps took as long as at the peak


class Case(NamedTuple):
    """A shape, inference steps as a multiple of H, and the name of a scheme."""

    shape: Shape
    times: int
    scheme: str

    @property
    def label(self) -> str:
        depth, width = self.shape
        return f"{depth}x{width}, T = {'' if self.times == 1 else self.times}H, {self.scheme}"

    @property
    def flops(self) -> float:
        """Operations of a step that computes every layer in every step of inference."""
        depth, width = self.shape
        more = (self.times - 1) * depth * 4 * ((depth - 1) * width**2 + OUTPUTS * width)
        return naive_flops(self.shape) + BATCH * more


def main() -> None:
    options = parse()
    cap_threads(options.threads)
    clock = CLOCKS[options.clock]
    report = Report(
        "The native call",
        ["case", "XLA, ms", "native, ms", "XLA, naive / peak", "native, naive / peak", "faster"],
        notes=[
            f"{processor()}, {options.threads} thread(s), {options.clock} time, in turns; "
            f"{options.activation}, B = {BATCH}."
        ],
    )
    for case in options.cases:
        add(report, case, options, clock)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--cases", type=cases, default=",".join(WHOLE + TWICE))
    found.add_argument("--threads", type=int, default=1, help="threads of arithmetic (default 1)")
    found.add_argument("--activation", default="relu")
    found.add_argument("--clock", choices=CLOCKS, default="processor")
    options = found.parse_args()
    if options.clock == "processor" and options.threads > 1:
        found.error("--clock processor adds up what threads do at once: use --clock wall")
    return options


def cases(text: str) -> list[Case]:
    """Parse "8x64,8x64x2:nesterov"."""
    found = []
    for part in text.split(","):
        sizes, _, scheme = part.strip().partition(":")
        depth, _, rest = sizes.partition("x")
        width, _, times = rest.partition("x")
        if scheme and scheme not in SCHEMES:
            raise argparse.ArgumentTypeError(f"a scheme is one of {SCHEMES}, got {scheme!r}")
        (shape,) = shapes(f"{depth}x{width}")
        found.append(Case(shape, int(times or 1), scheme or SCHEMES[0]))
    return found


def add(
    report: Report, case: Case, options: argparse.Namespace, clock: Callable[[], float]
) -> None:
    """Measure a case, with the peak in the same minutes, and add its line."""
    guess = best_time_per_flop(1, clock)
    timed = {**candidates(case, guess, options), **products(guess, clock)}
    times = in_turns(timed, options.repeats, clock=clock)
    peak = min(times.pop(name) for name in PRODUCTS)
    rates = {name: case.flops * peak / seconds for name, seconds in times.items()}
    for name, rate in rates.items():
        report.ratios[f"{name}, naive rate / peak, {case.label}"] = rate
    faster = report.ratios[f"xla / native, {case.label}"] = times["xla"] / times["native"]
    milliseconds = [f"{1e3 * times[name]:.3f}" for name in ("xla", "native")]
    shares = [f"{rates[name]:.0%}" for name in ("xla", "native")]
    report.rows.append([case.label, *milliseconds, *shares, f"{faster:.2f}"])
    if not options.json:
        print(report.rows[-1], f"peak {1e-9 / peak:.0f} GFLOP/s", flush=True)


def products(guess: float, clock: Callable[[], float]) -> dict[str, Callable[[], float]]:
    """Return timed matrix products, in seconds per operation over a whole stretch.

    A stretch is as long as that of a step: the clock of a shared machine may misplace milliseconds.
    """
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(jnp.matmul)

    def product(size: int) -> Callable[[], float]:
        a = jnp.ones((size, size))
        multiply(a, a).block_until_ready()
        count = max(1, int(STRETCH / (2 * size**3 * guess)))

        def timed() -> float:
            start = clock()
            for _ in range(count):
                multiply(a, a).block_until_ready()
            return (clock() - start) / (count * 2 * size**3)

        return timed

    return {name: product(size) for name, size in PRODUCTS.items()}


def candidates(
    case: Case, peak: float, options: argparse.Namespace
) -> dict[str, Callable[[], float]]:
    """Return the timed steps; both are XLA's where the native call is not available."""
    import steps
    from pccore import PredictiveCoding, native
    from pccore.inference import INFERENCE

    rule = PredictiveCoding(INFERENCE[case.scheme](case.times * case.shape[0]))
    count = max(1, min(500, int(STRETCH / (case.flops * peak))))
    made = {}
    for name, variable in (("xla", "0"), ("native", "1")):
        os.environ[native.VARIABLE] = variable  # read while a program is traced
        made[name] = steps.stepper(
            case.shape, steps.by_rule(rule), options.activation, count, CLOCKS[options.clock]
        )
    return made


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(part.split("\t: ", 1) for part in lines if "\t: " in part)
    known = ("model name", "cpu family", "model")
    return ", ".join(facts[name] if name == "model name" else f"{name} {facts[name]}"
                     for name in known if name in facts)  # fmt: skip


if __name__ == "__main__":
    main()
