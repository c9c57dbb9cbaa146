"""`make bench`: the short form of the benchmarks, as ratios, against the committed record.

    python benchmarks/bench.py [--update] [--only WORD]

Every ratio is better when it is larger. A ratio more than 20% below the record, or below a bar that
holds on every machine, is measured again, at most twice, and the best counts. If it stays below,
its name, the measurement and the record are printed and the exit status is 1. --update rewrites the
record.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from measure import usable_cpus
from report import commit

HERE = Path(__file__).parent
RECORD = HERE / "record.json"
MARGIN = 0.2
TRIES = 3  # of a command whose ratios are too low

PLAN = [
    "step_time.py --shapes 8x64,8x128,32x128,128x64,128x128 --repeats 4 --clock processor",
    "schemes.py --shapes 32x128 --lanes 1 --per-layer 2 --repeats 9",
    "compile_time.py --depths 8,128 --repeats 2",
    "startup.py --shapes 8x64 --repeats 3",
    "memory.py --shapes 8x64,128x128 --no-runs",
    "compiled_share.py --shapes 8x64 --repeats 3",
    "overhead.py --repeats 2",
]
BARS = {
    "compile time, H = 8 / 128": 1 / 1.3,
    "calls without recompilation": 1.0,
    "share in compiled code, 8x64": 0.9,
    "descent / augmented Lagrangian, 32x128, lanes 1, T = 64": 1 / 1.2,
}

Ratios = dict[str, float]


@dataclass(frozen=True)
class Failure:
    """A ratio that is too low, and the least value allowed."""

    name: str
    measured: float
    least: float
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.measured:.3f} is below {self.least:.3f} ({self.why})"


def main() -> None:
    options = parse()
    record = read_record()
    if not record and not options.update:
        sys.exit(f"there is no {RECORD.name}: write one with --update, on a machine at rest")
    start = time.perf_counter()
    found: Ratios = {}
    failures: list[Failure] = []
    for command in PLAN:
        if options.only in command:
            ratios = measured(command) if options.update else best_of(command, record)
            failures += failing(ratios, {} if options.update else record)
            found |= ratios
            show(ratios, record)
    print(f"{time.perf_counter() - start:.0f} s")
    for failure in failures:
        print(f"FAILED {failure}")
    if options.update:
        write_record(record | found)
    sys.exit(bool(failures))


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--update", action="store_true", help="rewrite the record")
    found.add_argument(
        "--only", default="", metavar="WORD", help="run benchmarks whose command contains it"
    )
    return found.parse_args()


def best_of(command: str, record: Ratios) -> Ratios:
    """Return the best of each ratio of a command, run again while one of them is too low."""
    best = measured(command)
    for _ in range(TRIES - 1):
        failures = failing(best, record)
        if not failures:
            break
        print(f"measured again because {failures[0]}", flush=True)
        best = {name: max(best.get(name, 0.0), value) for name, value in measured(command).items()}
    return best


def measured(command: str) -> Ratios:
    """Return the ratios of one command, run as a process."""
    print(f"-- benchmarks/{command}", flush=True)
    script, *arguments = command.split()
    result = subprocess.run(
        [sys.executable, HERE / script, *arguments, "--json"], stdout=subprocess.PIPE, text=True
    )
    lines = result.stdout.splitlines()
    if not lines:
        sys.exit(f"benchmarks/{command} ended with status {result.returncode} and no ratios")
    return json.loads(lines[-1])


def failing(ratios: Ratios, record: Ratios) -> list[Failure]:
    """Return the ratios that are below their bar or too far below the record."""
    failures = []
    for name, value in ratios.items():
        bar, recorded = BARS.get(name, 0.0), record.get(name, 0.0)
        if value < bar:
            failures.append(Failure(name, value, bar, "its bar"))
        elif value < (1 - MARGIN) * recorded:
            why = f"the record is {recorded:.3f}"
            failures.append(Failure(name, value, (1 - MARGIN) * recorded, why))
    return failures


def show(ratios: Ratios, record: Ratios) -> None:
    """Print each ratio next to its record."""
    for name, value in ratios.items():
        recorded = f"{record[name]:8.3f}" if name in record else "       -"
        print(f"{name:<44} {value:8.3f}   record {recorded}", flush=True)


def read_record(path: Path = RECORD) -> Ratios:
    """Return the committed ratios; an empty dictionary without a record."""
    return json.loads(path.read_text())["ratios"] if path.exists() else {}


def write_record(ratios: Ratios, path: Path = RECORD) -> None:
    """Write the record with the date, commit, JAX version and cores of the measurement."""
    about = {
        "date": str(date.today()),
        "commit": commit(),
        "jax": version("jax"),
        "cores": len(usable_cpus()),
    }
    rounded = {name: round(value, 4) for name, value in ratios.items()}
    path.write_text(json.dumps({"measured": about, "ratios": rounded}, indent=2) + "\n")


if __name__ == "__main__":
    main()
