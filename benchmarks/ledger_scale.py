"""The ledger at scale: queries and compaction of a million runs and 20 million curve points.

    python benchmarks/ledger_scale.py [FOLDER] [--runs 1000000] [--points 20] [--json]

Builds a ledger (`invented_ledger.py`) in FOLDER, a temporary one by default, unless it is there
already: 200 compacted files and 1,000 of one group each, and a second ledger of 10,000 small files.
Queries the first, compacts copies of both, and queries the compacted one again. Every query runs in
a process of its own on a newly opened ledger. Columns: results found (rows, names, damaged files,
or files fewer), wall-clock seconds, processor seconds, and the peak memory of the process including
its libraries (the query "nothing"). For Linux.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import invented_ledger as invented
import results
from report import Report
from results import Ledger

SHAPE: dict[str, Any] = {"variant": "mupc", "width": 128, "depth": 32}
IN_ONE: dict[str, Any] = {"experiment": "experiment-00", **SHAPE}


@dataclass(frozen=True)
class Cost:
    """Cost of a query in seconds and bytes; `found` counts its results."""

    query: str
    state: str
    found: int
    wall: float
    processor: float
    memory: float


def optima(ledger: Ledger) -> int:
    """Count best cells by variant and shape: least mean final loss of fully trained cells."""
    runs = ledger.runs([*SHAPE, "weight_lr", "activity_lr", "final_train_loss"])
    cells = runs.groupby([*SHAPE, "weight_lr", "activity_lr"])["final_train_loss"]
    found = cells.agg(["mean", "count", "size"])
    whole = found[found["count"] == found["size"]]
    return len(whole.loc[whole.groupby(list(SHAPE))["mean"].idxmin()])


def resume(ledger: Ledger) -> int:
    """Look up all runs of a finished experiment, as a driver does; this loads JAX too."""
    from results.vocabulary import Phase
    from transfer.engine.scheduler import Scheduler

    pool: Any = None  # trains nothing
    scheduler = Scheduler("experiment-00", [invented.DIGEST], ledger, pool)
    wanted: Any = [
        SimpleNamespace(run_id=run_id, variant="mupc")
        for run_id in invented.run_ids(range(invented.PER_EXPERIMENT))
    ]
    scheduler.request(wanted, Phase.TUNE)
    return scheduler.done


def append(ledger: Ledger) -> int:
    """Append one group with its curves."""
    ids = [f"new-{number}" for number in range(invented.LANES)]
    row = {"experiment": "new", "phase": "tune", "outcome": "trained", **SHAPE}
    points = [{"run_id": i, "step": k, "train_loss": 0.1} for i in ids for k in range(20)]
    ledger.append([{**row, "run_id": i, "started": invented.START} for i in ids], points)
    return len(ids)


ONE_RUN = {"run_id": invented.run_ids([77])}
QUERIES: dict[str, Callable[[Ledger], int]] = {
    "nothing": lambda ledger: 0,
    "runs of a shape": lambda ledger: len(ledger.runs(**SHAPE)),
    "runs of a shape, one experiment": lambda ledger: len(ledger.runs(**IN_ONE)),
    "optimum per shape": optima,
    "one run": lambda ledger: len(ledger.runs(**ONE_RUN)),
    "curve of one run": lambda ledger: len(ledger.curves(**ONE_RUN)),
    "curves of a shape, one experiment": lambda ledger: len(ledger.curves(**IN_ONE)),
    "curves of a shape": lambda ledger: len(ledger.curves(**SHAPE)),
    "experiments": lambda ledger: len(ledger.experiments()),
    "start of a driver": resume,
    "check": lambda ledger: len(ledger.check()),
    "append a group": append,
}
COMPACT = "compact"


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("ledger_scale.py reads the memory of a process from /proc: it needs Linux")
    options = parse()
    if options.query:
        print(json.dumps(measure(*options.query)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        costs = survey(options, options.folder or Path(temporary))
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=1))
    else:
        publish(costs, options)


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    found.add_argument("folder", type=Path, nargs="?", help="of the ledgers (default: temporary)")
    found.add_argument("--runs", type=int, default=1_000_000, help="default 1,000,000")
    found.add_argument("--points", type=int, default=20, help="of every curve (default 20)")
    found.add_argument("--merged", type=int, default=200, help="files left by compactions (200)")
    found.add_argument("--small", type=int, default=1_000, help="files of one group (1,000)")
    found.add_argument(
        "--many", type=int, default=10_000, help="files of the second ledger (10,000)"
    )
    found.add_argument("--json", action="store_true", help="print JSON instead of the table")
    found.add_argument(
        "--log", action="store_true", help="append the table to docs/decisions/benchmarks.md"
    )
    found.add_argument("--query", nargs=2, help=argparse.SUPPRESS)  # a query and its ledger
    return found.parse_args()


def survey(options: argparse.Namespace, folder: Path) -> list[Cost]:
    """Build missing ledgers and run every query."""
    files, many, copy = folder / "files", folder / "many", folder / "copy"
    for place, runs, merged, small in (
        (files, options.runs, options.merged, options.small),
        (many, options.many * invented.LANES, 0, options.many),
    ):
        if not place.exists():
            log(f"building {place}")
            invented.build(place, runs, options.points, merged, small)
    costs = []
    for place, state in (
        (many, f"{options.many:,} files"),
        (files, f"{options.merged + options.small:,} files"),
    ):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy)
        if place == files:
            costs += [run_query(query, state, copy) for query in QUERIES]
        costs.append(run_query(COMPACT, state, copy))
    return costs + [run_query(query, "compacted", copy) for query in [*QUERIES, COMPACT]]


def run_query(query: str, state: str, ledger: Path) -> Cost:
    """Run a query in a process of its own."""
    command = [sys.executable, __file__, "--query", query, str(ledger)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    cost = Cost(query, state, **json.loads(done.stdout))
    log(f"{state}: {query}: {cost.wall:.2f} s")
    return cost


def measure(query: str, place: str) -> dict[str, float]:
    """Measure a query in this process, opening the ledger included."""
    call = Ledger.compact if query == COMPACT else QUERIES[query]
    start = time.perf_counter(), time.process_time()
    found = call(results.open(place))
    return {
        "found": found,
        "wall": time.perf_counter() - start[0],
        "processor": time.process_time() - start[1],
        "memory": peak_memory(),
    }


def peak_memory() -> float:
    """Return the peak memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.partition("VmHWM:")[2].split()[0])


def log(text: str) -> None:
    """Print to the error stream, so that the table can be piped."""
    print(text, file=sys.stderr, flush=True)


def publish(costs: list[Cost], options: argparse.Namespace) -> None:
    report = Report(
        "The ledger at scale",
        ["ledger", "query", "found", "wall, s", "processor, s", "memory, MB"],
        notes=[
            f"{options.runs:,} runs, each with a curve of {options.points} points; the ledger of "
            f"{options.many:,} files has {options.many * invented.LANES:,}. Each query "
            "in a process of its own."
        ],
    )
    for each in costs:
        seconds = [f"{each.wall:.2f}", f"{each.processor:.2f}"]
        cells = [each.state, each.query, f"{each.found:,}", *seconds]
        report.rows.append([*cells, f"{each.memory / 1e6:,.0f}"])
    report.publish(options)


if __name__ == "__main__":
    main()
