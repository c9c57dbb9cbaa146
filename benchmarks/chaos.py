"""Random kills of workers, nodes and drivers; counts runs that are lost or recorded twice.

    python benchmarks/chaos.py [--kills 200] [--seed 0] [--nodes 2]

A real Ray cluster on this machine: a head, and nodes with a slot each (in network namespaces of
their own where permitted). `mupc run` trains an experiment on it, repeatedly under new names. Every
few seconds a worker, a node or the driver gets SIGKILL. A killed node is replaced, and a killed
driver is restarted with the same command. After each kill the ledger's files are read: a run that
has vanished is lost, a run that occurs twice is doubled. At the end of each experiment its verdicts
are compared with those of an undisturbed run. The exit status is 1 if anything was lost, doubled,
damaged or judged differently.
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


class Attack:
    """One experiment whose processes are killed, and the rows seen in its ledger."""

    def __init__(self, nodes: Nodes, folder: Path, name: str) -> None:
        self.nodes, self.folder = nodes, folder / name
        self.folder.mkdir()
        (self.folder / "spec.yaml").write_text(yaml.safe_dump({"name": name, **SPEC}))
        self.rows_seen: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.doubled: set[str] = set()
        self.start()

    def start(self) -> None:
        """Start or restart the driver."""
        where = ("--pool", "ray", "--address", self.nodes.address)
        with (self.folder / "output").open("a") as output:
            self.driver = subprocess.Popen(
                [*MUPC, "run", "spec.yaml", *where, "--checkpoint-minutes", "0.01"],
                cwd=self.folder,
                env={**os.environ, **self.nodes.variables()},
                stdout=output,
                stderr=output,
            )

    def inspect(self) -> None:
        """Count the rows of every published file, and note lost and doubled runs."""
        now: Counter[str] = Counter()
        for path in (self.folder / "runs" / "runs").glob("[!.]*.parquet"):
            with suppress(FileNotFoundError):  # merged meanwhile
                now.update(pq.read_table(path, columns=["run_id"])["run_id"].to_pylist())
        if not now and self.rows_seen:
            return  # between two listings of a compaction
        self.lost |= self.rows_seen.keys() - now.keys()
        self.doubled |= {run_id for run_id, count in now.items() if count > 1}
        self.rows_seen |= now

    def output(self) -> str:
        """Return the end of what the driver printed."""
        return (self.folder / "output").read_text()[-2000:]

    def damaged(self) -> int:
        """Return the number of damaged files."""
        return len(results.open(self.folder / "runs").check())

    def verdicts(self) -> pd.DataFrame:
        """Return the columns of the verdicts that must not change."""
        return results.open(self.folder / "runs").verdicts()[DECIDED]


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
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        undisturbed = undisturbed_verdicts(Path(place))
        begun = time.monotonic()
        with ray_nodes(Path(place)) as nodes:
            for _ in range(options.nodes):
                nodes.join()
            while totals.kills.total() < options.kills:
                attack = Attack(nodes, Path(place), f"attack-{totals.experiments}")
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
            (kind,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
            strike(attack, kind, chance.choice(alive), chance.choice(workers))
            kills[kind] += 1


def strike(attack: Attack, kind: str, node: Node, worker: int) -> None:
    """Kill a worker, a node or the driver, and replace what work needs."""
    if kind == "worker":
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    elif kind == "node":
        node.signal(signal.SIGKILL)
        attack.nodes.join()
    else:
        attack.driver.kill()
        attack.driver.wait()
        attack.inspect()
        attack.start()


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
    return found.parse_args()


if __name__ == "__main__":
    sys.exit(main())
