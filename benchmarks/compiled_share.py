"""Share of a training at tuning size spent in compiled code, measured by the profiler.

    python benchmarks/compiled_share.py [--shapes 8x64,8x128] [--steps 300]

`jax.profiler` records when XLA executes programs, in whichever thread or stream. What no execution
covers is time outside compiled code: Python, transfers, waiting for each other. That time, taken
from the profiled training, is set against the wall-clock time of the same training without the
profiler, which slows down the compiled code only: the share is a lower bound. MNIST's sizes, with
an evaluation on 10,000 test samples every 100 steps; compilation is over before.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compilation import covered
from measure import Shape, cap_threads, in_turns, label, made_up, parser, shapes, training
from report import Report

EXECUTION = "ThunkExecutor::Execute"  # XLA on the CPU: one program, or a part of one in a thread


def main() -> None:
    options = parse()
    cap_threads(1)
    columns = ["H x N", "wall, ms", "outside compiled code, ms", "share in compiled code"]
    report = Report("A training at tuning size: time in compiled code", columns)
    report.notes.append(
        f"{options.steps} steps, evaluated every 100, on MNIST's sizes. Outside is the time in "
        "which the profiler saw no program; wall is without the profiler."
    )
    for shape in options.shapes:
        add(report, shape, options)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--shapes", type=shapes, default="8x64,8x128", help="HxN,...")
    found.add_argument("--steps", type=int, default=300, help="of the training (default 300)")
    return found.parse_args()


def add(report: Report, shape: Shape, options: argparse.Namespace) -> None:
    """Add one line to the table, its ratio, and the operations that took most of the time."""
    import pccore

    data, config = made_up(), training(shape, options.steps, eval_every=100)

    def wall() -> float:
        start = time.perf_counter()
        pccore.fit(config, data, pccore.Lane(0.01, 1.0, 0))
        return time.perf_counter() - start

    operations: Counter[str] = Counter()

    def outside() -> float:
        operations.clear()
        return traced(wall, operations)

    wall()
    best = in_turns({"wall": wall, "outside": outside}, options.repeats)
    share = 1 - best["outside"] / best["wall"]
    cells = [f"{1e3 * best[name]:.1f}" for name in ("wall", "outside")]
    report.rows.append([f"{shape[0]} x {shape[1]}", *cells, f"{share:.1%}"])
    report.ratios[f"share in compiled code, {label(shape)}"] = share
    longest = ", ".join(f"{name} {1e3 * s:.0f} ms" for name, s in operations.most_common(6))
    report.notes.append(f"Longest operations at {label(shape)} (with those inside): {longest}.")


def traced(call: Any, operations: Counter[str]) -> float:
    """Return the seconds of `call` in which no program ran; add up those of each operation."""
    import jax

    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            wall = call()
        file = next(Path(folder).rglob("*.xplane.pb"))
        profile = jax.profiler.ProfileData.from_file(str(file))
    running = []
    for on_device, event in events(profile):
        if on_device or event.name.startswith(EXECUTION):
            start = event.start_ns * 1e-9
            running.append((start, start + event.duration_ns * 1e-9))
        if on_device or not event.name.startswith(EXECUTION):
            operations[event.name] += event.duration_ns * 1e-9
    return max(0.0, wall - covered(running))


def events(profile: Any) -> Iterator[tuple[bool, Any]]:
    """Yield (ran on an accelerator, event) for what ran in compiled programs."""
    for plane in profile.planes:
        on_device = plane.name.startswith("/device:")
        for line in plane.lines:
            if on_device or line.name.startswith("tf_XLA"):
                yield from ((on_device, event) for event in line.events)


if __name__ == "__main__":
    main()
