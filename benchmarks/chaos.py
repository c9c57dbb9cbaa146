"""Kills at random whatever works on an experiment, and counts what is lost or counted twice.

    python benchmarks/chaos.py [--kills 200] [--seed 0] [--nodes 2]

A real Ray cluster on this machine: a head, and nodes with a slot each (in network namespaces of
their own where one may). `mupc run` trains an experiment on it, again and again under another name.
Every few seconds a worker, a node or the driver gets SIGKILL; another node joins, and the driver is
started again with the same command. After each kill the ledger's files are read: a run that was
there and is not any more is lost, one that is there twice is doubled. At the end of each experiment
its verdicts are compared with those of a run that nobody killed. The exit status is 1 if anything
was lost, doubled, damaged or decided otherwise.
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml

import results

sys.path.append(str(Path(__file__).parents[1] / "tests" / "jobs"))
from ray_nodes import Node, Nodes, ray_nodes

MUPC = [sys.executable, "-c", "from jobs.cli.main import main; main()"]
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "variants": ["mupc", "sp", "bp"],
    "training": {"batch_size": 64, "steps": 6000, "eval_every": 1000},
    "tune": {"width": 8, "depth": 2, "weight_lr": [0.1, 0.03], "activity_lr": [1], "seeds": 2},
    "transfer": {"depths": [3, 4, 5, 6]},
}
DECIDED = ["variant", "width", "depth", "verdict", "weight_lr", "activity_lr"]
VICTIMS = {"worker": 6, "driver": 2, "node": 1}  # how often, relative to each other
PAUSE = (0.5, 4.0)  # seconds between two kills


class Siege:
    """One experiment under attack, and what has been seen of its ledger."""

    def __init__(self, nodes: Nodes, folder: Path, name: str) -> None:
        self.nodes, self.folder = nodes, folder / name
        self.folder.mkdir()
        (self.folder / "spec.yaml").write_text(yaml.safe_dump({"name": name, **SPEC}))
        self.seen: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.doubled: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Start the driver, or start it again."""
        where = ("--pool", "ray", "--address", self.nodes.address)
        with (self.folder / "said").open("a") as said:
            self.driver = subprocess.Popen(
                [*MUPC, "run", "spec.yaml", *where, "--checkpoint-minutes", "0.01"],
                cwd=self.folder,
                env={**os.environ, "MUPC_LAYOUTS": "default", **self.nodes.variables()},
                stdout=said,
                stderr=said,
            )

    def look(self) -> None:
        """Count the rows of every published file."""
        now: Counter[str] = Counter()
        for path in (self.folder / "runs" / "runs").glob("[!.]*.parquet"):
            with suppress(FileNotFoundError):  # merged meanwhile
                now.update(pq.read_table(path, columns=["run_id"])["run_id"].to_pylist())
        if not now and self.seen:
            return  # between two listings of a compaction
        self.lost |= self.seen.keys() - now.keys()
        self.doubled |= {run_id for run_id, count in now.items() if count > 1}
        self.seen |= now

    def said(self) -> str:
        """The last of what the driver printed."""
        return (self.folder / "said").read_text()[-2000:]

    def damaged(self) -> int:
        """How many files are not what was written."""
        return len(results.open(self.folder / "runs").check())

    def verdicts(self) -> pd.DataFrame:
        """What was decided."""
        return results.open(self.folder / "runs").verdicts()[DECIDED]


@dataclass
class Tally:
    """What the sieges came to."""

    kills: Counter[str] = field(default_factory=Counter)
    experiments: int = 0
    lost: int = 0
    doubled: int = 0
    damaged: int = 0
    otherwise: int = 0
    seconds: float = 0.0

    def add(self, siege: Siege, undisturbed: pd.DataFrame) -> None:
        """Judge an experiment that is done."""
        self.experiments += 1
        self.lost += len(siege.lost)
        self.doubled += len(siege.doubled)
        self.damaged += siege.damaged()
        self.otherwise += not siege.verdicts().equals(undisturbed)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.damaged or self.otherwise)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} of {kind}s" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}) in {self.seconds:.0f} s; "
            f"{self.experiments} experiments done; {self.lost} runs lost, {self.doubled} doubled, "
            f"{self.damaged} files damaged, {self.otherwise} verdicts otherwise"
        )


def main() -> int:
    options = parse()
    chance, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        undisturbed = undisturbed_verdicts(Path(place))
        begun = time.monotonic()
        with ray_nodes(Path(place)) as nodes:
            for _ in range(options.nodes):
                nodes.join()
            while tally.kills.total() < options.kills:
                siege = Siege(nodes, Path(place), f"siege-{tally.experiments}")
                lay(siege, chance, tally.kills, options.kills)
                tally.add(siege, undisturbed)
                tally.seconds = time.monotonic() - begun
                print(tally, flush=True)
    return 0 if tally.clean else 1


def lay(siege: Siege, chance: random.Random, kills: Counter[str], most: int) -> None:
    """Kill until the experiment is done all the same; no more than `most` kills in all."""
    while True:
        time.sleep(chance.uniform(*PAUSE))
        siege.look()
        status = siege.driver.poll()
        if status == 0:
            return
        if status is not None:
            sys.exit(f"the driver gave up with status {status}:\n{siege.said()}")
        alive = [node for node in siege.nodes.nodes if node.processes()]
        workers = [worker for node in alive for worker in node.workers()]
        if workers and kills.total() < most:  # a driver that never gets that far loses nothing
            (kind,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
            strike(siege, kind, chance.choice(alive), chance.choice(workers))
            kills[kind] += 1


def strike(siege: Siege, kind: str, node: Node, worker: int) -> None:
    """Kill one of them or the driver, and see to it that work can go on."""
    if kind == "worker":
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    elif kind == "node":
        node.signal(signal.SIGKILL)
        siege.nodes.join()
    else:
        siege.driver.kill()
        siege.driver.wait()
        siege.look()
        siege.begin()


def undisturbed_verdicts(folder: Path) -> pd.DataFrame:
    """Those of a run that nobody killed."""
    (folder / "spec.yaml").write_text(yaml.safe_dump({"name": "undisturbed", **SPEC}))
    command = [*MUPC, "run", "spec.yaml", "--ledger", "undisturbed"]
    variables = {**os.environ, "MUPC_LAYOUTS": "default"}
    subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=True)
    return results.open(folder / "undisturbed").verdicts()[DECIDED]


def parse() -> argparse.Namespace:
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--kills", type=int, default=200, help="in all (default 200)")
    found.add_argument("--seed", type=int, default=0, help="of what is killed when (default 0)")
    found.add_argument("--nodes", type=int, default=2, help="of the cluster (default 2)")
    return found.parse_args()


if __name__ == "__main__":
    sys.exit(main())
