"""`mupc run`: from a spec to verdicts, tables and a report."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import results
import transfer
from jobs.cli.options import RunOptions
from jobs.cli.pool_setup import check_folder, check_pool, working_pool
from jobs.cli.progress import display
from jobs.cli.statistics import RunStatistics
from jobs.cli.tables import (
    accuracy_table,
    law_lines,
    rule_table,
    screen,
    several_rules,
    verdict_table,
)
from jobs.pools.settings import LAYOUTS_VARIABLE
from results.durations import duration
from transfer.engine.plan import Plan

if TYPE_CHECKING:
    from transfer import Experiment, TransferResult


def run_experiment(options: RunOptions) -> int:
    """Run or continue an experiment; returns the exit status.

    All options are checked before anything is written.
    """
    experiment = transfer.load(options.spec)
    report = options.report or Path("report") / experiment.name
    _check(options, experiment, report)
    os.environ[LAYOUTS_VARIABLE] = options.layouts  # for threads and workers alike
    ledger = results.open(options.ledger, create=True)
    progress = RunStatistics(experiment)

    def safe() -> str:
        return f"runs safe in {options.ledger}: {len(ledger.runs(experiment=experiment.name))}"

    with working_pool(options, ledger, safe) as pool:
        with display(progress, screen(stderr=True)):
            result = transfer.run(
                experiment, ledger, pool, progress=progress, data_dir=options.data_dir
            )
        ledger.compact()  # a query over thousands of small files takes seconds
        page = results.report(ledger, report, experiment.name)
    _show(options, experiment, result, page, progress)
    return 0


def _check(options: RunOptions, experiment: "Experiment", report: Path) -> None:
    check_pool(options)
    Plan.of(experiment, options.data_dir).check()
    check_folder("--report", report)


def _show(
    options: RunOptions,
    experiment: "Experiment",
    result: "TransferResult",
    page: Path,
    progress: RunStatistics,
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
    if several_rules(result.verdicts):
        console.print("\nRules compared: loss above the best of all cells run at the target (%)")
        console.print(rule_table(result.verdicts))
        for law in law_lines(result.verdicts):
            console.print(f"law: {law}", markup=False)  # [-0.8, -0.4] is an interval
    console.print("\nTest accuracy (%) at the transferred learning rates")
    console.print(accuracy_table(result.verdicts))
    print(f"\n{result.summary}")
    print(f"\n{progress.done} runs, {progress.trained_here} of them trained now", end=" ")
    print(f"in {duration(progress.elapsed)}")
    print(f"report: {page}")
    print(f"ledger: {options.ledger}")
    # An absolute path, so that the line works in any folder.
    place = options.ledger if "://" in options.ledger else os.path.abspath(options.ledger)  # noqa: PTH100
    print(f"python: import mupc; mupc.open({place!r}).runs(experiment={experiment.name!r})")
