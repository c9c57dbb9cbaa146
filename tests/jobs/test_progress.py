"""Displays of progress: counts, time left, best runs, on a terminal and in a log."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import TINY
from rich.console import Console

import pccore
from jobs.cli.broadcasting import job_progress
from jobs.cli.progress import (
    LineDisplay,
    LiveDisplay,
    ProgressDisplay,
    display,
    drawing,
    line,
)
from jobs.cli.statistics import RunStatistics
from jobs.cluster.job_progress import JobProgress, path_on_server
from pccore import Outcome, Status
from results.durations import duration
from transfer import Cell, Experiment, Group, GroupResult, Run, Worker

EXPERIMENT = Experiment.from_dict(TINY)


def run(variant: str = "mupc", *, eta: float = 0.1, depth: int = 2) -> Run:
    network = pccore.NetworkConfig(64, 10, width=8, depth=depth)
    config = pccore.TrainingConfig(network, pccore.Backpropagation(), steps=60)
    return Run("digits", "0" * 64, variant, config, pccore.Lane(eta, 1.0, seed=0))


def trained(loss: float) -> Outcome:
    return Outcome(Status.TRAINED, final_train_loss=loss)


@pytest.fixture
def clock() -> Callable[[], float]:
    """Return a clock that advances by ten seconds per reading."""
    times = iter(range(0, 10_000, 10))
    return lambda: float(next(times))


def test_counts_runs_by_status() -> None:
    statistics = RunStatistics(EXPERIMENT)
    statistics.phase("tune", 20, 5)
    for outcome in (trained(0.4), Outcome(Status.DIVERGED), Outcome.failed("no memory")):
        statistics.finished(run(), outcome)
    assert (statistics.done, statistics.total, statistics.trained_here) == (8, 20, 3)
    assert statistics.troubles == "1 diverged, 1 failed (1 x no memory)"


def test_causes_that_differ_in_numbers_count_together_most_common_first() -> None:
    statistics = RunStatistics(EXPERIMENT)
    for size in (12, 345):
        statistics.finished(
            run(), Outcome.failed(f"XlaError: no | memory for\n{size} bytes at 0xf{size}")
        )
    statistics.finished(run(), Outcome.failed("x" * 100))
    assert statistics.troubles == (
        f"3 failed (2 x XlaError: no / memory for 12 bytes at 0xf12, 1 x {'x' * 57}...)"
    )
    for other in "abc":
        statistics.finished(run(), Outcome.failed(f"its worker died of {other}"))
    assert statistics.troubles.startswith("6 failed (2 x XlaError")
    assert statistics.troubles.endswith(", 2 other causes)")


def test_speed_counts_from_the_start_of_training(clock: Callable[[], float]) -> None:
    statistics = RunStatistics(EXPERIMENT, clock)  # reads 0
    assert (statistics.runs_per_minute, statistics.gflops) == (0.0, 0.0)
    statistics.phase("tune", 8, 4)  # of an earlier process
    statistics.workload(0.0, 6e11)  # reads 10
    for _ in range(3):
        statistics.finished(run(), trained(0.5))
    assert statistics.runs_per_minute == pytest.approx(60 * 3 / (20 - 10))
    statistics.workload(3e11, 6e11)
    assert statistics.gflops == pytest.approx(2 * 3e11 / (30 - 10) / 1e9)


def test_progress_of_a_job_round_trips(tmp_path: Path) -> None:
    now = [0.0]
    statistics = RunStatistics(EXPERIMENT, lambda: now[0])
    statistics.phase("tune", 20, 0)
    first = job_progress(statistics)
    statistics.workload(0.0, 100e9)
    now[0] = 200.0
    for outcome in (trained(0.4), Outcome(Status.DIVERGED), Outcome.failed("no memory, 12 MB")):
        statistics.finished(run(), outcome)
    statistics.workload(40e9, 100e9)
    config = run().config
    outcomes = (Outcome(Status.TRAINED, steps=60),) * 2
    group = Group("digits", None, config, (run().lane,) * 2, ("a", "b"))
    worker = Worker("cpu", "here", 1)
    statistics.trained(GroupResult(group, outcomes, 40.0, datetime.now(UTC), worker))
    statistics.pending({config: 15}, [], slots=1)
    seen = job_progress(statistics, "s3://bucket/runs")
    assert seen == JobProgress(
        phase="tune",
        done=3,
        total=20,
        failed=1,
        lanes=0,
        runs_per_minute=0.9,
        gflops=0.4,
        seconds=200.0,
        seconds_left=300.0,
        troubles="1 diverged, 1 failed (1 x no memory, 12 MB)",
        ledger="s3://bucket/runs",
    )
    statistics.pending({config: 15}, [group, group], slots=1)
    assert job_progress(statistics).lanes == 2
    for each in (first, seen):
        each.write(tmp_path / "progress.json")
        assert JobProgress.read((tmp_path / "progress.json").read_bytes()) == each
    assert (first.runs_per_minute, first.seconds_left, first.troubles) == (0.0, None, "")
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


GOOD = asdict(JobProgress("tune", 1, 2, 0, 3, 4.0, 5.0, 6.0, None, ""))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 5000,
        b"{" + b" " * 9000 + b"}",
        *(
            json.dumps({**GOOD, name: value}).encode()
            for name, value in (
                ("phase", 3),
                ("done", -1),
                ("done", 1.5),
                ("done", "1"),
                ("done", None),
                ("total", True),
                ("lanes", 10**30),
                ("gflops", float("nan")),
                ("seconds", float("inf")),
                ("seconds_left", "soon"),
                ("troubles", ["x"]),
            )
        ),
    ],
    ids=lambda content: str(content[:40]),
)
def test_what_is_no_progress_is_not_taken_for_it(content: bytes) -> None:
    assert JobProgress.read(content) is None


def test_texts_of_progress_are_bounded_and_printable() -> None:
    seen = JobProgress.read(json.dumps({**GOOD, "troubles": "\x1b[2J" + "x" * 5000}).encode())
    assert seen is not None
    assert seen.troubles.startswith("\\x1b[2Jx")
    assert len(seen.troubles) == 1000


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"submission_id": "a", "driver_node_id": None},
        {"submission_id": "a", "driver_node_id": "0f&filename=/etc/passwd"},
        {"submission_id": "../a", "driver_node_id": "0f"},
        {"submission_id": ["a"], "driver_node_id": "0f"},
    ],
    ids=str,
)
def test_record_of_a_job_leads_to_no_other_file(record: dict[str, object]) -> None:
    assert path_on_server(record) is None


def test_best_run_has_the_lowest_loss_at_the_tuned_shape() -> None:
    statistics = RunStatistics(EXPERIMENT)
    for loss, eta, depth in ((0.5, 0.3, 2), (0.2, 0.1, 2), (0.3, 0.03, 2), (0.01, 0.1, 3)):
        statistics.finished(run(eta=eta, depth=depth), trained(loss))
    statistics.finished(run(eta=9.0), Outcome(Status.DIVERGED, min_train_loss=0.001))
    best = statistics.best_runs["mupc"]
    assert (best.loss, best.cell) == (0.2, Cell(0.1, 1.0))
    statistics.optimum("mupc", Cell(0.3, 1.0), 0.25)
    statistics.finished(run(eta=0.1), trained(0.1))  # a late seed does not change the optimum
    assert str(statistics.best_runs["mupc"]) == "optimum loss 0.25 at eta 0.3, beta 1"
    statistics.optimum("bp", None, None)
    assert str(statistics.best_runs["bp"]) == "optimum nothing trained"


def test_several_activations_are_distinguished() -> None:
    several = EXPERIMENT.to_dict() | {"network": {"activation": ["relu", "tanh"]}}
    statistics = RunStatistics(Experiment.from_dict(several))
    statistics.finished(run(), trained(0.5))
    assert list(statistics.best_runs) == ["mupc relu"]


def test_nothing_is_left_when_all_runs_are_done() -> None:
    statistics = RunStatistics(EXPERIMENT)
    statistics.phase("tune", 8, 0)
    assert statistics.time_left is None
    statistics.phase("transfer", 8, 8)
    assert statistics.time_left == 0.0


def test_another_driver_is_announced_once() -> None:
    log = io.StringIO()
    statistics = RunStatistics(EXPERIMENT)
    with LineDisplay(statistics, Console(file=log, width=200), interval=60):
        statistics.sharing(["digits on node7, process 7"], 3)
        statistics.sharing([], 0)  # it has ended
    assert log.getvalue().splitlines()[0] == (
        "another driver trains on this ledger (digits on node7, process 7): the runs are shared, "
        "each trained once"
    )
    assert log.getvalue().count("another driver") == 1


def test_progress_display_reports_while_it_is_entered() -> None:
    out = io.StringIO()
    with ProgressDisplay(EXPERIMENT, Console(file=out, width=200)) as progress:
        progress.phase("tune", 4, 1)
    assert "tune | 1/4 runs" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_terminal_gets_live_display_and_log_gets_lines() -> None:
    statistics = RunStatistics(EXPERIMENT)
    terminal = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(display(statistics, terminal), LiveDisplay)
    assert isinstance(display(statistics, Console(file=io.StringIO())), LineDisplay)


def test_lines_continue_and_the_last_is_current() -> None:
    log = io.StringIO()
    statistics = RunStatistics(EXPERIMENT)
    statistics.phase("tune", 4, 1)
    with LineDisplay(statistics, Console(file=log, width=200), interval=0.01):
        patience = time.monotonic() + 10
        while log.getvalue().count("\n") < 2 and time.monotonic() < patience:
            time.sleep(0.01)
        statistics.finished(run(), trained(0.25))
    lines = log.getvalue().splitlines()
    assert len(lines) >= 3
    assert "tune | 1/4 runs" in lines[0]
    assert lines[-1].startswith(line(statistics).split(" | ")[0].split("]")[0][:2])
    assert "2/4 runs" in lines[-1]
    assert "mupc: best loss 0.25 at eta 0.1, beta 1" in lines[-1]


def test_live_display_shows_phase_counts_and_verdicts() -> None:
    statistics = RunStatistics(EXPERIMENT)
    statistics.phase("transfer", 10, 7)
    statistics.optimum("mupc", Cell(0.1, 1.0), 0.25)
    statistics.verdict({"variant": "mupc", "width": 8, "depth": 128, "verdict": "held"})
    out = io.StringIO()
    Console(file=out, width=120).print(drawing(statistics, 120))
    shown = out.getvalue()
    for text in ("transfer", "7 of 10 runs", "optimum loss 0.25", "held at width 8, depth 128"):
        assert text in shown


def test_live_display_restores_the_terminal() -> None:
    out = io.StringIO()
    statistics = RunStatistics(EXPERIMENT)
    statistics.phase("tune", 4, 1)
    with LiveDisplay(statistics, Console(file=out, force_terminal=True, width=100)):
        pass
    shown = out.getvalue()
    assert "1 of 4 runs" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible again
