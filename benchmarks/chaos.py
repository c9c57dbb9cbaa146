"""Random kills of workers, nodes, drivers and compactors; counts runs lost or trained twice.

    python benchmarks/chaos.py [--kills 200] [--seed 0] [--nodes 2] [--store disk|s3]

A real Ray cluster on this machine: a head, and nodes with a slot each (in network namespaces of
their own where permitted). `mupc run` trains an experiment on it, repeatedly under new names, while
another process compacts its ledger, in a folder or in a bucket of an S3 server (moto). Every few
seconds a worker, a node, the driver or the compactor gets SIGKILL, or up to three of them at once.
A killed node is replaced; the driver and the compactor are started again. Before each strike the
ledger's files are read, without the ledger's code: a run that has vanished is lost, a run with two
different rows was trained twice.
(A compactor that dies leaves copies of rows, which queries drop.) At the end of each experiment its
verdicts are compared with those of an undisturbed run, and a query must return each run once. The
exit status is 1 if anything was lost, doubled, damaged or judged differently.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyarrow import fs

import results

sys.path.append(str(Path(__file__).parents[1] / "tests"))
sys.path.append(str(Path(__file__).parents[1] / "tests" / "jobs"))
from ray_nodes import Node, Nodes, ray_nodes
from s3_server import BUCKET, s3_server

MUPC = [sys.executable, "-c", "from jobs.cli.main import main; main()"]
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "variants": ["mupc", "sp", "bp"],
    "training": {"batch_size": 64, "steps": 6000, "eval_every": 1000},
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.1, 0.03], "activity_lr": [1], "seeds": 2},
    "transfer": {"depths": [3, 4, 5, 6]},
}
DECIDED = ["variant", "width", "depth", "verdict", "weight_lr", "activity_lr"]
VICTIMS = {"worker": 6, "driver": 2, "node": 1, "compactor": 3}  # relative to each other
COMPACT = """
import sys, time, results
while True:
    try:
        results.open(sys.argv[1]).compact()
    except results.LedgerError as error:  # the ledger does not exist yet
        print(error)
    time.sleep(0.5)
"""
PAUSE = (0.5, 4.0)  # seconds between two strikes
AT_ONCE = (1, 1, 2, 3)  # kills of a strike, each as likely


class Attack:
    """One experiment whose processes are killed, and the rows seen in its ledger."""

    def __init__(self, nodes: Nodes, folder: Path, name: str, store: str) -> None:
        self.nodes, self.folder = nodes, folder / name
        self.folder.mkdir()
        (self.folder / "spec.yaml").write_text(yaml.safe_dump({"name": name, **SPEC}))
        self.ledger = f"{BUCKET}/{name}" if store == "s3" else str(self.folder / "runs")
        self.rows_seen: set[str] = set()
        self.lost: set[str] = set()
        self.doubled: set[str] = set()
        self.driver = self.start_driver()
        self.compactor = self.start_compactor()

    def start_driver(self) -> subprocess.Popen[bytes]:
        """Start or restart the driver."""
        where = ("--pool", "ray", "--address", self.nodes.address, "--ledger", self.ledger)
        return self.started([*MUPC, "run", "spec.yaml", *where, "--checkpoint-minutes", "0.01"])

    def start_compactor(self) -> subprocess.Popen[bytes]:
        """Start or restart the process that merges files."""
        return self.started([sys.executable, "-c", COMPACT, self.ledger])

    def started(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("a") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.nodes.variables()},
                stdout=output,
                stderr=output,
            )

    def inspect(self) -> None:
        """Read the rows of every published file, and note lost and doubled runs."""
        now: dict[str, set[object]] = {}
        for row in published_rows(self.ledger):
            now.setdefault(row["run_id"], set()).add((row["started"], row["pid"]))
        if gone := self.rows_seen - now.keys():  # a merge may have happened while files were read
            gone -= {row["run_id"] for row in published_rows(self.ledger)}
            self.lost |= gone
        self.doubled |= {run_id for run_id, rows in now.items() if len(rows) > 1}
        self.rows_seen |= now.keys()

    def finish(self) -> None:
        """Let the compactor go, and look at what is left, through files and through a query."""
        self.compactor.kill()
        self.compactor.wait()
        self.inspect()
        runs = results.open(self.ledger).runs()["run_id"]
        self.lost |= self.rows_seen - set(runs)
        self.doubled |= set(runs[runs.duplicated()])

    def output(self) -> str:
        """Return the end of what the driver printed."""
        return (self.folder / "output").read_text()[-2000:]

    def damaged(self) -> int:
        """Return the number of damaged files."""
        return len(results.open(self.ledger).check())

    def verdicts(self) -> pd.DataFrame:
        """Return the columns of the verdicts that must not change."""
        return results.open(self.ledger).verdicts()[DECIDED]


def published_rows(ledger: str) -> list[dict[str, Any]]:
    """Return columns of all rows in the files of the table `runs`, with copies."""
    store, folder = fs.FileSystem.from_uri(ledger)
    found = []
    for entry in store.get_file_info(fs.FileSelector(f"{folder}/runs", allow_not_found=True)):
        if entry.base_name.endswith(".parquet") and not entry.base_name.startswith("."):
            with suppress(OSError):  # merged meanwhile
                file = pa.BufferReader(store.open_input_stream(entry.path).read())
                found += pq.read_table(file, columns=["run_id", "started", "pid"]).to_pylist()
    return found


@dataclass
class Totals:
    """Kills, and faults found, of all attacks."""

    kills: Counter[str] = field(default_factory=Counter)
    experiments: int = 0
    lost: int = 0
    doubled: int = 0
    damaged: int = 0
    changed: int = 0
    seconds: float = 0.0

    def add(self, attack: Attack, undisturbed: pd.DataFrame) -> None:
        """Add the faults of a finished experiment."""
        attack.finish()
        self.experiments += 1
        self.lost += len(attack.lost)
        self.doubled += len(attack.doubled)
        self.damaged += attack.damaged()
        self.changed += not attack.verdicts().equals(undisturbed)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.damaged or self.changed)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} of {kind}s" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}) in {self.seconds:.0f} s; "
            f"{self.experiments} experiments done; {self.lost} runs lost, {self.doubled} doubled, "
            f"{self.damaged} files damaged, {self.changed} verdicts changed"
        )


def main() -> int:
    options = parse()
    chance, totals = random.Random(options.seed), Totals()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        if options.store == "s3":
            os.environ.update(stack.enter_context(s3_server()))
        undisturbed = undisturbed_verdicts(place)
        begun = time.monotonic()
        nodes = stack.enter_context(ray_nodes(place))
        for _ in range(options.nodes):
            nodes.join()
        while totals.kills.total() < options.kills:
            attack = Attack(nodes, place, f"attack-{totals.experiments}", options.store)
            stack.callback(attack.compactor.kill)
            kill_until_done(attack, chance, totals.kills, options.kills)
            totals.add(attack, undisturbed)
            totals.seconds = time.monotonic() - begun
            print(totals, flush=True)
    return 0 if totals.clean else 1


def kill_until_done(attack: Attack, chance: random.Random, kills: Counter[str], most: int) -> None:
    """Kill processes until the experiment is done; at most `most` kills in all."""
    while True:
        time.sleep(chance.uniform(*PAUSE))
        attack.inspect()
        status = attack.driver.poll()
        if status == 0:
            return
        if status is not None:
            sys.exit(f"the driver gave up with status {status}:\n{attack.output()}")
        alive = [node for node in attack.nodes.nodes if node.processes()]
        workers = [worker for node in alive for worker in node.workers()]
        if workers and kills.total() < most:  # a driver that never gets that far loses nothing
            count = min(chance.choice(AT_ONCE), most - kills.total())
            kinds = set(chance.choices(list(VICTIMS), list(VICTIMS.values()), k=count))
            strike(attack, kinds, chance.choice(alive), chance.choice(workers))
            kills.update(kinds)


def strike(attack: Attack, kinds: set[str], node: Node, worker: int) -> None:
    """Kill processes of these kinds at once; replace the node, the compactor and the driver."""
    if "worker" in kinds:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    if "driver" in kinds:
        attack.driver.kill()
    if "compactor" in kinds:
        attack.compactor.kill()
    if "node" in kinds:
        node.signal(signal.SIGKILL)
        attack.nodes.join()
    if "compactor" in kinds:
        attack.compactor.wait()
        attack.compactor = attack.start_compactor()
    if "driver" in kinds:
        attack.driver.wait()
        attack.inspect()
        attack.driver = attack.start_driver()


def undisturbed_verdicts(folder: Path) -> pd.DataFrame:
    """Return the verdicts of an undisturbed run."""
    (folder / "spec.yaml").write_text(yaml.safe_dump({"name": "undisturbed", **SPEC}))
    command = [*MUPC, "run", "spec.yaml", "--ledger", "undisturbed"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return results.open(folder / "undisturbed").verdicts()[DECIDED]


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--kills", type=int, default=200, help="in all (default 200)")
    found.add_argument("--seed", type=int, default=0, help="of what is killed when (default 0)")
    found.add_argument("--nodes", type=int, default=2, help="of the cluster (default 2)")
    found.add_argument("--store", choices=("disk", "s3"), default="disk", help="of the ledgers")
    return found.parse_args()


if __name__ == "__main__":
    sys.exit(main())
