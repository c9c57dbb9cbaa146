"""`mupc run`: from a spec to verdicts, tables and a report."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import results
import transfer
from jobs import layout_policy
from jobs.commands.options import PoolKind, ReproduceOptions, RunOptions
from jobs.errors import CommandError
from jobs.progress import display
from jobs.stopping import Listener
from jobs.tables import accuracy_table, screen, verdict_table
from jobs.tally import Tally, duration
from transfer.plan import Plan

if TYPE_CHECKING:
    from transfer import Experiment, Pool, TransferResult


def run_experiment(options: RunOptions) -> int:
    """Run or continue an experiment; returns the exit status.

    Everything that can be wrong with the options is found before anything is written.
    """
    experiment = transfer.load(options.spec)
    report = options.report or Path("report") / experiment.name
    _check(options, experiment, report)
    os.environ[layout_policy.VARIABLE] = options.layouts  # for threads and workers alike
    ledger = results.open(options.ledger, create=True)
    progress = Tally(experiment)
    pool: Pool | None = None
    listener = Listener()
    listener.listen()
    try:
        pool = make_pool(options)
        listener.listen()
        with display(progress, screen(stderr=True)):
            result = transfer.run(
                experiment, ledger, pool, progress=progress, data_dir=options.data_dir
            )
        ledger.compact()  # a query over thousands of small files takes seconds
        page = results.report(ledger, report, experiment.name)
    except KeyboardInterrupt:
        safe = len(ledger.runs(experiment=experiment.name))
        print(
            f"\nstopped ({listener.received.name}), runs safe in {options.ledger}: {safe}; "
            f"to continue: {shlex.join(['mupc', *sys.argv[1:]])}",
            file=sys.stderr,
        )
        listener.leave(pool.close if pool else lambda: None)
    finally:
        if pool is not None:
            pool.close()
    _show(options, experiment, result, page, progress)
    return 0


def make_pool(options: RunOptions | ReproduceOptions) -> "Pool":
    """The pool that the options ask for."""
    if options.pool is PoolKind.LOCAL:
        from jobs import LocalPool

        return LocalPool(options.workers)
    from jobs import RayPool

    return RayPool(options.address or "local", options.workers)


def _check(options: RunOptions, experiment: "Experiment", report: Path) -> None:
    if options.address and options.pool is PoolKind.LOCAL:
        raise CommandError(f"--address {options.address!r} needs --pool ray, not --pool local")
    Plan.of(experiment, options.data_dir).check()
    existing = next(place for place in (report, *report.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise CommandError(f"--report {str(report)!r} cannot be a folder: {existing} is a file")


def _show(
    options: RunOptions,
    experiment: "Experiment",
    result: "TransferResult",
    page: Path,
    progress: Tally,
) -> None:
    if options.as_json:
        facts = {
            "experiment": experiment.name,
            "ledger": options.ledger,
            "report": str(page),
            "verdicts": result.verdicts,
        }
        print(json.dumps(facts, default=str, indent=2, allow_nan=False))
        return
    console = screen()
    console.print("\nDid the optimum transfer? (Δ: drift of the optimum, in octaves)")
    console.print(verdict_table(result.verdicts, intervals=console.width >= 100))
    console.print("\nTest accuracy (%) at the transferred learning rates")
    console.print(accuracy_table(result.verdicts))
    print(f"\n{result.summary}")
    print(f"\n{progress.done} runs, {progress.trained_here} of them trained now", end=" ")
    print(f"in {duration(progress.elapsed)}")
    print(f"report: {page}")
    print(f"ledger: {options.ledger}")
    asked = f"results.open({options.ledger!r}).runs(experiment={experiment.name!r})"
    print(f"python: import results; {asked}")
