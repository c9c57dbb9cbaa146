"""Overhead of the service: a whole sweep on the local pool, compared with the training in it.

    python benchmarks/overhead.py [--steps 200] [--seeds 2]

One experiment on the embedded digits, tuned at 8 x 64 on 12 cells and transferred to 16 layers,
runs as `mupc run` would run it, ledger and verdict included: once with nothing compiled, then again
with other seeds, for which everything is compiled. Columns: wall-clock seconds; "slots busy", the
share of the slots' time that groups were training (the rest is driver, ledger and a slot that waits
for the last group); processor seconds of this process; seconds of tracing and compiling. What a
group spends outside its programs is measured by `compiled_share.py`, so that the overhead is about
1 - slots busy x share in compiled code.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compilation import watched
from measure import label, parser, shapes
from report import Report

SPEC: dict[str, Any] = {
    "dataset": "digits",
    "training": {"batch_size": 64, "eval_every": 50},
}
RATES = {"weight_lr": [0.1, 0.05, 0.02, 0.01], "activity_lr": [10, 5, 1]}


@dataclass(frozen=True)
class Sweep:
    """Seconds of a sweep; `busy` is the sum over slots."""

    runs: int
    slots: int
    wall: float
    busy: float
    processor: float
    compilation: float

    @property
    def slots_busy(self) -> float:
        """Share of the slots' time spent on training groups."""
        return self.busy / (self.slots * self.wall)


def main() -> None:
    options = parse()
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # the first sweep compiles everything
    from jobs import LocalPool

    with LocalPool() as pool, tempfile.TemporaryDirectory() as folder:
        sweeps = [
            sweep(pool, Path(folder) / str(turn), turn, options)
            for turn in range(1 + options.repeats)
        ]
    publish(sweeps, options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--steps", type=int, default=200, help="of each run (default 200)")
    found.add_argument("--seeds", type=int, default=2, help="of each cell (default 2)")
    found.add_argument("--shape", type=shapes, default="8x64", help="HxN to tune at (8x64)")
    found.set_defaults(repeats=3)
    return found.parse_args()


def sweep(pool: Any, folder: Path, turn: int, options: argparse.Namespace) -> Sweep:
    """Run the experiment into a new ledger with seeds that no other turn has."""
    import results
    import transfer

    depth, width = options.shape[0]
    first = turn * options.seeds
    seeds = list(range(first, first + options.seeds))
    spec = SPEC | {
        "name": f"sweep-{turn}",
        "training": SPEC["training"] | {"steps": options.steps},
        "tune": RATES | {"width": width, "depth": depth, "seeds": seeds},
        "transfer": {"depths": [2 * depth]},
    }
    experiment = transfer.Experiment.from_dict(spec)
    start = time.perf_counter(), time.process_time()
    with watched() as compilations:
        ledger = results.open(str(folder), create=True)
        transfer.run(experiment, ledger, pool)
        ledger.compact()
    rows = ledger.runs()
    return Sweep(
        runs=len(rows),
        slots=pool.slots,
        wall=time.perf_counter() - start[0],
        busy=float(rows["seconds"].sum()),
        processor=time.process_time() - start[1],
        compilation=sum(compilations.seconds(stage) for stage in ("trace", "lower", "compile")),
    )


def publish(sweeps: list[Sweep], options: argparse.Namespace) -> None:
    """Publish the first sweep and the best of the others."""
    best = max(sweeps[1:], key=lambda sweep: sweep.slots_busy)
    report = Report(
        "Service overhead of a sweep",
        ["sweep", "wall, s", "slots busy", "processor, s", "compiling, s"],
        notes=[
            f"Digits, tuned at {label(options.shape[0])} on 12 cells, transferred to twice the "
            f"depth: {best.runs} runs of {options.steps} steps, {best.slots} slots. The "
            "overhead is about 1 - slots busy x share in compiled code (compiled_share.py)."
        ],
    )
    for name, found in (("nothing compiled", sweeps[0]), ("all compiled", best)):
        wall, *others = (f"{t:.2f}" for t in (found.wall, found.processor, found.compilation))
        report.rows.append([name, wall, f"{found.slots_busy:.1%}", *others])
    report.ratios["slots busy in a sweep"] = best.slots_busy
    report.publish(options)


if __name__ == "__main__":
    main()
