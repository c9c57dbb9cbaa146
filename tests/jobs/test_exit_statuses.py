"""Exit statuses, `--fail-on`, and results that survive the failure of what follows them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import mupc, write_spec
from fewer import cases

import results
from jobs import Job, JobStatus
from jobs.cli import submission
from jobs.cli.exit_status import ExitStatus, describe
from jobs.cluster.package import command
from jobs.pools import local
from jobs.pools.worker import this_worker
from pccore import Outcome, Status
from results.errors import LedgerError
from transfer.engine.pool import Group, GroupResult

Train = Callable[[Group, int], Outcome]
NOBODY = 65534


def trained(group: Group, lane: int, optimum: float) -> Outcome:
    depth = group.config.network.depth
    loss = 1 + 100 * abs(group.lanes[lane].weight_lr - optimum)
    changes = np.ones(depth + 1, np.float32)
    return Outcome(Status.TRAINED, loss, loss, loss, 0.9, steps=60, layer_changes=changes)


def held(group: Group, lane: int) -> Outcome:
    """Return a loss with the same optimum at every depth, inside of the grid."""
    return trained(group, lane, 0.1)


def drifting(group: Group, lane: int) -> Outcome:
    """Return a loss whose optimum is another one at the target."""
    return trained(group, lane, 0.1 if group.config.network.depth == 2 else 0.3)


def failed(group: Group, lane: int) -> Outcome:
    return Outcome.failed("out of memory")


def one_failed(group: Group, lane: int) -> Outcome:
    first = group.lanes[lane].seed == 0 and group.lanes[lane].weight_lr == 0.03
    return failed(group, lane) if first else held(group, lane)


def write_small_spec(folder: Path) -> None:
    tune = {"width": 8, "depth": 2, "weight_lr": [0.3, 0.1, 0.03], "activity_lr": [1], "seeds": 2}
    write_spec(folder, variants=["mupc"], tune=tune)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_small_spec(tmp_path)
    return tmp_path


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, empty_reports: None) -> Callable[[Train], None]:
    """Make local pools return outcomes by formula."""

    def by(formula: Train) -> None:
        def train_group(group: Group, **_: object) -> GroupResult:
            outcomes = tuple(formula(group, lane) for lane in range(len(group.lanes)))
            return GroupResult(group, outcomes, 0.1, datetime.now(UTC), this_worker())

        monkeypatch.setattr(local, "train_group", train_group)

    return by


CASES: list[tuple[Train, str, int, str]] = [
    (held, "drifted,inconclusive,edge,failed", 0, ""),
    (drifting, "", 0, ""),
    (drifting, "inconclusive,drifted", 4, "1 drifted of 1 verdicts"),
    (one_failed, "failed", 3, "--fail-on failed: 2 of 12 runs failed"),
    (failed, "drifted", 3, "every run failed: 6 failed (6 x out of memory)"),
    (drifting, "inconclusive,failed", 0, ""),
    (one_failed, "", 0, ""),
    (failed, "", 3, "every run failed: 6 failed (6 x out of memory)"),
    (held, "", 0, ""),
    (drifting, "drifted", 4, "--fail-on drifted: 1 drifted of 1 verdicts"),
]


@pytest.mark.parametrize("case", cases(CASES, 5), ids=lambda case: f"{case[0].__name__}-{case[1]}")
def test_status(place: Path, train: Any, case: tuple[Train, str, int, str]) -> None:
    formula, names, status, reason = case
    train(formula)
    done = mupc(place, "run", "spec.yaml", *(["--fail-on", names] if names else []))
    assert done.returncode == status, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mupc: ") == bool(reason)
    assert reason in last
    assert "Did the optimum transfer?" in done.stdout
    assert (place / "report" / "tiny" / "index.html").exists()


def test_option_is_repeatable_and_names_are_checked(place: Path, train: Any) -> None:
    train(drifting)
    both = ["--fail-on", "inconclusive", "--fail-on", "drifted"]
    assert mupc(place, "run", "spec.yaml", *both).returncode == 4
    wrong = mupc(place, "run", "spec.yaml", "--fail-on", "drift")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "mupc: --fail-on 'drift' must be one of drifted, inconclusive, untrained, edge, failed; "
        "did you mean 'drifted'?\n"
    )


def test_trained_counts_what_trained(place: Path, train: Any) -> None:
    train(failed)
    nothing = mupc(place, "run", "spec.yaml").stdout
    assert "6 runs, 0 of them trained now" in nothing
    assert "without result: 6 failed (6 x out of memory)" in nothing
    train(one_failed)
    assert "12 runs, 10 of them trained now" in mupc(place, "run", "spec.yaml").stdout
    train(failed)  # some runs have results by now
    again = mupc(place, "run", "spec.yaml")
    assert "12 runs, 0 of them trained now" in again.stdout
    assert again.returncode == 0


@pytest.mark.parametrize("what", ["compact", "report"])
def test_results_survive_merging_and_drawing_that_fail(
    place: Path, train: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    train(held)

    def fail(*_: object) -> None:
        raise LedgerError("no luck") if what == "compact" else MemoryError("no luck")

    monkeypatch.setattr(results.Ledger if what == "compact" else results, what, fail)
    done = mupc(place, "run", "spec.yaml")
    assert done.returncode == 0
    assert "Did the optimum transfer?" in done.stdout
    warning = {
        "compact": "mupc: warning: the files of the ledger are not merged: no luck",
        "report": "mupc: warning: there is no report: MemoryError: no luck",
    }[what]
    assert warning in done.stderr.splitlines()
    assert ("report: report/tiny/index.html" in done.stdout) == (what == "compact")


def test_letters_that_the_terminal_lacks_are_replaced() -> None:
    script = (
        "import typer\n"
        "from jobs.cli.entry import run_command\n"
        "app = typer.Typer()\n"
        "app.command()(lambda: print('\u0394eta 0.5 \u00b1 0.1'))\n"
        "run_command(app, 'test')\n"
    )
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=variables
    )
    assert (shown.returncode, shown.stdout) == (0, "deta 0.5 +- 0.1\n")


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """The folder of a user who may not write to `theirs` in it."""
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_small_spec(place)
        results.open(place / "theirs" / "ledger", create=True)
        os.chown(place, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield place
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ledger", "theirs/ledger"], "cannot write to 'theirs/ledger': Permission denied"),
        (["--ledger", "theirs/new"], "cannot write to 'theirs/new': Permission denied"),
        (
            ["--report", "theirs/report"],
            "--report 'theirs/report' cannot be written to: Permission denied",
        ),
    ],
)
def test_places_are_tried_before_training(
    as_nobody: Path, train: Any, arguments: list[str], sentence: str
) -> None:
    def never(group: Group, lane: int) -> Outcome:
        raise AssertionError("trained")

    train(never)
    done = mupc(as_nobody, "run", "spec.yaml", *arguments)
    assert (done.returncode, done.stderr) == (2, f"mupc: {sentence}\n")
    assert not (as_nobody / "report").exists()


STATUSES = [
    (JobStatus.SUCCEEDED, 0, 0),
    (JobStatus.SUCCEEDED, None, 0),
    (JobStatus.FAILED, 4, 4),
    (JobStatus.FAILED, 3, 3),
    (JobStatus.FAILED, -9, 137),
    (JobStatus.FAILED, None, 1),
    (JobStatus.STOPPED, None, 143),
]


@pytest.mark.parametrize(("status", "code", "expected"), STATUSES)
def test_following_exits_as_the_job(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: JobStatus,
    code: int | None,
    expected: int,
) -> None:
    job = Job("a-1", status, "a", None, None, None, "", code)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    monkeypatch.setattr(submission.submission, "follow", lambda *_: iter(["line\n"]))
    monkeypatch.setattr(submission.submission, "status", lambda *_: job)
    monkeypatch.setattr(submission.submission, "logs", lambda *_: "")
    try:
        assert submission.show_logs("a-1", "http://localhost:1", follow=True) == expected
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    submission.show_status("a-1", "http://localhost:1", as_json=False)
    assert describe(expected) in capsys.readouterr().out


def test_job_gets_the_option() -> None:
    assert "--fail-on drifted,failed" in command("a", None, None, None, ("drifted", "failed"))
    assert "--fail-on" not in command("a", None, None, None)


def test_statuses_differ_and_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for status in ExitStatus:
        assert f"| {int(status)} |" in page
    assert describe(3) == "3 (runs failed)"
    assert describe(129) == "129 (SIGHUP)"
