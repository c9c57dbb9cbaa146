"""Time from the start of a process to its first trained step, cold and with a warm cache.

    python benchmarks/startup.py [--shapes 8x64,128x64] [--peer jpc --peer-python PYTHON]

Every measurement is a fresh process. The way "pool" is a worker's: imports, a LocalPool, the data
set (MNIST where its files are found, else as many made-up samples), compilation, one step and its
evaluation; the way "run" is that of `mupc run`, which reads a spec, computes the digest of the
data and opens a ledger first. "Cold" begins with an empty compilation cache, "warm" with the one
that cold left. For scale, a process that imports JAX and compiles x + 1; ratios to it are of
processor time. The peer's first step is measured once, without a cache, at the deepest shape, and
given up after --limit seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import peer
from compilation import watched
from measure import EPOCH, Shape, add_peer, label, made_up, mnist_folder, parser, shapes, training
from report import Report

if TYPE_CHECKING:
    from jobs import LocalPool

STAGES = ["imports", "pool", "data", "trace", "lower", "compile", "rest", "first step"]
PROCESSOR = "processor"  # seconds that a child used, which other work hardly changes
SPEC = """\
name: startup
dataset: mnist
training: {{batch_size: 64, steps: 937, eval_every: 1}}
tune: {{width: {width}, depth: {depth}, weight_lr: [0.05], activity_lr: [5], seeds: 1}}
transfer: {{depths: [{depth}]}}
"""
BARE = "import jax; jax.jit(lambda x: x + 1)(1.0).block_until_ready()"


def main() -> None:
    options = parse()
    if options.child:
        child(options.shapes[0], options.child)
        return
    report = Report(
        "From process start to the first trained step, in seconds",
        ["H x N", "cache, way", *STAGES, PROCESSOR],
        notes=[
            "Imports include the interpreter's start; compile includes reading the cache; rest is "
            'drawing weights, the step itself, its evaluation and, in the way "run", all that '
            "comes before the first group. Processor is what the process took of it. Warm is the "
            f"best of {options.repeats}, cold is one."
        ],
    )
    bare = min(add(report, shape, options) for shape in options.shapes)
    report.notes.append(
        f"A process that imports JAX and compiles x + 1 takes {bare:.2f} processor seconds."
    )
    if options.peer:
        add_line_of_peer(report, max(options.shapes), options)
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    default = "8x64,128x64"
    found.add_argument("--shapes", type=shapes, default=default, help=f"HxN,... ({default})")
    add_peer(found)
    found.add_argument("--limit", type=float, default=900, help="seconds for the peer (900)")
    found.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    return found.parse_args()


def add(report: Report, shape: Shape, options: argparse.Namespace) -> float:
    """Add the lines of a shape and its ratios; return the bare process' processor seconds."""
    bare, ways = float("inf"), ["pool", "run"] if mnist_folder() else ["pool"]
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as cache:

        def go(way: str) -> dict[str, float]:
            command = [sys.executable, Path(__file__), "--shapes", label(shape), "--child", way]
            return started(command, MUPC_CACHE=cache)

        found["cold"] = [go("pool")]
        for _ in range(options.repeats):
            bare = min(bare, run([sys.executable, "-c", BARE])[1])
            for way in ways:
                found.setdefault(f"warm, {way}", []).append(go(way))
    best = {name: min(tries, key=itemgetter("first step")) for name, tries in found.items()}
    for name, stages in best.items():
        cells = [f"{stages[stage]:.2f}" for stage in (*STAGES, PROCESSOR)]
        report.rows.append([f"{shape[0]} x {shape[1]}", name, *cells])
    for way in ways:
        least = min(stages[PROCESSOR] for stages in found[f"warm, {way}"])
        report.ratios[f"bare JAX / warm {way}, {label(shape)}"] = bare / least
    return bare


def add_line_of_peer(report: Report, shape: Shape, options: argparse.Namespace) -> None:
    """Add the line of the peer at `shape`, which must be in the table, and its ratio."""
    place = f"{shape[0]} x {shape[1]}"
    ours = next(row for row in report.rows if row[:2] == [place, "cold"])
    seconds = dict(zip(report.columns[2:], map(float, ours[2:]), strict=True))
    limit = options.limit
    try:
        found = started(peer.command(options, shape, "--first-step"), limit)
        shown, sign = {name: f"{value:.2f}" for name, value in found.items()}, ""
    except subprocess.TimeoutExpired:
        found, shown, sign = {"first step": limit}, {"first step": f"> {limit:.0f}"}, "> "
    cells = [shown.get(stage, "") for stage in (*STAGES, PROCESSOR)]
    report.rows.append([place, "peer, cold", *cells])
    ratio = found["first step"] / seconds["first step"]
    report.ratios[f"cold first step, peer / ours, {label(shape)}"] = ratio
    report.notes.append(f"Peer / ours, cold, at {place}: {sign}{ratio:.1f}.")


def started(command: list, limit: float | None = None, **variables: str) -> dict[str, float]:
    """Return what a child measures since it was started, and its processor time."""
    output, processor = run(command, limit, **variables, **{peer.STARTED: str(time.monotonic())})
    return json.loads(output.splitlines()[-1]) | {PROCESSOR: processor}


def run(command: list, limit: float | None = None, **variables: str) -> tuple[str, float]:
    """Return what a process prints, and the processor seconds that it takes."""
    own = os.environ | variables
    own.pop("JAX_COMPILATION_CACHE_DIR", None)  # the user's own cache would be warm
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        command, env=own, timeout=limit, check=True, stdout=subprocess.PIPE, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result.stdout, spent


def child(shape: Shape, way: str) -> None:
    """Train one step; print seconds by stage, and "first step" since this process was started."""
    start = float(os.environ[peer.STARTED])
    from jobs.pools.local import LocalPool
    from jobs.pools.worker import load_dataset, train_group

    marks = {"imports": time.monotonic() - start}

    def load(name: str, folder: str | None) -> object:
        clock = time.monotonic()
        data = load_dataset(name, folder) if folder else made_up()
        marks["data"] = time.monotonic() - clock
        return data

    def first_step(steps: int) -> None:
        marks["first step"] = time.monotonic() - start
        marks.update({name: compilations.seconds(name) for name in ("trace", "lower", "compile")})
        marks["rest"] = 2 * marks["first step"] - sum(marks.values())
        print(json.dumps(marks), flush=True)
        os._exit(0)

    def train(group: object, **_: object) -> object:
        return train_group(group, load=load, on_progress=first_step)

    with watched() as compilations:
        clock = time.monotonic()
        pool = LocalPool(workers=1, train=train)
        marks["pool"] = time.monotonic() - clock
        WAYS[way](shape, pool)


def by_pool(shape: Shape, pool: "LocalPool") -> None:
    """Give a pool one group, as a driver does."""
    from pccore import Lane
    from transfer.engine.pool import Group

    config = training(shape, EPOCH, eval_every=1)
    pool.submit(Group("mnist", mnist_folder(), config, (Lane(0.05, 5.0, 0),), ("0",)))
    pool.collect()


def by_run(shape: Shape, pool: "LocalPool") -> None:
    """Run an experiment as `mupc run` does: spec, digest of the data and ledger come first."""
    import results
    import transfer

    depth, width = shape
    folder = Path(tempfile.mkdtemp(dir=os.environ["MUPC_CACHE"]))  # the parent removes it
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.format(depth=depth, width=width))
    ledger = results.open(folder / "runs", create=True)
    transfer.run(transfer.load(spec), ledger, pool, data_dir=mnist_folder())


WAYS = {"pool": by_pool, "run": by_run}


if __name__ == "__main__":
    main()
