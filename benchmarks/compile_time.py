"""Compile time by depth, and programs that are compiled again when only values change.

    python benchmarks/compile_time.py [--depths 8,32,128] [--width 64] [--again 8x64]

Times are processor seconds, which other work on the machine hardly lengthens: of a training of one
step with nothing compiled and without the compilation cache, less those of the same training again.
Then one worker, a LocalPool, runs an experiment and others with the same shapes, and trainings
follow with other learning rates, seeds and data of the same shape: whatever comes second must
compile nothing. Exits with status 1 if it does.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compilation import watched
from measure import BATCH, Shape, cap_threads, in_turns, made_up, parser, shapes, training
from report import Report

if TYPE_CHECKING:
    from jobs import LocalPool


def main() -> None:
    options = parse()
    cap_threads(1)
    depths = options.depths
    seconds = in_turns(
        {str(depth): partial(compile_seconds, depth, options.width) for depth in depths},
        options.repeats,
    )
    first, last = str(depths[0]), str(depths[-1])
    columns = ["H", "CPU seconds", f"of H = {first}"]
    report = Report(f"Compile time by depth, N = {options.width}", columns)
    for depth, best in seconds.items():
        report.rows.append([depth, f"{best:.2f}", f"{best / seconds[first]:.2f}"])
    report.ratios[f"compile time, H = {first} / {last}"] = seconds[first] / seconds[last]
    again = compiled_again(options.again[0])
    report.notes.append(
        "All programs of a training, traced, lowered and compiled. Programs compiled again in one "
        "worker: "
        + ", ".join(f"{count} for {what}" for what, count in again.items())
        + f"; {sum(again.values())} in all."
    )
    report.ratios["calls without recompilation"] = sum(not n for n in again.values()) / len(again)
    report.publish(options)
    sys.exit(any(again.values()))


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--width", type=int, default=64)
    found.add_argument(
        "--depths", type=lambda text: [int(part) for part in text.split(",")], default="8,32,128"
    )
    found.add_argument(
        "--again", type=shapes, default="8x64", help="HxN whose programs are counted (8x64)"
    )
    found.set_defaults(repeats=3)
    return found.parse_args()


def compile_seconds(depth: int, width: int) -> float:
    """Return the processor seconds to trace, lower and compile a training without a cache."""
    import jax

    import pccore

    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()
    data, config = made_up(train=BATCH, test=BATCH), training((depth, width), 1)

    def once() -> float:
        start = time.process_time()
        pccore.fit(config, data, pccore.Lane(0.01, 1.0, 0))
        return time.process_time() - start

    return once() - once()


def compiled_again(shape: Shape) -> dict[str, int]:
    """Count the programs that one worker compiles when only what is named has changed."""
    from jobs import LocalPool

    counts: dict[str, int] = {}

    def count(what: str, call: Callable[[], object]) -> None:
        with watched() as compilations:
            call()
        counts[what] = compilations.count["compile"]

    with LocalPool(workers=1) as pool, tempfile.TemporaryDirectory() as folder:
        sweep = partial(experiment, pool, Path(folder), shape)
        sweep("first", [0.05, 0.01], [5, 1], seeds=[0])
        count("another experiment", lambda: sweep("second", [0.03, 0.02], [4, 2], seeds=[0]))
        count("another grid", lambda: sweep("third", [0.05], [4, 2, 1], seeds=[0, 1]))
        count("other seeds", lambda: sweep("fourth", [0.05, 0.01], [5, 1], seeds=[7]))
    train(shape, 0, 0.05, 5.0, 0)
    count("other learning rates", lambda: train(shape, 0, 0.02, 3.0, 0))
    count("another data set of the same shape", lambda: train(shape, 1, 0.05, 5.0, 0))
    return counts


def experiment(
    pool: "LocalPool",
    folder: Path,
    shape: Shape,
    name: str,
    etas: list[float],
    betas: list[float],
    seeds: list[int],
) -> None:
    """Tune on the digits at a shape, transfer to twice its depth."""
    import results
    import transfer

    depth, width = shape
    tune = {"width": width, "depth": depth, "weight_lr": etas, "activity_lr": betas}
    spec = {
        "name": name,
        "dataset": "digits",
        "training": {"batch_size": BATCH, "steps": 10, "eval_every": 5},
        "tune": {**tune, "seeds": seeds},
        "transfer": {"depths": [2 * depth], "neighbourhood": "all"},
    }
    ledger = results.open(str(folder / name), create=True)
    transfer.run(transfer.Experiment.from_dict(spec), ledger, pool)


def train(shape: Shape, data_seed: int, eta: float, beta: float, seed: int) -> None:
    """Train once at tuning size."""
    import pccore

    data = made_up(train=4 * BATCH, test=BATCH, seed=data_seed)
    pccore.fit(training(shape, 4), data, pccore.Lane(eta, beta, seed))


if __name__ == "__main__":
    main()
