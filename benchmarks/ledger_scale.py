"""The ledger at scale: a million runs and 20 million points of curves, asked and compacted.

    python benchmarks/ledger_scale.py [FOLDER] [--runs 1000000] [--points 20] [--json]

Builds a ledger (`invented_ledger.py`) in FOLDER, a temporary one by default, unless it is there
already: 200 files as compactions leave them and 1,000 of one group each; and one of 10,000 small
files. Asks the first, compacts copies of both, and asks the compacted one again. Every question has
a process and a ledger that has just been opened of its own. Columns: what came back (rows, names,
damaged files, or files fewer), wall-clock seconds, the processor's seconds, and the most memory
that the process ever had, its libraries (the question "nothing") included. For Linux.
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
from report import Report

import results
from results import Ledger

MERGED, SMALL = 200, 1_000  # files of the ledger that is asked
MANY = 10_000  # small files of the one that is only compacted
SHAPE: dict[str, Any] = {"variant": "mupc", "width": 128, "depth": 32}
IN_ONE: dict[str, Any] = {"experiment": "experiment-00", **SHAPE}


@dataclass(frozen=True)
class Answer:
    """What a question took: seconds and bytes; `found` counts what came back."""

    question: str
    state: str
    found: int
    wall: float
    processor: float
    memory: float


def optima(ledger: Ledger) -> int:
    """The best cell of every variant and shape: mean final loss over seeds, all of them trained."""
    runs = ledger.runs([*SHAPE, "weight_lr", "activity_lr", "final_train_loss"])
    cells = runs.groupby([*SHAPE, "weight_lr", "activity_lr"])["final_train_loss"]
    found = cells.agg(["mean", "count", "size"])
    whole = found[found["count"] == found["size"]]
    return len(whole.loc[whole.groupby(list(SHAPE))["mean"].idxmin()])


def resume(ledger: Ledger) -> int:
    """All runs of an experiment that is done, as a driver looks them up; JAX is loaded too."""
    from transfer.engine.scheduler import TUNE, Scheduler

    pool: Any = None  # trains nothing
    scheduler = Scheduler("experiment-00", [invented.DIGEST], ledger, pool)
    wanted: Any = [
        SimpleNamespace(run_id=run_id, variant="mupc")
        for run_id in invented.run_ids(range(invented.PER_EXPERIMENT))
    ]
    scheduler.request(wanted, TUNE)
    return scheduler.done


def append(ledger: Ledger) -> int:
    """One group with its curves."""
    ids = [f"new-{number}" for number in range(invented.LANES)]
    row = {"experiment": "new", "phase": "tune", "outcome": "trained", **SHAPE}
    points = [{"run_id": i, "step": k, "train_loss": 0.1} for i in ids for k in range(20)]
    ledger.append([{**row, "run_id": i, "started": invented.START} for i in ids], points)
    return len(ids)


ONE_RUN = {"run_id": invented.run_ids([77])}
QUESTIONS: dict[str, Callable[[Ledger], int]] = {
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
        sys.exit("ledger_scale.py reads the memory of a process as only Linux tells it")
    options = parse()
    if options.ask:
        print(json.dumps(measure(*options.ask)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        answers = survey(options, options.folder or Path(temporary))
    if options.json:
        print(json.dumps([asdict(answer) for answer in answers], indent=1))
    else:
        publish(answers, options)


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    found.add_argument("folder", type=Path, nargs="?", help="of the ledgers (default: temporary)")
    found.add_argument("--runs", type=int, default=1_000_000, help="default 1,000,000")
    found.add_argument("--points", type=int, default=20, help="of every curve (default 20)")
    found.add_argument("--json", action="store_true", help="print JSON instead of the table")
    found.add_argument("--log", action="store_true", help="append the table to docs/log.md")
    found.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)  # a question and its ledger
    return found.parse_args()


def survey(options: argparse.Namespace, folder: Path) -> list[Answer]:
    """Build what is not there yet, and ask it everything."""
    files, many, copy = folder / "files", folder / "many", folder / "copy"
    for place, runs, merged, small in (
        (files, options.runs, MERGED, SMALL),
        (many, MANY * invented.LANES, 0, MANY),
    ):
        if not place.exists():
            say(f"building {place}")
            invented.build(place, runs, options.points, merged, small)
    answers = []
    for place, state in ((many, f"{MANY:,} files"), (files, f"{MERGED + SMALL:,} files")):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy)
        if place == files:
            answers += [asked(question, state, copy) for question in QUESTIONS]
        answers.append(asked(COMPACT, state, copy))
    return answers + [asked(question, "compacted", copy) for question in [*QUESTIONS, COMPACT]]


def asked(question: str, state: str, ledger: Path) -> Answer:
    """The answer of a process of its own."""
    command = [sys.executable, __file__, "--ask", question, str(ledger)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer = Answer(question, state, **json.loads(done.stdout))
    say(f"{state}: {question}: {answer.wall:.2f} s")
    return answer


def measure(question: str, place: str) -> dict[str, float]:
    """What a question takes in this process, the opening of the ledger included."""
    ask = Ledger.compact if question == COMPACT else QUESTIONS[question]
    start = time.perf_counter(), time.process_time()
    found = ask(results.open(place))
    return {
        "found": found,
        "wall": time.perf_counter() - start[0],
        "processor": time.process_time() - start[1],
        "memory": peak_memory(),
    }


def peak_memory() -> float:
    """The most bytes of memory that this process ever had."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.partition("VmHWM:")[2].split()[0])


def say(text: str) -> None:
    """On the error stream, so that the table can be piped."""
    print(text, file=sys.stderr, flush=True)


def publish(answers: list[Answer], options: argparse.Namespace) -> None:
    report = Report(
        "The ledger at scale",
        ["ledger", "question", "found", "wall, s", "processor, s", "memory, MB"],
        notes=[
            f"{options.runs:,} runs, each with a curve of {options.points} points; the ledger of "
            f"{MANY:,} files has {MANY * invented.LANES:,}. Each question in a process of its own."
        ],
    )
    for each in answers:
        seconds = [f"{each.wall:.2f}", f"{each.processor:.2f}"]
        cells = [each.state, each.question, f"{each.found:,}", *seconds]
        report.rows.append([*cells, f"{each.memory / 1e6:,.0f}"])
    report.publish(options)


if __name__ == "__main__":
    main()
