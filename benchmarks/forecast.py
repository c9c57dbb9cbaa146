"""Estimates of `mupc plan` compared with the time that `mupc run` takes.

    python benchmarks/forecast.py [SPEC ...]

Each spec (default: examples/digits.yaml) is planned and then run, by the command and with its
defaults, into a ledger of its own and with an empty cache, so that all is compiled. Columns: runs
at most and runs; the estimated time, the time that the whole command took from its start to its
report, and their ratio; the share of diverged runs, which may have ended early. Other work on the
machine lengthens both times, not always by the same factor, so its load is listed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import parser
from report import Report

MUPC = [sys.executable, "-m", "mupc"]
DIGITS = Path(__file__).parents[1] / "examples" / "digits.yaml"


def main() -> None:
    options = parse()
    report = Report(
        "Estimated and measured time",
        [
            "spec",
            "runs, at most",
            "runs",
            "estimated, s",
            "measured, s",
            "ratio",
            "diverged",
            "load",
        ],
    )
    for spec in options.specs:
        with tempfile.TemporaryDirectory() as folder:
            report.rows.append(row(spec.resolve(), Path(folder)))
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("specs", nargs="*", type=Path, default=[DIGITS], metavar="SPEC")
    return found.parse_args()


def row(spec: Path, folder: Path) -> list[str]:
    """Plan, run, compare."""
    plan = json.loads(mupc(folder, "plan", str(spec), "--json"))
    began = time.perf_counter()
    mupc(folder, "run", str(spec))
    taken = time.perf_counter() - began
    runs = json.loads(mupc(folder, "results", "--json", "--columns", "outcome"))["rows"]
    diverged = sum(run["outcome"] == "diverged" for run in runs)
    estimated = plan["left"]["seconds"]
    return [
        spec.stem,
        str(plan["left"]["runs"]),
        str(len(runs)),
        f"{estimated:.0f}",
        f"{taken:.0f}",
        f"{estimated / taken:.2f}",
        f"{diverged / len(runs):.0%}",
        f"{os.getloadavg()[0]:.1f}",
    ]


def mupc(folder: Path, *arguments: str) -> str:
    """Return what the command prints when run in a folder."""
    environment = os.environ | {"MUPC_CACHE": str(folder / "cache")}
    done: Any = subprocess.run(
        [*MUPC, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return str(done.stdout)


if __name__ == "__main__":
    main()
