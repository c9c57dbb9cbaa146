"""`mupc run`: from a spec to verdicts, tables and a report."""

import os
import shlex
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import results
import transfer
from jobs.callbacks.notify import Notifier
from jobs.cli.announcing import announced
from jobs.cli.exit_status import ExitStatus, FailOn
from jobs.cli.json_output import print_json
from jobs.cli.options import PoolKind, RunOptions
from jobs.cli.pool_setup import check_folder, check_pool, working_pool
from jobs.cli.progress import TROUBLES, display
from jobs.cli.spec_file import check_spec
from jobs.cli.statistics import RunStatistics
from jobs.cli.tables import (
    accuracy_table,
    law_lines,
    rule_table,
    screen,
    several_rules,
    verdict_table,
)
from jobs.cli.terminal import say
from jobs.cli.warning import or_warning
from jobs.pools.settings import LAYOUTS_VARIABLE
from pccore import Status
from results.durations import duration
from results.page.conclusion import conclusion
from results.page.report import ensure_writable
from results.untrusted import printable
from results.vocabulary import OutcomeLabel
from transfer.engine.plan import plan_of

if TYPE_CHECKING:
    from transfer import Experiment, Sweep, TransferResult

RESULTS = [str(outcome) for outcome in OutcomeLabel if outcome is not OutcomeLabel.FAILED]


def run_experiment(options: RunOptions) -> int:
    """Run or continue an experiment; returns the exit status.

    All options are checked, and all places tried that will be written to, before anything trains.
    What follows the verdicts, merging files and drawing, may fail without taking them along.
    """
    check_spec(options.spec)
    experiment = transfer.load(options.spec)
    report = options.report or Path("report") / experiment.name
    _check(options, experiment, report)
    watching = [Notifier(options.notify)] if options.notify else []
    os.environ[LAYOUTS_VARIABLE] = options.layouts  # for threads and workers alike
    ledger = results.open(options.ledger, create=True)
    ledger.ensure_writable()
    progress = RunStatistics(experiment)

    def safe() -> str:
        stored = ledger.runs(["run_id"], experiment=experiment.name, outcome=RESULTS)
        return f"runs safe in {options.ledger}: {len(stored)}"

    with working_pool(options, ledger, safe, name=experiment.name) as pool:
        with (
            announced(ledger, progress, experiment),
            display(progress, screen(stderr=True)),
            _seen_by_cluster(options, progress),
        ):
            result = transfer.run(
                experiment,
                ledger,
                pool,
                progress=[progress, *watching],
                data_dir=options.data_dir,
            )
        if not options.as_json:
            _show_verdicts(result, progress)
        # A query over thousands of small files takes seconds.
        or_warning("the files of the ledger are not merged", ledger.compact)
        page = or_warning(
            "there is no report", lambda: results.report(ledger, report, experiment.name)
        )
        _show_places(options, experiment, result, page)
        if not options.as_json:
            say(f"\n{conclusion(result.verdicts)}".replace("\u00a0", " "))
    status, reason = _judge(options, result, progress)
    if reason:
        say(f"mupc: {reason}", error=True)
    return status


def _seen_by_cluster(
    options: RunOptions, progress: RunStatistics
) -> AbstractContextManager[object]:
    """Return a context in which a cluster has the progress; Ray is connected."""
    if options.pool is not PoolKind.RAY or progress.experiment is None:
        return nullcontext()
    from jobs.cli.broadcasting import seen_by_cluster

    return seen_by_cluster(progress, progress.experiment.name, str(options.ledger))


def _check(options: RunOptions, experiment: "Experiment | Sweep", report: Path) -> None:
    check_pool(options)
    plan_of(experiment, options.data_dir).check()
    check_folder("--report", report)
    ensure_writable(report)


def _judge(
    options: RunOptions, result: "TransferResult", progress: RunStatistics
) -> tuple[ExitStatus, str]:
    """Return the exit status, and its reason in words unless it is success."""
    failed = progress.ended[Status.FAILED]
    if progress.all_failed:
        return ExitStatus.RUNS_FAILED, f"every run failed: {progress.troubles}"
    if failed and FailOn.FAILED in options.fail_on:
        return ExitStatus.RUNS_FAILED, f"--fail-on failed: {failed} of {progress.done} runs failed"
    named = [row["verdict"] for row in result.verdicts if row["verdict"] in options.fail_on]
    if named:
        found = ", ".join(f"{count} {label}" for label, count in Counter(named).items())
        every = len(result.verdicts)
        return (
            ExitStatus.VERDICT,
            f"--fail-on {','.join(options.fail_on)}: {found} of {every} verdicts",
        )
    return ExitStatus.SUCCESS, ""


def _show_verdicts(result: "TransferResult", progress: RunStatistics) -> None:
    console = screen()
    console.print("\nDid the optimum transfer? (Δ: drift of the optimum, in octaves)")
    console.print(verdict_table(result.verdicts, intervals=console.width >= 100))
    if several_rules(result.verdicts):
        console.print("\nRules compared: loss above the best of all cells run at the target (%)")
        console.print(rule_table(result.verdicts))
        for law in law_lines(result.verdicts):
            console.print(f"law: {printable(law)}", markup=False)  # [-0.8, -0.4] is an interval
    if any(row["accuracy"] is not None for row in result.verdicts):
        console.print("\nTest accuracy (%) at the transferred learning rates")
        console.print(accuracy_table(result.verdicts))
    say(f"\n{result.summary}")
    print(f"\n{progress.done} runs, {progress.with_result} of them trained now", end=" ")
    print(f"in {duration(progress.elapsed)}")
    if progress.troubles:
        say(f"{TROUBLES}{progress.troubles}")


def _show_places(
    options: RunOptions,
    experiment: "Experiment | Sweep",
    result: "TransferResult",
    page: Path | None,
) -> None:
    if options.as_json:
        facts = {
            "experiment": experiment.name,
            "ledger": options.ledger,
            "report": page and str(page),
            "verdicts": result.verdicts,
        }
        print_json("run", facts)
        return
    if page is not None:
        print(f"report: {page}")
    print(f"ledger: {options.ledger}")
    # An absolute path, so that the line works in any folder.
    place = options.ledger if "://" in options.ledger else os.path.abspath(options.ledger)  # noqa: PTH100
    print(f"python: import mupc; mupc.open({place!r}).runs(experiment={experiment.name!r})")
    if found := _network(result):
        about, run_id = found
        elsewhere = "" if options.ledger == "runs" else f" --ledger {shlex.quote(options.ledger)}"
        say(f"network: mupc export {run_id}{elsewhere}  # {about}")


def _network(result: "TransferResult") -> tuple[str, str] | None:
    """Return what the deepest kept network is, and its run; None if none was kept."""
    if not result.transferred or result.ledger is None:
        return None
    deepest = max(result.transferred, key=lambda each: (each.shape.depth, each.shape.width))
    shape = deepest.shape
    run_id = result.run_id(deepest.label, shape.depth, width=shape.width)
    if result.ledger.row(run_id)["weights_digest"] is None:
        return None
    return f"{deepest.label}, {shape.width} x {shape.depth}", run_id
