"""`mupc run` in a process that is killed at a named point of its work."""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from pool_trainers import PATIENCE

import jobs.cli.main
import jobs.pools.local
import results
from results.ledger import Ledger
from results.storage import folder
from results.storage.checkpoints import Checkpoints
from results.storage.weights import Weights
from transfer.search.samplers import Search

# Forked from a process that has loaded slow modules, and used no device.
_context = get_context("forkserver")
_context.set_forkserver_preload(
    ["jobs.cli.run", "jobs.pools.local", "optuna.samplers", "results.ledger"]
)


class Death(NamedTuple):
    """Death of the process at the n-th call of an attribute, before it or after it."""

    holder: Any
    name: str
    call: int
    after: bool = False


# In the order in which an undisturbed run first passes them.
DEATHS: dict[str, Death] = {
    "before the ledger is opened": Death(results, "open", 1),
    "after the ledger is opened": Death(results, "open", 1, after=True),
    "before a cell is requested": Death(Search, "ask", 3),
    "after a cell is requested": Death(Search, "ask", 3, after=True),
    "before a group is dispatched": Death(jobs.pools.local.LocalPool, "submit", 2),
    "after a group is dispatched": Death(jobs.pools.local.LocalPool, "submit", 2, after=True),
    "before the first checkpoint": Death(Checkpoints, "save", 1),
    "after a checkpoint": Death(Checkpoints, "save", 2, after=True),
    "before a result is collected": Death(jobs.pools.local.LocalPool, "collect", 2),
    "after a result is collected": Death(jobs.pools.local.LocalPool, "collect", 1, after=True),
    "before rows are appended": Death(Ledger, "append", 1),
    "before a temporary file is named": Death(folder, "_temporary", 4),
    "before a file is on disk": Death(folder.os, "fsync", 8),
    "after a file is on disk": Death(folder.os, "fsync", 9, after=True),
    "before rows are published": Death(folder, "_link", 3),
    "after rows are published": Death(folder, "_link", 2, after=True),
    "after rows are appended": Death(Ledger, "append", 1, after=True),
    "before a checkpoint is removed": Death(Checkpoints, "remove", 1),
    "after a checkpoint is removed": Death(Checkpoints, "remove", 1, after=True),
    "before a loss is reported": Death(Search, "tell", 2),
    "after a loss is reported": Death(Search, "tell", 2, after=True),
    "before weights are kept": Death(Weights, "save", 1),
    "after weights are kept": Death(Weights, "save", 1, after=True),
    "before the verdicts are written": Death(Ledger, "append_verdicts", 1),
    "after the verdicts are written": Death(Ledger, "append_verdicts", 1, after=True),
    "before the ledger is compacted": Death(Ledger, "compact", 1),
    "after the ledger is compacted": Death(Ledger, "compact", 1, after=True),
    "before the report": Death(results, "report", 1),
}


def run(place: Path, death: str | None = None) -> int:
    """Run `mupc run spec.yaml` in a folder, saving at every chance; return the exit status."""
    process = _context.Process(target=_run, args=(place, death))
    process.start()
    process.join(PATIENCE)
    process.kill()
    process.join()
    return int(process.exitcode or 0)


def _run(place: Path, death: str | None) -> None:
    os.chdir(place)
    with Path("output").open("a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    results.report = lambda ledger, folder, experiment: (
        folder
    )  # which takes longer than everything else
    if death is not None:
        _arm(DEATHS[death])
    always = "0.000001"
    sys.argv = ["mupc", "run", "spec.yaml", "--workers", "1", "--checkpoint-minutes", always]
    jobs.cli.main.main()


def _arm(death: Death) -> None:
    real: Callable[..., Any] = getattr(death.holder, death.name)
    left = death.call

    def dying(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and not death.after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*arguments, **options)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(death.holder, death.name, dying)
