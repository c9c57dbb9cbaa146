"""Overhead of the service: a whole sweep on the local pool, compared with the training in it.

    python benchmarks/overhead.py [--steps 200] [--seeds 2]

One experiment on the embedded digits, tuned at 8 x 64 on 12 cells and transferred to 16 layers,
runs as `mupc run` would run it, ledger and verdict included: once with nothing compiled, then again
with other seeds, for which everything is compiled. Columns: wall-clock seconds; "slots busy", the
share of the slots' time that groups were training (the rest is driver, ledger and a slot that waits
for the last group); processor seconds of this process; "compiled", the share of them that XLA's
threads spent, which run compiled programs; seconds of tracing and compiling; and the overhead "at
most": the share of the slots' time that XLA's threads did not spend on a processor. That counts
their waiting for the thread that called them, and all other work on the machine; what a group
spends outside its programs is measured by `compiled_share.py`, so that the overhead is about
1 - slots busy x share in compiled code. For Linux, and training on the CPU.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compilation import watched
from measure import label, parser, shapes
from report import Report

THREADS = "tf_XLA"  # how the names of XLA's threads begin
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
    xla: float
    compilation: float

    @property
    def slots_busy(self) -> float:
        """Share of the slots' time spent on training groups."""
        return self.busy / (self.slots * self.wall)

    @property
    def compiled(self) -> float:
        """Share of the processor time used by XLA's threads."""
        return self.xla / self.processor

    @property
    def overhead(self) -> float:
        """Share of the slots' time in which XLA's threads were not on a processor."""
        return 1 - self.xla / (self.slots * self.wall)


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("overhead.py reads the times of threads from /proc: it needs Linux")
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
    start = time.perf_counter(), time.process_time(), thread_seconds()
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
        xla=thread_seconds() - start[2],
        compilation=sum(compilations.seconds(stage) for stage in ("trace", "lower", "compile")),
    )


def thread_seconds(prefix: str = THREADS) -> float:
    """Return the processor seconds of this process' threads whose name begins with `prefix`."""
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        name, _, numbers = (task / "stat").read_text().partition("(")[2].rpartition(")")
        if name.startswith(prefix):
            user, system = numbers.split()[11:13]
            ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def publish(sweeps: list[Sweep], options: argparse.Namespace) -> None:
    """Publish the first sweep and the best of the others."""
    best = min(sweeps[1:], key=lambda sweep: sweep.overhead)
    report = Report(
        "Service overhead of a sweep",
        ["sweep", "wall, s", "slots busy", "processor, s", "compiled", "compiling, s", "at most"],
        notes=[
            f"Digits, tuned at {label(options.shape[0])} on 12 cells, transferred to twice the "
            f"depth: {best.runs} runs of {options.steps} steps, {best.slots} slots. The "
            "overhead is about 1 - slots busy x share in compiled code (compiled_share.py), and at "
            "most what is in the last column."
        ],
    )
    for name, found in (("nothing compiled", sweeps[0]), ("all compiled", best)):
        seconds = [f"{value:.2f}" for value in (found.wall, found.processor, found.compilation)]
        shares = [f"{share:.1%}" for share in (found.slots_busy, found.compiled, found.overhead)]
        interleaved = [cell for pair in zip(seconds, shares, strict=True) for cell in pair]
        report.rows.append([name, *interleaved])
    report.ratios["slots busy in a sweep"] = max(sweep.slots_busy for sweep in sweeps[1:])
    report.ratios["compiled share of a sweep"] = max(sweep.compiled for sweep in sweeps[1:])
    report.publish(options)


if __name__ == "__main__":
    main()
