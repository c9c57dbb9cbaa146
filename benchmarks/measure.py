"""Shared parts of the benchmarks: options, clocks, shapes, and the machine's own speed.

The machine may be shared with other work. Candidates are therefore measured in turns in one run,
the best of several measurements counts, and only ratios of two candidates are compared.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pccore

ROOT = Path(__file__).parents[1]
BATCH, INPUTS, OUTPUTS = 64, 784, 10  # MNIST's sizes, and the documents' batch
EPOCH = 60_000 // BATCH  # steps
PEERS = ["jpc", "fabricpc"]

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}

Shape = tuple[int, int]


def parser(purpose: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    found = argparse.ArgumentParser(description=purpose.strip().splitlines()[0])
    found.add_argument("--repeats", type=int, default=5, help="turns; the best counts (default 5)")
    found.add_argument(
        "--log", action="store_true", help="append the table to docs/decisions/benchmarks.md"
    )
    found.add_argument("--json", action="store_true", help="print the ratios only, as JSON")
    return found


def add_peer(found: argparse.ArgumentParser) -> None:
    """Add the options that choose a peer library and where it is."""
    found.add_argument("--peer", choices=PEERS, help="a peer library")
    found.add_argument(
        "--peer-python",
        default=sys.executable,
        help="Python of an environment that has the peer (default: this one)",
    )


def shapes(text: str) -> list[Shape]:
    """Parse "8x64,128x512" into depths H and widths N."""
    found = []
    for part in text.split(","):
        depth, _, width = part.strip().partition("x")
        if not (depth.isdecimal() and width.isdecimal()):
            raise argparse.ArgumentTypeError(f"a shape is HxN, such as 8x64, got {part!r}")
        found.append((int(depth), int(width)))
    return found


def label(shape: Shape) -> str:
    """Return a shape as "HxN"."""
    return f"{shape[0]}x{shape[1]}"


def cap_threads(threads: int) -> None:
    """Limit the threads of arithmetic. JAX must not have been imported yet."""
    # XLA's own thread flags do not limit JAX 0.10; this does.
    os.environ["PJRT_NPROC"] = str(threads)


def usable_cpus() -> list[int]:
    """Return the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def in_turns(
    candidates: dict[str, Callable[[], float]],
    repeats: int,
    budget: float = 60.0,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Return the best time of each candidate, measured in turns under the same load.

    Args:
        candidates: functions that measure once and return seconds.
        repeats: turns.
        budget: seconds after which no further turn begins; two turns always run.
        clock: returns seconds.
    """
    best = dict.fromkeys(candidates, float("inf"))
    start = clock()
    for turn in range(repeats):
        if turn >= 2 and clock() - start > budget:
            break
        for name, timed in candidates.items():
            best[name] = min(best[name], timed())
    return best


def best_time_per_flop(repeats: int, clock: Clock = time.perf_counter) -> float:
    """Return seconds per floating-point operation of the fastest square matrix multiplication."""
    import jax
    import jax.numpy as jnp

    best = float("inf")
    for size in (256, 512, 1024, 2048):
        a = jnp.ones((size, size))
        multiply = jax.jit(jnp.matmul)
        multiply(a, a).block_until_ready()
        for _ in range(3 * repeats):
            start = clock()
            multiply(a, a).block_until_ready()
            best = min(best, (clock() - start) / (2 * size**3))
    return best


def naive_flops(shape: Shape, batch: int = BATCH) -> float:
    """Return the operations of a training step that computes every layer in every step (T = H).

    A product of a batch with a weight matrix takes 2 B operations per weight. The forward pass
    takes one with every matrix. Each inference step takes two (prediction, feedback) with all but
    the first. Learning computes the errors once more and one outer product per matrix.
    """
    depth, width = shape
    above_first = (depth - 1) * width**2 + OUTPUTS * width
    weights = above_first + INPUTS * width
    forward, inference, learning = 2 * weights, depth * 4 * above_first, 2 * above_first
    return batch * (forward + inference + learning + 2 * weights)


def network(shape: Shape, activation: str = "relu") -> "pccore.NetworkConfig":
    """Return a network for MNIST's sizes."""
    import pccore

    depth, width = shape
    return pccore.NetworkConfig(INPUTS, OUTPUTS, width, depth, activation)


def training(
    shape: Shape, steps: int, eval_every: int = 300, activation: str = "relu"
) -> "pccore.TrainingConfig":
    """Return a training of `steps` weight updates with T = H in the default layout."""
    import jax

    import pccore
    from jobs.pools.devices import describe
    from jobs.pools.layouts import default_layout

    rule = pccore.PredictiveCoding(pccore.GradientDescent(shape[0]))
    config = pccore.TrainingConfig(
        network(shape, activation), rule, batch_size=BATCH, steps=steps, eval_every=eval_every
    )
    return default_layout(config, describe(jax.local_devices()[0])).apply(config)


def made_up(train: int = 60_000, test: int = 10_000, seed: int = 0) -> "pccore.data.Dataset":
    """Return random data with MNIST's sizes and types, by default with as many samples."""
    import numpy as np

    import pccore

    draw = np.random.default_rng(seed)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        images = draw.integers(0, 256, (count, INPUTS), dtype=np.uint8)
        return images, np.arange(count, dtype=np.int32) % OUTPUTS

    parts = (*part(train), *part(test))
    return pccore.data.Dataset("made up", "classification", *parts, mean=127.5, std=73.9)


def mnist_folder() -> str | None:
    """Return the folder of MNIST's files, `MUPC_DATA`; None where it is not there."""
    folder = os.environ.get("MUPC_DATA")
    return folder if folder and (Path(folder) / "mnist").is_dir() else None
