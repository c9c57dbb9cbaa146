"""Time of a training step, as a share of what this machine's matrix multiplication can do.

    python benchmarks/step_time.py [--shapes 8x64,8x128,...] [--threads 1] [--via fit]
                                   [--peer jpc --peer-python PYTHON]

Columns: milliseconds per step (one forward pass, T = H gradient steps on all activities, one Adam
update; MNIST's sizes, B = 64); the naive arithmetic rate, which counts every layer in every step,
as a share of the peak; and how many times faster it is than the same step by automatic
differentiation of the general energy, and than the peer library's (each where it compiles in
reasonable time). Candidates take turns; the peer is a process of its own, on as many cores. The
ratios are reliable, the milliseconds are not.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack

import peer
from measure import (
    CLOCKS,
    Shape,
    add_peer,
    best_time_per_flop,
    cap_threads,
    in_turns,
    label,
    naive_flops,
    parser,
    shapes,
    usable_cpus,
)
from report import Report

ALL = "8x64,8x128,32x128,128x64,128x128,128x512"
DEEPEST = 32  # deeper, what unrolls its layers takes minutes to compile
STRETCH = 0.1  # seconds that a measurement takes at least, if steps took as long as at the peak
MOST_STEPS = 50


def main() -> None:
    options = parse()
    cap_threads(options.threads)
    peak = best_time_per_flop(options.repeats, CLOCKS[options.clock])
    report = Report(
        "Step time",
        ["H x N", "ms/step", "naive rate / peak", "AD reference / ours", "peer / ours"],
        notes=[
            f"Matrix-multiply peak {1 / peak / 1e9:.0f} GFLOP/s with {options.threads} thread(s); "
            f"{options.activation}, B = 64, T = H, {options.clock} time; ours is "
            + ("a step inside `pccore.fit`." if options.via == "fit" else "the step alone.")
        ],
    )
    for shape in options.shapes:
        times = measured(shape, peak, options)
        add(report, shape, times, peak)
        if not options.json:
            print(report.table.splitlines()[-1], file=sys.stderr, flush=True)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default=ALL, help=f"HxN,... (default {ALL})")
    found.add_argument("--threads", type=int, default=1, help="threads of arithmetic (default 1)")
    found.add_argument("--activation", default="relu")
    found.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor: for one thread, on a machine at work (default wall)",
    )
    found.add_argument(
        "--via",
        choices=["step", "fit"],
        default="step",
        help="ours: the step alone in a loop, or a step of a whole training (default step)",
    )
    found.add_argument(
        "--deepest-reference", type=int, default=DEEPEST, help=f"default {DEEPEST} layers"
    )
    add_peer(found)
    found.add_argument(
        "--deepest-peer", type=int, default=DEEPEST, help=f"default {DEEPEST} layers"
    )
    options = found.parse_args()
    if options.clock == "processor" and options.threads > 1:
        found.error("--clock processor would add up what threads do at once")
    return options


def measured(shape: Shape, peak: float, options: argparse.Namespace) -> dict[str, float]:
    """Return seconds per step of "ours" and, where requested, "reference" and "peer"."""
    import steps

    count, clock = steps_per_stretch(shape, peak), CLOCKS[options.clock]
    how = {"activation": options.activation, "count": count, "clock": clock}
    candidates: dict[str, Callable[[], float]] = {}
    if options.via == "fit":
        candidates |= steps.fits(shape, **how)
    else:
        candidates["ours"] = steps.stepper(shape, steps.closed_form(shape), **how)
    if shape[0] <= options.deepest_reference:
        candidates["reference"] = steps.stepper(shape, steps.differentiated(shape), **how)
    with ExitStack() as stack:
        if options.peer and shape[0] <= options.deepest_peer:
            cores = usable_cpus()[: options.threads]
            candidates["peer"] = stack.enter_context(peer.timed(options, shape, cores))
        times = in_turns(candidates, options.repeats)
    if options.via == "fit":
        times["ours"] = steps.per_fit_step(times, count)
    return times


def steps_per_stretch(shape: Shape, time_per_flop: float) -> int:
    """Return the steps of one measurement: many for small networks, few for large ones."""
    return max(1, min(MOST_STEPS, int(STRETCH / (naive_flops(shape) * time_per_flop))))


def add(report: Report, shape: Shape, times: dict[str, float], peak: float) -> None:
    """Add one line to the table, and its ratios."""
    rate = naive_flops(shape) * peak / times["ours"]
    report.ratios[f"naive rate / peak, {label(shape)}"] = rate
    cells = [f"{shape[0]} x {shape[1]}", f"{1e3 * times['ours']:.2f}", f"{rate:.0%}"]
    for name in ("reference", "peer"):
        if name in times:
            ratio = report.ratios[f"{name} / ours, {label(shape)}"] = times[name] / times["ours"]
        cells.append(f"{ratio:.1f}" if name in times else "-")
    report.rows.append(cells)


if __name__ == "__main__":
    main()
