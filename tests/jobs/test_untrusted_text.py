"""Text from outside on a terminal and in CSV: shown, and never obeyed."""

import csv
import io
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import results
from jobs.cli.options import Printed, ResultsOptions, TableName
from jobs.cli.progress import drawing, line, notice
from jobs.cli.queries import check_ledger, show_results, show_sql
from jobs.cli.statistics import RunStatistics
from jobs.cli.submission import show_jobs, show_logs, show_status
from jobs.cli.tables import accuracy_table, plain_table, rule_table, verdict_table
from jobs.cluster import submit as submission
from jobs.cluster.job_progress import JobProgress
from jobs.cluster.submit import Job, JobStatus
from pccore import Status
from results.untrusted import printable, spreadsheet_cell

ESCAPES = [
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x08", "\r", "\x7f", "\u202e", "\u2066",
    "\u2028", "\ud800", "\x85",
]  # fmt: skip
HOSTILE = "".join(ESCAPES) + "[/red][bold]"


def is_harmless(text: str) -> bool:
    return not any(
        unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in "\n\t"
        for letter in text
    )


@given(st.text())
def test_printable_text_controls_nothing(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown)
    assert "\n" not in shown
    assert printable(shown) == shown
    assert not text.isprintable() or shown == text


@given(st.sampled_from("=+-@\t\r\n＝"), st.text())
def test_no_cell_of_csv_is_a_formula(first: str, text: str) -> None:
    assert spreadsheet_cell(first + text).startswith("'")
    assert is_harmless(spreadsheet_cell(first + text))


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    row = {"experiment": "one", "phase": "tune", "started": datetime(2026, 1, 2, tzinfo=UTC)}
    causes = ["=cmd|'/c calc'!A1", "+1", "-1", "@x", "\tx", "\rx", HOSTILE.replace("\ud800", "")]
    results.open(tmp_path / "runs", create=True).append(
        [
            {**row, "run_id": f"{k}", "outcome": "failed", "cause": cause, "weight_lr": -0.5}
            for k, cause in enumerate(causes)
        ]
    )
    return str(tmp_path / "runs")


def options(ledger: str, **others: bool) -> ResultsOptions:
    printed = Printed(**{"limit": None, "as_json": False, "as_csv": False, **others})
    columns = "run_id,cause,weight_lr"
    return ResultsOptions(ledger, TableName.RUNS, [], columns, None, False, printed)


def test_query_results_control_no_terminal_and_no_spreadsheet(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_results(options(ledger))
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert len(shown.splitlines()) == 8
    assert r"\x1b[2J" in shown
    show_results(options(ledger, as_csv=True))
    text = capsys.readouterr().out
    assert is_harmless(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["cause"][0] for row in rows[:6]] == ["'"] * 6
    assert {row["weight_lr"] for row in rows} == {"-0.5"}  # a number
    show_results(options(ledger, as_json=True))
    assert is_harmless(capsys.readouterr().out)
    show_sql("select cause from runs", ledger, Printed(None, False, False))
    assert is_harmless(capsys.readouterr().out)


def test_damage_controls_no_terminal(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    [path] = (Path(ledger) / "runs").glob("*.parquet")
    path.write_bytes(b"\x1b[2J")
    check_ledger(ledger, quarantine=False, as_json=False)
    assert is_harmless(capsys.readouterr().out)


def rendered(what: Any) -> str:
    console = Console(file=io.StringIO(), width=400, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


VERDICT = {
    "width": 8, "depth": 2, "weight_lr": 0.1, "activity_lr": 0.1, "loss": 0.1, "accuracy": 0.5,
    "accuracy_std": None, "layers_learned": None, "layers": 3, "drift_weight_lr": 0.0,
    "drift_activity_lr": 0.0, "best_loss": 0.1, "best_weight_lr": 0.1, "best_activity_lr": 0.1,
    "regret": 1e308, "regret_low": -1e308, "regret_high": 1e308, "shallow": True,
}  # fmt: skip


def test_names_in_tables_are_no_markup() -> None:
    texts = dict.fromkeys(("variant", "activation", "rule", "verdict"), HOSTILE)
    rows = [{**VERDICT, **texts}, {**VERDICT, **texts, "activation": "b"}]
    for table in (verdict_table(rows), accuracy_table(rows), rule_table(rows)):
        shown = rendered(table)
        assert is_harmless(shown)
        assert "[/red][bold]" in shown
    table = plain_table(["a", HOSTILE])
    table.add_row(HOSTILE, "[/]")
    assert is_harmless(rendered(table))


def test_progress_controls_no_terminal() -> None:
    statistics = RunStatistics()
    statistics.sharing([HOSTILE], 1)
    statistics.verdicts.append({**VERDICT, "variant": HOSTILE, "verdict": HOSTILE})
    assert is_harmless(rendered(drawing(statistics, 300)))
    statistics.ended[Status.FAILED] += 1
    statistics.causes[HOSTILE] += 1
    assert is_harmless(printable(line(statistics)))
    assert is_harmless(printable(notice(HOSTILE)))


def test_jobs_of_others_control_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    seen = JobProgress(HOSTILE, 1, 2, 0, 0, 0.0, 0.0, 1.0, None, HOSTILE)
    job = Job("a", JobStatus.FAILED, HOSTILE, HOSTILE, moment, moment, HOSTILE, 1, HOSTILE, seen)
    monkeypatch.setattr(submission, "list_jobs", lambda _: [job])
    monkeypatch.setattr(submission, "status", lambda *_: job)
    monkeypatch.setattr(submission, "logs", lambda *_: f"1\t2\n{HOSTILE}")
    monkeypatch.setattr(submission, "follow", lambda *_: iter(["one\n", HOSTILE]))
    show_jobs("http://127.0.0.1:8265", as_json=False)
    show_status("a", "http://127.0.0.1:8265", as_json=False)
    show_logs("a", "http://127.0.0.1:8265", follow=False)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert "1\t2\n" in shown
